"""Ways to spoil bytes and values. Each is fast: a million are made in a minute or two."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

WILD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 65536, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 53, (1 << 63) - 1, -(1 << 63)),
    *((1 << 64) - 1, 0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", "\0", "a\0b", "/", "..", "../../etc/passwd", "/etc/passwd", "/dev/zero", "C:\\x", "\\\\host\\x", "~", "."),
    *("x" * 5000, "é" * 200, "\U0001f600", "\u202e", "\x1b[2J", "nan", "-1", "{}", "$(id)", "%s%n", "__class__"),
    *("a/b", "scene.json", "frames/000000.safetensors", "A" * 64, "a" * 64, "0" * 64 + ".exr", "/proc/self/mem"),
    *(b"", b"\0" * 16, b"\xff" * 300, [], {}, [[]], {"": ""}, {"type": "Shutdown"}, [None] * 300),
)
"""Values that programs tend to stumble over."""

_LENGTHS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_HEADS = (0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)
"""MessagePack's bytes before a length of 8, 16 or 32 bits."""

Chance = random.Random


def spoilt(chance: Chance, content: bytes, others: Sequence[bytes]) -> bytes:
    """``content`` with one to three of its bytes' ways broken; ``others``: of which pieces may be taken."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(_BYTE_WAYS)(chance, content, others)
    return content


def _flip(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    if not content:
        return b"\xc1"
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _splice(chance: Chance, content: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return content[: chance.randrange(len(content) + 1)] + other[chance.randrange(len(other) + 1) :]


def _insert(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.randbytes(chance.choice((1, 1, 2, 4, 16))) + content[at:]


def _repeat(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    begin = chance.randrange(len(content))
    end = begin + chance.randrange(1, 33)
    return content[:end] + content[begin:end] * chance.choice((1, 2, 30)) + content[end:]


def _drop(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    begin = chance.randrange(len(content) + 1)
    return content[:begin] + content[begin + chance.randrange(1, 9) :]


def _claim(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    """Put the head of something long where there is nothing long."""
    at = chance.randrange(len(content) + 1)
    length = chance.choice(_LENGTHS).to_bytes(4, "big")[-chance.choice((1, 2, 4)) :]
    return content[:at] + bytes([chance.choice(_HEADS)]) + length + content[at + chance.randrange(6) :]


def _overwrite(chance: Chance, content: bytes, _others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] = chance.choice((0, 0x7F, 0x80, 0x8F, 0x9F, 0xA0, 0xC0, 0xC1, 0xDF, 0xFF))
    return bytes(changed)


_BYTE_WAYS: tuple[Callable[[Chance, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _cut, _splice, _insert, _repeat, _drop, _claim, _overwrite),
)


def warped(chance: Chance, value: Any) -> Any:
    """A copy of a tree of dictionaries and lists in which one place holds something else, is gone, or is new."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        changed = dict(value)
        way = chance.random()
        if way < 0.08:
            del changed[key]
        elif way < 0.12:
            changed[chance.choice(("", "type", "request", "extra", "x" * 300))] = changed.pop(key)
        elif way < 0.16:
            changed[chance.choice(("new", "type", "__class__"))] = chance.choice(WILD)
        else:
            changed[key] = warped(chance, value[key])
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        changed = list(value)
        if chance.random() < 0.2:
            changed[at:at] = [value[at]] * chance.choice((1, 3, 100))
        else:
            changed[at] = warped(chance, value[at])
        return changed
    if chance.random() < 0.02:
        return nested(chance.choice((10, 200, 3000)))
    return chance.choice(WILD)


def nested(depth: int) -> Any:
    """Lists in lists; packed without recursion by ``packed_nest``, for what is deeper."""
    value: Any = 0
    for _ in range(min(depth, 200)):
        value = [value]
    return value


def packed(value: Any) -> bytes:
    """As MessagePack; what cannot be packed (a number too large) as nothing."""
    try:
        return msgspec.msgpack.encode(value)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return b"\xc0"


def packed_nest(chance: Chance) -> bytes:
    """A message that is nested far deeper than any parser's stack."""
    opening = chance.choice((b"\x91", b"\x81\xa1x", b"\xdc\x00\x01", b"\x82\xa4type\xa4Ping\xa1x\x91"))
    return opening * chance.choice((100, 1000, 100_000))
