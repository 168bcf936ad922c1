"""Point clouds as arrays: names, shapes, units and colour space, for both sides of the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

POINT_COLUMNS = {"position": 3, "colour": 3, "radius": 1}
"""Array name -> numbers per point."""


@dataclass(frozen=True)
class Points:
    """n points in scene space, all float32.

    Attributes:
        position: (n, 3) metres.
        colour: (n, 3) scene-linear Rec.709, emitted.
        radius: (n, 1) metres.
    """

    position: np.ndarray
    colour: np.ndarray
    radius: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def arrays(self) -> dict[str, np.ndarray]:
        """The same by the names used on disk (``POINT_COLUMNS``)."""
        return {name: getattr(self, name) for name in POINT_COLUMNS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Points:
        """The inverse of ``arrays``; unknown names are left out."""
        return cls(*(arrays[name] for name in POINT_COLUMNS))


def point_faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """What is wrong with the values of such arrays, a clause each; nothing when all is well."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            yield f"'{name}' holds NaN or infinity"
        elif name in ("radius", "colour") and len(array) and array.min() < 0:
            yield f"'{name}' holds negative numbers"
