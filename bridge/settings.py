"""What an artist can set, declared once: the wire, the command line and Blender's panel derive from it.

Ranges, descriptions and the names of choices sit in the annotations (``msgspec.Meta``); ``msgspec.convert`` checks them
at the border.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .errors import CycloramaError

DEFAULT_FRAMES = 24
"""Length of a loop of the flow, where ``PanoramaTo4D.frames`` is 0; a video model knows its own."""

DEFAULT_FPS = 24.0
"""The same for its frames per second."""

LONGEST_PROMPT = 1000
"""Characters."""


@dataclass(frozen=True)
class Stroke:
    """A direction stroke: an arrow on the panorama along which its surroundings move."""

    longitude: Annotated[float, Meta(ge=-180, le=180, description="Start of the arrow, degrees right of centre")]
    latitude: Annotated[float, Meta(ge=-90, le=90, description="Start of the arrow, degrees above the horizon")]
    d_longitude: Annotated[float, Meta(ge=-180, le=180, description="From start to tip, degrees to the right")]
    d_latitude: Annotated[float, Meta(ge=-180, le=180, description="From start to tip, degrees upwards")]
    speed: Annotated[float, Meta(gt=0, le=180, description="Speed in degrees of arc per second")]


@dataclass(frozen=True)
class Box:
    """What lies between two meridians and two circles of latitude, as an artist spans it with two clicks.

    It may cross ±180°. What of it lies beyond a pole goes on down the other side.
    """

    longitude: Annotated[float, Meta(ge=-180, le=180, description="Middle of the box, degrees right of centre")]
    latitude: Annotated[float, Meta(ge=-90, le=90, description="Middle of the box, degrees above the horizon")]
    width: Annotated[float, Meta(ge=0, le=360, description="Degrees of longitude; 360: all around")]
    height: Annotated[float, Meta(ge=0, le=180, description="Degrees of latitude")]


@dataclass(frozen=True)
class Region:
    """A part of the panorama that moves in its own way: what is painted in ``mask``, or a ``box``.

    Raises:
        ValueError: both are given, or neither.
    """

    mask: Annotated[str, Meta(description="Image of the panorama's size, white where it moves")] = ""
    box: Annotated[Box | None, Meta(description="A box on the panorama, instead of a mask")] = None
    prompt: Annotated[
        str, Meta(max_length=LONGEST_PROMPT, description="What shall move here, and how; empty: the prompt of all")
    ] = ""
    strength: Annotated[float, Meta(ge=0, le=10, description="Multiplies the strength of all motion")] = 1.0

    def __post_init__(self):
        if bool(self.mask) == (self.box is not None):
            raise ValueError("A region needs a box or a mask, " + ("not both" if self.mask else "and has neither"))


@dataclass(frozen=True)
class PanoramaTo4D:
    """Settings of the recipe *Panorama to 4D*: a still 360° panorama becomes a moving 3D scene.

    The choices' names and descriptions for people are in ``Meta.extra``: value -> (name, description).
    """

    animator: Annotated[
        Literal["flow", "panoramic"],
        Meta(
            description="What makes the panorama move",
            extra={
                "flow": ("Flow", "Pixels follow strokes or drift gently, without a model"),
                "panoramic": ("Video Model", "A video diffusion model animates all views at once (4K4DGen)"),
            },
        ),
    ] = "flow"
    model: Annotated[
        Literal["svd", "animate-anything", "wan", "tiny"],
        Meta(
            description="The video model of the panoramic animator",
            extra={
                "svd": ("Stable Video Diffusion", "Moves by itself, reads no prompt"),
                "animate-anything": ("Animate Anything", "Made for regions and motion strength"),
                "wan": ("Wan", "Image to video, led by the prompt"),
                "tiny": ("Tiny", "Random weights, to test an installation"),
            },
        ),
    ] = "svd"
    checkpoint: Annotated[
        str, Meta(max_length=4096, description="Folder or hub id of the model's weights; empty: the model's usual ones")
    ] = ""
    agreement: Annotated[
        Literal["sphere", "views", "panorama"],
        Meta(
            description="How the panoramic animator makes the views agree",
            extra={
                "sphere": ("On the Sphere", "All views denoise one sphere together (4K4DGen)"),
                "views": ("Not at All", "Each view is animated for itself (to compare)"),
                "panorama": ("One Wide Picture", "The panorama is animated as if it were flat (to compare)"),
            },
        ),
    ] = "sphere"
    prompt: Annotated[
        str, Meta(max_length=LONGEST_PROMPT, description="What shall move, and how, for video models that read")
    ] = ""
    steps: Annotated[int, Meta(ge=1, le=200, description="Denoising steps of the video model")] = 25
    spherical_steps: Annotated[
        int, Meta(ge=0, le=200, description="So many of the first steps are taken on the sphere, where views agree")
    ] = 10
    memory: Annotated[
        float, Meta(ge=0, le=4096, description="Memory the video model may take, GB; 0: what is free")
    ] = 0.0
    frames: Annotated[
        int, Meta(ge=0, le=1000, description="Length in frames; 0: 24, or what the video model was made for")
    ] = 0
    fps: Annotated[
        float, Meta(ge=0, le=240, description="Frames per second; 0: 24, or what the video model was made for")
    ] = 0.0
    mask: Annotated[
        str, Meta(description="Image of the panorama's size, white where it moves; empty: sky and water are found")
    ] = ""
    regions: Annotated[
        tuple[Region, ...],
        Meta(max_length=32, description="Regions that move in their own ways, not the mask; later ones lie on top"),
    ] = ()
    strokes: Annotated[
        tuple[Stroke, ...], Meta(max_length=256, description="Direction strokes of the flow; none: a gentle drift")
    ] = ()
    strength: Annotated[float, Meta(ge=0, le=10, description="Multiplies the speed of all motion")] = 1.0
    eye_height: Annotated[float, Meta(ge=0.1, le=1000, description="Height of the camera above ground, metres")] = 1.6
    far_distance: Annotated[float, Meta(ge=10, le=10000, description="Distance of the sky, metres")] = 120.0
    width: Annotated[
        int,
        Meta(ge=0, le=8192, description="Pixels around the horizon that are lifted; 0: the panorama's, up to 2048"),
    ] = 0
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Chooses the drift's direction where no stroke is, or the noise")
    ] = 0


def checked(settings: PanoramaTo4D) -> PanoramaTo4D:
    """The same settings, after their ranges were checked. Raises ``CycloramaError`` naming the one that is off."""
    try:
        return msgspec.convert(asdict(settings), PanoramaTo4D)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        raise CycloramaError(
            "setting-out-of-range", f"The setting '{place.rstrip('`')}' cannot be used: {problem.lower()}."
        ) from error
