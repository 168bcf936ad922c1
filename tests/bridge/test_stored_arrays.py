"""What a safetensors file says of itself is checked before room is made for its arrays."""

import json
import resource
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from cyclorama.bridge.stored_arrays import layout, numbers_at


def written(path, head, content=b"", length=None):
    text = json.dumps(head).encode() if isinstance(head, dict | list) else head
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)
    return path


def place(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_the_library_writes_is_read_bit_by_bit(tmp_path):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.zeros((0, 4), np.float32),
        "bytes": np.arange(7, dtype=np.uint8),
        "long": np.arange(3, dtype=np.int64),
    }
    path = tmp_path / "a.safetensors"
    save_file(arrays, path, {"key": "value"})
    metadata, places = layout(path, path.stat().st_size)
    assert metadata == {"key": "value"}
    found = dict(numbers_at(path, places))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


HEADS = {
    "no head": (b"", b""),
    "no object": ([], b""),
    "nested": (b'{"a":' + b"[" * 100_000, b""),
    "over each other": ({"a": place([1], [0, 4]), "b": place([1], [0, 4])}, bytes(4)),
    "a gap": ({"a": place([1], [4, 8])}, bytes(8)),
    "a rest": ({"a": place([1], [0, 4])}, bytes(8)),
    "beyond the end": ({"a": place([2], [0, 8])}, bytes(4)),
    "backwards": ({"a": place([1], [4, 0])}, bytes(4)),
    "a negative place": ({"a": place([1], [-4, 0])}, bytes(4)),
    "a negative shape": ({"a": place([-1, -1], [0, 4])}, bytes(4)),
    "a huge shape": ({"a": place([1 << 40, 3], [0, 4])}, bytes(4)),
    "a shape that overflows": ({"a": place([1 << 62, 4], [0, 0])}, b""),
    "many dimensions": ({"a": place([1] * 9, [0, 4])}, bytes(4)),
    "an unknown type": ({"a": place([1], [0, 4], "O")}, bytes(4)),
    "metadata that are no text": ({"__metadata__": {"a": 1}}, b""),
}


@pytest.mark.parametrize(("head", "content"), HEADS.values(), ids=HEADS)
def test_a_head_that_makes_no_sense_is_refused_in_a_clause(tmp_path, head, content):
    path = written(tmp_path / "a.safetensors", head, content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"cannot be read|unknown type"):
        layout(path, path.stat().st_size)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("length", [1, 1 << 27, 1 << 40, (1 << 64) - 1])
def test_a_head_of_any_length_is_refused_without_reading_so_much(tmp_path, length):
    path = written(tmp_path / "a.safetensors", {"a": place([1], [0, 4])}, bytes(4), length)
    with pytest.raises(ValueError, match="cannot be read"):
        layout(path, path.stat().st_size)


def test_a_file_of_another_size_than_expected_is_refused(tmp_path):
    path = written(tmp_path / "a.safetensors", {"a": place([1], [0, 4])}, bytes(4))
    with pytest.raises(ValueError, match="cut short or changed"):
        layout(path, path.stat().st_size + 1)
