"""Gaussians as arrays: names, shapes, units and colour space, for both sides of the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic: colour = 0.5 + SH_C0 · DC coefficient."""

COLOUR = "scene-linear Rec.709"
"""What our DC coefficients stand for. (Other tools' splats mean sRGB.)"""

COLUMNS = {"position": 3, "rotation": 4, "scale": 3, "radiance:base": 4}
"""Array name -> numbers per Gaussian. The names are those of Blender 5.3's native splats."""


@dataclass(frozen=True)
class Gaussians:
    """n Gaussians in scene space, all float32.

    Attributes:
        position: (n, 3) metres.
        rotation: (n, 4) unit quaternion w, x, y, z; turns local axes into scene space.
        scale: (n, 3) linear standard deviations in metres along the local axes; the flat ones are thinnest along z.
        radiance: (n, 4) DC coefficients of scene-linear Rec.709 red, green, blue (may exceed 1: HDR), and opacity 0..1.
    """

    position: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    radiance: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def arrays(self) -> dict[str, np.ndarray]:
        """The same by the names used on disk (``COLUMNS``)."""
        return {name: getattr(self, field.name) for name, field in zip(COLUMNS, fields(self), strict=True)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Gaussians:
        """The inverse of ``arrays``; unknown names are left out."""
        return cls(*(arrays[name] for name in COLUMNS))

    def __getitem__(self, chosen) -> Gaussians:
        """Those chosen by an index array, mask or slice."""
        return Gaussians(*(array[chosen] for array in self.arrays().values()))


def radiance_from_colour(colour: np.ndarray, opacity: np.ndarray | float) -> np.ndarray:
    """(n, 3) scene-linear colour and opacity -> (n, 4) ``radiance:base``, float32."""
    radiance = np.empty((len(colour), 4), np.float32)
    radiance[:, :3] = (colour - 0.5) / SH_C0
    radiance[:, 3] = opacity
    return radiance


def colour_from_radiance(radiance: np.ndarray) -> np.ndarray:
    """(n, 4) ``radiance:base`` -> (n, 3) scene-linear colour."""
    return 0.5 + SH_C0 * radiance[:, :3]


def faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """What is wrong with the values of such arrays, a clause each; nothing when all is well."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            yield f"'{name}' holds NaN or infinity"
        elif name == "scale" and len(array) and array.min() < 0:
            yield "'scale' holds negative numbers"
        elif name == "rotation" and len(array) and np.abs(_lengths(array) - 1).max() > 1e-3:
            yield "'rotation' holds quaternions that are not of unit length"
        elif name == "radiance:base" and len(array) and (array[:, 3].min() < 0 or array[:, 3].max() > 1):
            yield "'radiance:base' holds opacities outside 0..1"


def _lengths(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite is far from 1 too
        return np.linalg.norm(array, axis=1)


def joined(*parts: Gaussians) -> Gaussians:
    """All of them, in their order."""
    arrays = [part.arrays() for part in parts]
    return Gaussians.from_arrays({name: np.concatenate([each[name] for each in arrays]) for name in COLUMNS})
