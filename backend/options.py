"""The settings as options of the command line: derived from their declaration, and what one writes for the others.

A stroke or a region is one word of the shell; ``tyro`` shows what a ``ValueError`` says about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple, field, fields, make_dataclass
from typing import Annotated, Any, get_args, get_type_hints

import tyro
from msgspec import Meta
from tyro.constructors import PrimitiveConstructorSpec

from ..bridge.settings import DEPTH_SETTINGS, QUARTERS, Box, PanoramaTo4D, Region, Stroke, checked


def _stroke(words: list[str]) -> Stroke:
    numbers = [float(word) for word in words[0].split(",")]
    if len(numbers) != 5:
        raise ValueError(f"five numbers are needed, {len(numbers)} given")
    return Stroke(*numbers)


def _in_words(place: Stroke | Box) -> str:
    return ",".join(f"{number:g}" for number in astuple(place))


_STROKE = PrimitiveConstructorSpec(
    nargs=1,
    metavar="LON,LAT,DLON,DLAT,SPEED",
    instance_from_str=_stroke,
    is_instance=lambda value: isinstance(value, Stroke),
    str_from_instance=lambda stroke: [_in_words(stroke)],
)


_REGION_PARTS = ("box", "mask", "strength", "stroke", "prompt")
_PROMPT = re.compile(r"(?:^|;)\s*prompt\s*=")


def _region(words: list[str]) -> Region:
    """``"box=LON,LAT,WIDTH,HEIGHT; strength=1.5; stroke=LON,LAT,DLON,DLAT,SPEED; prompt=…"``.

    Or ``mask=FILE`` for the box. The prompt comes last, and semicolons belong to it.
    """
    place, *prompt = _PROMPT.split(words[0], maxsplit=1)
    parts: dict[str, str] = {}
    for part in place.split(";") if place.strip() or not prompt else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in _REGION_PARTS:
            raise ValueError(f"{part.strip()!r} is none of " + ", ".join(f"{name}=" for name in _REGION_PARTS))
        if name in parts:
            raise ValueError(f"{name}= is given twice")
        parts[name] = value
    return Region(
        mask=parts.get("mask", ""),
        box=Box(*_numbers(parts["box"], "box", 4)) if "box" in parts else None,
        prompt=prompt[0].strip() if prompt else "",
        strength=_number(parts.get("strength", "1"), "strength"),
        stroke=Stroke(*_numbers(parts["stroke"], "stroke", 5)) if "stroke" in parts else None,
    )


def _numbers(given: str, what: str, count: int) -> list[float]:
    words = given.split(",")
    if len(words) != count:
        raise ValueError(f"{what}= needs {_COUNTS[count]} numbers, {len(words)} given")
    return [_number(word, what) for word in words]


_COUNTS = {4: "four", 5: "five"}


def _number(word: str, what: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{what}= needs numbers, {word.strip()!r} is none") from None


def _region_in_words(region: Region) -> str:
    place = f"box={_in_words(region.box)}" if region.box else f"mask={region.mask}"
    stroke = f"; stroke={_in_words(region.stroke)}" if region.stroke else ""
    return f"{place}; strength={region.strength:g}{stroke}; prompt={region.prompt}"


_REGION = PrimitiveConstructorSpec(
    nargs=1,
    metavar='"box=LON,LAT,WIDTH,HEIGHT; strength=1; stroke=LON,LAT,DLON,DLAT,SPEED; prompt=TEXT"',
    instance_from_str=_region,
    is_instance=lambda value: isinstance(value, Region),
    str_from_instance=lambda region: [_region_in_words(region)],
)

_REPEATED: dict[str, tuple[str, Any, str]] = {
    "strokes": ("stroke", Annotated[Stroke, _STROKE], ""),
    "regions": (
        "region",
        Annotated[Region, _REGION],
        ". A box has its middle and size in degrees; mask=FILE stands for a painted region. "
        "Strength, stroke and prompt may be left out; the prompt comes last",
    ),
}
"""Settings that hold many: the option that adds one, its type, and what its help says beside the description."""


def _options(name: str, names: Sequence[str]) -> Any:
    """Those settings of ``PanoramaTo4D`` with what tyro needs beside them: help from the descriptions, and repeatable
    options.
    """
    hints = get_type_hints(PanoramaTo4D, include_extras=True)
    options = []
    for setting in (setting for setting in fields(PanoramaTo4D) if setting.name in names):
        kind, meta = get_args(hints[setting.name])
        if setting.name in _REPEATED:
            option_name, item, more = _REPEATED[setting.name]
            kind = tyro.conf.UseAppendAction[tuple[item, ...]]
            option = Annotated[kind, tyro.conf.arg(help=meta.description + more, name=option_name)]
        elif setting.name == "local_prompts":
            places = " ".join(name.upper() for name in QUARTERS)
            option = Annotated[tuple[str, str, str, str], tyro.conf.arg(help=meta.description, metavar=places)]
        else:
            option = Annotated[kind, tyro.conf.arg(help=_described(meta))]
        options.append((setting.name, option, field(default=setting.default)))
    return make_dataclass(name, options, frozen=True)


def _described(meta: Meta) -> str:
    """The description of a setting, and of its choices where it has some."""
    choices = "; ".join(f"{value}: {said}" for value, (_name, said) in (meta.extra or {}).items())
    return f"{meta.description}. {choices}" if choices else meta.description or ""


Options = _options("Options", [setting.name for setting in fields(PanoramaTo4D)])
"""The options of the command line: ``PanoramaTo4D``, field by field."""

DepthOptions = _options("DepthOptions", DEPTH_SETTINGS)
"""Those of them that decide how far things are."""


def chosen(options: Any) -> PanoramaTo4D:
    """The settings that ``Options`` or ``DepthOptions`` ask for, the others as they are by default.

    Raises ``CycloramaError`` for what ``checked`` refuses.
    """
    return checked(PanoramaTo4D(**{field.name: getattr(options, field.name) for field in fields(options)}))
