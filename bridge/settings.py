"""What an artist can set, declared once: the wire, the command line and Blender's panel derive from it.

Ranges and descriptions sit in the annotations (``msgspec.Meta``); ``msgspec.convert`` checks them at the border.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from .errors import CycloramaError


@dataclass(frozen=True)
class Stroke:
    """A direction stroke: an arrow on the panorama along which its surroundings move."""

    longitude: Annotated[float, Meta(ge=-180, le=180, description="Start of the arrow, degrees right of centre")]
    latitude: Annotated[float, Meta(ge=-90, le=90, description="Start of the arrow, degrees above the horizon")]
    d_longitude: Annotated[float, Meta(ge=-180, le=180, description="From start to tip, degrees to the right")]
    d_latitude: Annotated[float, Meta(ge=-180, le=180, description="From start to tip, degrees upwards")]
    speed: Annotated[float, Meta(gt=0, le=180, description="Speed in degrees of arc per second")]


@dataclass(frozen=True)
class PanoramaTo4D:
    """Settings of the recipe *Panorama to 4D*: a still 360° panorama becomes a moving 3D scene."""

    frames: Annotated[int, Meta(ge=1, le=1000, description="Length of the loop in frames")] = 24
    fps: Annotated[float, Meta(ge=1, le=240, description="Frames per second")] = 24.0
    mask: Annotated[
        str, Meta(description="Image of the panorama's size, white where it moves; empty: sky and water are found")
    ] = ""
    strokes: Annotated[
        tuple[Stroke, ...], Meta(max_length=256, description="Direction strokes; none: a gentle drift")
    ] = ()
    strength: Annotated[float, Meta(ge=0, le=10, description="Multiplies the speed of all motion")] = 1.0
    eye_height: Annotated[float, Meta(ge=0.1, le=1000, description="Height of the camera above ground, metres")] = 1.6
    far_distance: Annotated[float, Meta(ge=10, le=10000, description="Distance of the sky, metres")] = 120.0
    width: Annotated[
        int,
        Meta(ge=0, le=8192, description="Pixels around the horizon that are lifted; 0: the panorama's, up to 2048"),
    ] = 0
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Chooses the drift's direction where no stroke is")] = 0


def checked(settings: PanoramaTo4D) -> PanoramaTo4D:
    """The same settings, after their ranges were checked. Raises ``CycloramaError`` naming the one that is off."""
    try:
        return msgspec.convert(asdict(settings), PanoramaTo4D)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        raise CycloramaError(
            "setting-out-of-range", f"The setting '{place.rstrip('`')}' cannot be used: {problem.lower()}."
        ) from error
