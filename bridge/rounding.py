"""Gaussians' arrays rounded to whole numbers, as finely as no eye can tell, and back: the lossy half of packing.

position     direction on the octahedron (Meyer et al. 2010, "On floating-point normal vectors"), logarithm of the
             distance: so the error is an angle and a share of the distance, 1 m away as at the horizon
rotation     the smallest three of the quaternion's numbers; its sign is not kept (both mean the same rotation)
scale        logarithms: of the first, and of each relative to the one before
radiance     square roots of the colours (close to sRGB's curve, on beyond white, and signed), red and blue as
             differences to green; opacity evenly
"""

from __future__ import annotations

import msgspec
import numpy as np

from .gaussians import SH_C0

_DIRECTION = 1 << 18
"""Steps from the octahedron's middle to its corners."""

_DISTANCE = 1 << 15
"""Steps per doubling."""

_ROTATION = 1 << 17
"""Steps per unit. Splats on ground seen at a grazing angle are fifty times as long as wide: the least tilt shows."""

_SCALE = 1 << 8
"""Steps per doubling."""

_COLOUR = 1 << 10
"""Steps of the square root, from black to white."""

_OPACITY = 1023

_SMALLEST = 1e-12
"""Metres; what is smaller (0 has no logarithm) becomes this."""

_LARGEST = 1e12

_BLOCK = 1 << 14
"""So many Gaussians are worked on at once: what is made on the way stays in the processor's cache."""

_LN2 = float(np.log(2))


class Error(msgspec.Struct, frozen=True):
    """What no rounded number is further off by. (Metres below 1e-12, and all beyond 1e12, become that number.)

    Attributes:
        direction_degrees: of a position, seen from the origin.
        distance_share: of its distance from the origin.
        rotation_degrees: between the rotation and the rounded one.
        scale_share: of each scale.
        colour_srgb: of each colour after the sRGB curve, where black is 0 and white is 1.
        opacity: of 0..1.
    """

    direction_degrees: float
    distance_share: float
    rotation_degrees: float
    scale_share: float
    colour_srgb: float
    opacity: float


ERROR = Error(
    direction_degrees=0.0005,
    distance_share=0.000012,
    rotation_degrees=0.0016,
    scale_share=0.0014,
    colour_srgb=0.00072,
    opacity=0.0005,
)
"""From half of each step above. Colours: 1/2048 of the root, times the steepest that sRGB rises over the root, 1.45."""

_PAIRS = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
"""Which number of a quaternion stands where, by which is the largest (that comes first); its own inverse."""


def rounded(name: str, array: np.ndarray) -> np.ndarray:
    """(n, width) float32 array of the name in ``COLUMNS``, all finite -> (width, n) int32."""
    return np.ascontiguousarray(_FORMS[name][0](array.astype(np.float64)).T, np.int32)


def restored(name: str, numbers: np.ndarray) -> np.ndarray:
    """The inverse of ``rounded``, to within ``ERROR``: (width, n) int32 -> (n, width) float32."""
    width, count = numbers.shape
    array = np.empty((count, width), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # of damaged numbers; ``gaussians.faults`` tells
        for begin in range(0, count, _BLOCK):
            array[begin : begin + _BLOCK] = _FORMS[name][1](numbers[:, begin : begin + _BLOCK])
    return array


def along_curve(numbers: np.ndarray) -> np.ndarray:
    """(n,) indices that put neighbours in direction one after the other: a Z-shaped curve over the octahedron.

    Args:
        numbers: (3, n) int32, rounded positions.
    """
    u, v = ((numbers[:2] + _DIRECTION) >> 3).astype(np.uint32)  # 16 bits each
    return np.argsort(_spread(u) | (_spread(v) << np.uint32(1)), kind="stable")  # Morton 1966


def _spread(x: np.ndarray) -> np.ndarray:
    """The lower 16 bits, a zero between each two."""
    x = np.minimum(x, 0xFFFF)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        x = (x | (x << np.uint32(shift))) & np.uint32(mask)
    return x


def _round(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.int32)


def _logarithm(metres: np.ndarray, steps: int) -> np.ndarray:
    return _round(np.log2(np.clip(metres, _SMALLEST, _LARGEST)) * steps)


def _exponential(numbers: np.ndarray, steps: int) -> np.ndarray:
    return np.exp(numbers.astype(np.float32) * np.float32(_LN2 / steps))


def _octahedral(position: np.ndarray) -> np.ndarray:
    length = np.abs(position).sum(axis=1, keepdims=True)
    u, v, w = (position / np.where(length > 0, length, 1)).T
    below = w < 0
    u, v = (
        np.where(below, np.copysign(1 - np.abs(v), u), u),
        np.where(below, np.copysign(1 - np.abs(u), v), v),
    )
    return _round(np.stack([u, v], axis=1) * _DIRECTION)


def _position_in(position: np.ndarray) -> np.ndarray:
    distance = _logarithm(np.linalg.norm(position, axis=1), _DISTANCE)
    return np.column_stack([_octahedral(position), distance])


def _position_out(numbers: np.ndarray) -> np.ndarray:
    position = np.empty((numbers.shape[1], 3), np.float32)
    u, v = numbers[:2].astype(np.float32) * np.float32(1 / _DIRECTION)
    w = 1 - np.abs(u) - np.abs(v)
    fold = np.maximum(-w, 0)
    u -= np.copysign(fold, u)
    v -= np.copysign(fold, v)
    stretch = _exponential(numbers[2], _DISTANCE) / np.sqrt(u * u + v * v + w * w)
    for column, axis in enumerate((u, v, w)):
        np.multiply(axis, stretch, out=position[:, column])
    return position


def _rotation_in(rotation: np.ndarray) -> np.ndarray:
    rotation = rotation / np.linalg.norm(rotation, axis=1, keepdims=True)
    largest = np.abs(rotation).argmax(axis=1)
    turned = np.take_along_axis(rotation, _PAIRS[largest], axis=1)
    turned *= np.where(turned[:, :1] < 0, -1, 1)
    return np.column_stack([_round(turned[:, 1:] * _ROTATION), largest])


def _rotation_out(numbers: np.ndarray) -> np.ndarray:
    three = numbers[:3].astype(np.float32) * np.float32(1 / _ROTATION)
    turned = np.empty((numbers.shape[1], 4), np.float32)
    turned[:, 1:] = three.T
    turned[:, 0] = np.sqrt(np.maximum(1 - np.einsum("ij,ij->j", three, three), 0))
    places = _PAIRS[numbers[3] & 3]
    places += np.arange(0, turned.size, 4)[:, None]
    return turned.ravel().take(places)


def _scale_in(scale: np.ndarray) -> np.ndarray:
    return np.diff(_logarithm(scale, _SCALE), axis=1, prepend=0)


def _scale_out(numbers: np.ndarray) -> np.ndarray:
    scale = np.empty((numbers.shape[1], 3), np.float32)
    logarithm = np.zeros(numbers.shape[1], np.int32)
    for column, further in enumerate(numbers):
        logarithm += further
        scale[:, column] = _exponential(logarithm, _SCALE)
    return scale


def _radiance_in(radiance: np.ndarray) -> np.ndarray:
    colour = np.clip(0.5 + SH_C0 * radiance[:, :3], -_LARGEST, _LARGEST)
    red, green, blue = _round(np.copysign(np.sqrt(np.abs(colour)), colour) * _COLOUR).T
    return np.column_stack([green, red - green, blue - green, _round(radiance[:, 3] * _OPACITY)])


def _radiance_out(numbers: np.ndarray) -> np.ndarray:
    radiance = np.empty((numbers.shape[1], 4), np.float32)
    green = numbers[0]
    for column, whole in enumerate((green + numbers[1], green, green + numbers[2])):
        root = whole.astype(np.float32) * np.float32(1 / (_COLOUR * SH_C0**0.5))
        np.multiply(root, np.abs(root), out=radiance[:, column])
    radiance[:, :3] -= np.float32(0.5 / SH_C0)
    radiance[:, 3] = numbers[3].astype(np.float32) * np.float32(1 / _OPACITY)
    return radiance


_FORMS = {
    "position": (_position_in, _position_out),
    "rotation": (_rotation_in, _rotation_out),
    "scale": (_scale_in, _scale_out),
    "radiance:base": (_radiance_in, _radiance_out),
}
