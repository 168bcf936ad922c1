"""hypothesis strategies for all that a msgspec type lets through, derived from the type itself."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import NODEFAULT
from msgspec import inspect as shape

_LONGEST = 4
"""Items of a list or a dictionary without a limit of its own."""

_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def sayable(kind: Any) -> st.SearchStrategy:
    """Values of ``kind``, a struct or a union of them."""
    return st.one_of([_built(each) for each in _types(shape.type_info(kind))])


def _types(found: shape.Type) -> tuple[shape.Type, ...]:
    return found.types if isinstance(found, shape.UnionType) else (found,)


def _built(found: shape.StructType | shape.DataclassType) -> st.SearchStrategy:
    """Fields with a default are left out now and then; what the type's own check refuses is not tried again."""
    required = {field.name: _value(field.type) for field in found.fields if _is_required(field)}
    optional = {field.name: _value(field.type) for field in found.fields if not _is_required(field)}
    fields = st.fixed_dictionaries(required, optional=optional)
    return fields.filter(lambda given: _can_be(found.cls, given)).map(lambda given: found.cls(**given))


def _is_required(field: shape.Field) -> bool:
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _can_be(cls: type, given: dict) -> bool:
    try:
        cls(**given)
    except ValueError:
        return False
    return True


def _value(found: shape.Type) -> st.SearchStrategy:
    match found:
        case shape.Metadata():
            return _value(found.type)
        case shape.UnionType():
            return st.one_of([_value(each) for each in found.types])
        case shape.StructType() | shape.DataclassType():
            return _built(found)
        case shape.StrType():
            return _text(found)
        case shape.IntType():
            low = found.ge if found.ge is not None else found.gt + 1 if found.gt is not None else -(1 << 63)
            high = found.le if found.le is not None else found.lt - 1 if found.lt is not None else (1 << 64) - 1
            return st.integers(low, high)
        case shape.FloatType():
            return _number(found)
        case shape.BoolType():
            return st.booleans()
        case shape.BytesType():
            return st.binary(max_size=min(found.max_length or 64, 64))
        case shape.LiteralType():
            return st.sampled_from(found.values)
        case shape.NoneType():
            return st.none()
        case shape.TupleType():
            return st.tuples(*(_value(each) for each in found.item_types))
        case shape.VarTupleType() | shape.ListType():
            most = _LONGEST if found.max_length is None else min(found.max_length, _LONGEST)
            return st.lists(_value(found.item_type), min_size=found.min_length or 0, max_size=most).map(tuple)
        case shape.DictType():
            most = _LONGEST if found.max_length is None else min(found.max_length, _LONGEST)
            return st.dictionaries(_value(found.key_type), _value(found.value_type), max_size=most)
        case shape.AnyType():
            return st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | _TEXT
    raise NotImplementedError(f"no strategy for {found}")


def _text(found: shape.StrType) -> st.SearchStrategy:
    if found.pattern is not None:
        return st.from_regex(found.pattern, fullmatch=True)
    most = 12 if found.max_length is None else min(found.max_length, 12)
    return st.text(st.characters(codec="utf-8"), min_size=found.min_length or 0, max_size=most)


def _number(found: shape.FloatType) -> st.SearchStrategy:
    low, high = (found.ge if found.ge is not None else found.gt), (found.le if found.le is not None else found.lt)
    return st.floats(
        low,
        high,
        exclude_min=found.gt is not None,
        exclude_max=found.lt is not None,
        allow_nan=False,
        allow_infinity=low is None and high is None,
    )


def described(value: Any) -> Any:
    """A message as dictionaries and lists, its tag included."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))
