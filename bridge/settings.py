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

QUARTERS = ("front", "right", "back", "left")
"""Of the horizon, each 90° wide, as ``PanoramaTo4D.local_prompts`` has them; the first is the panorama's centre."""

_LocalPrompt = Annotated[str, Meta(max_length=LONGEST_PROMPT)]


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
    stroke: Annotated[
        Stroke | None, Meta(description="Leads the flow in this region; none: the strokes of all, or a gentle drift")
    ] = None

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
    local_prompts: Annotated[
        tuple[_LocalPrompt, _LocalPrompt, _LocalPrompt, _LocalPrompt],
        Meta(description="What else shall move to the front, right, back and left; added to the prompt of all"),
    ] = ("", "", "", "")
    steps: Annotated[int, Meta(ge=1, le=200, description="Denoising steps of the video model")] = 25
    spherical_steps: Annotated[
        int, Meta(ge=0, le=200, description="So many of the first steps are taken on the sphere, where views agree")
    ] = 10
    memory: Annotated[float, Meta(ge=0, le=4096, description="Memory the models may take, GB; 0: what is free")] = 0.0
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
    estimator: Annotated[
        Literal["skyline", "file", "dpt", "depth-anything", "depth-anything-metric", "zoedepth", "depth-pro", "tiny"],
        Meta(
            description="What tells how far things are",
            extra={
                "skyline": ("Stage Set", "Ground, walls and sky as a stage set, without a model"),
                "file": ("Depth Image", "A depth panorama of your own"),
                "dpt": ("DPT", "What is nearer than what (MiDaS)"),
                "depth-anything": ("Depth Anything V2", "What is nearer than what; small to download"),
                "depth-anything-metric": (
                    "DA V2, Metric",
                    "Depth Anything V2 in metres; its usual weights have learned outdoors",
                ),
                "zoedepth": ("ZoeDepth", "Metres; has learned in rooms and on streets"),
                "depth-pro": ("Depth Pro", "Metres; large, and its licence is for research only"),
                "tiny": ("Tiny", "Random weights, to test an installation"),
            },
        ),
    ] = "skyline"
    estimator_checkpoint: Annotated[
        str, Meta(max_length=4096, description="Folder or hub id of the estimator's weights; empty: its usual ones")
    ] = ""
    depth_file: Annotated[
        str,
        Meta(max_length=4096, description="The depth panorama of the estimator 'file': an EXR, twice as wide as high"),
    ] = ""
    depth_file_kind: Annotated[
        Literal["distance", "disparity"],
        Meta(
            description="What the depth panorama's numbers are",
            extra={
                "distance": ("Distance", "Metres from the viewer, along the ray"),
                "disparity": ("Disparity", "1 / distance, in any unit: larger is nearer"),
            },
        ),
    ] = "distance"
    align: Annotated[
        Literal["robust", "linear", "adam", "tip4gen", "none"],
        Meta(
            description="How the views' estimates are made to agree",
            extra={
                "robust": ("Robust", "Ours: views that are wrong count less"),
                "linear": ("Least Squares", "4K4DGen's equation 4, solved at once (to compare)"),
                "adam": ("Gradient Descent", "The same as 4K4DGen solves it, slowly (to compare)"),
                "tip4gen": ("TiP4GEN", "TiP4GEN's scales and shift field (to compare)"),
                "none": ("Not at All", "Views lie over each other as they are (to compare)"),
            },
        ),
    ] = "robust"
    metric_reference: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Folder or hub id of a metric estimator that gives metres; empty: its own, or the eye's height",
        ),
    ] = ""
    eye_height: Annotated[float, Meta(ge=0.1, le=1000, description="Height of the camera above ground, metres")] = 1.6
    far_distance: Annotated[float, Meta(ge=10, le=10000, description="Distance of the sky, metres")] = 120.0
    lift: Annotated[
        Literal["direct", "fast", "4k4dgen", "tip4gen"],
        Meta(
            description="How Gaussians are made of the video and its distances",
            extra={
                "direct": ("Direct", "One Gaussian for each pixel, nothing behind edges: the fastest"),
                "fast": ("Fitted", "Ours: more where there is detail, filled in behind edges, colours as in the video"),
                "4k4dgen": (
                    "4K4DGen",
                    "As in the paper: each frame is improved in thousands of small steps; for a GPU",
                ),
                "tip4gen": ("TiP4GEN", "The same, as that paper judges what is better; for a GPU"),
            },
        ),
    ] = "fast"
    gaussians: Annotated[
        int,
        Meta(ge=0, le=100_000_000, description="Gaussians at most, from 1000; 0: as many as the resolution asks for"),
    ] = 0
    inpainter: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Folder or hub id of a model that paints what things hide; empty: done without a model",
        ),
    ] = ""
    iterations: Annotated[
        int, Meta(ge=0, le=100_000, description="Steps in which each frame is improved; 0: as many as in the paper")
    ] = 0
    densify: Annotated[
        Literal["usual", "none", "default", "mcmc"],
        Meta(
            description="How Gaussians are added and removed on the way",
            extra={
                "usual": ("As in the Paper", "As the chosen paper does it"),
                "none": ("Not at All", "Those it starts with stay"),
                "default": ("3DGS", "Where the picture is not met yet they are split; transparent ones are removed"),
                "mcmc": ("MCMC", "Transparent ones are moved to where they are needed"),
            },
        ),
    ] = "usual"
    semantic_checkpoint: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Folder or hub id of the network that compares views from beside; empty: DINOv2; 'none': none",
        ),
    ] = ""
    perceptual_checkpoint: Annotated[
        str,
        Meta(
            max_length=4096,
            description="Folder or hub id of the network that compares as the eye does; empty: VGG16; 'none': none",
        ),
    ] = ""
    compression: Annotated[
        Literal["none", "small"],
        Meta(
            description="How the scene's Gaussians are stored on disk",
            extra={
                "none": ("None", "Every number as it was computed"),
                "small": ("Small", "Rounded by less than can be seen, and packed: a fraction of the size"),
            },
        ),
    ] = "none"
    width: Annotated[
        int,
        Meta(ge=0, le=8192, description="Pixels around the horizon that are used; 0: the panorama's, up to 2048"),
    ] = 0
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Chooses the drift's direction where no stroke is, or the noise")
    ] = 0


DEPTH_SETTINGS = (
    "estimator",
    "estimator_checkpoint",
    "depth_file",
    "depth_file_kind",
    "align",
    "metric_reference",
    "eye_height",
    "far_distance",
    "memory",
    "width",
)
"""Those of ``PanoramaTo4D`` that decide how far things are: all that depth alone takes."""

DESCENT_SETTINGS = ("iterations", "densify", "semantic_checkpoint", "perceptual_checkpoint")
"""Those that only gradient descent reads."""

BY_DESCENT = ("4k4dgen", "tip4gen")
"""Ways to lift that descend gradients."""

UNREAD_BY_LIFT: dict[str, tuple[str, ...]] = {
    "direct": ("gaussians", "inpainter", *DESCENT_SETTINGS),
    "fast": DESCENT_SETTINGS,
    "4k4dgen": ("perceptual_checkpoint",),
    "tip4gen": (),
}
"""What each way to lift does not read, of that which only ways to lift do."""

FEWEST_GAUSSIANS = 1000
"""Fewer cannot close the sphere finer than 6°."""

WITHOUT_LOSS = "none"
"""As a loss's checkpoint: the loss is left out."""

READ_PROMPTS = ("animate-anything", "wan", "tiny")
"""Video models that are led by words (the tiny ones as those that they stand for)."""

WITHOUT_NETWORK = ("skyline", "file")
"""Estimators that read no weights."""

IN_METRES = ("depth-anything-metric", "zoedepth", "depth-pro")
"""Estimators whose distances are metres by themselves, whatever the checkpoint."""

Rig = Literal["auto", "still", "moving"]
"""Whether the camera of a panoramic video moves; "auto": it is looked at."""


def checked(settings: PanoramaTo4D) -> PanoramaTo4D:
    """The same settings, after their ranges were checked, and that they go together.

    Raises ``CycloramaError`` naming the one that is off: "setting-out-of-range", "depth-file-not-chosen",
    "depth-file-not-used", "estimator-checkpoint-not-used", "metric-reference-not-used",
    "lift-setting-not-used", "sky-below-the-ground".
    """
    try:
        allowed = msgspec.convert(asdict(settings), PanoramaTo4D)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        raise CycloramaError(
            "setting-out-of-range", f"The setting '{place.rstrip('`')}' cannot be used: {problem.lower()}."
        ) from error
    _check_estimator(allowed)
    _check_lift(allowed)
    if allowed.far_distance < 2 * allowed.eye_height:
        raise CycloramaError(
            "sky-below-the-ground",
            f"The sky's distance is {allowed.far_distance:g} m and the eye's height {allowed.eye_height:g} m: "
            "all would lie on the sky.",
            "Choose a sky distance of at least twice the eye height.",
        )
    return allowed


def _check_lift(settings: PanoramaTo4D) -> None:
    """What is given is read, and enough for a scene."""
    usual = PanoramaTo4D()
    if 0 < settings.gaussians < FEWEST_GAUSSIANS:
        raise CycloramaError(
            "gaussians-too-few",
            f"{settings.gaussians} Gaussians cannot close a panorama.",
            f"Allow at least {FEWEST_GAUSSIANS}, or 0 for as many as suit the panorama.",
        )
    for name in UNREAD_BY_LIFT[settings.lift]:
        if getattr(settings, name) != getattr(usual, name):
            raise CycloramaError(
                "lift-setting-not-used",
                f"The setting '{name}' is given, but the lift '{settings.lift}' does not read it.",
                "Choose another way to lift, or leave the setting out.",
            )


def _check_estimator(settings: PanoramaTo4D) -> None:
    """What is read is given, and what is given is read: else the depth would be another than was asked for."""
    chosen = settings.estimator
    if chosen == "file" and not settings.depth_file:
        raise CycloramaError(
            "depth-file-not-chosen",
            "The estimator is 'file', but no depth file is given.",
            "Choose the EXR file that holds the panorama's depth.",
        )
    if chosen != "file" and settings.depth_file:
        raise CycloramaError(
            "depth-file-not-used",
            f"A depth file is given, but the estimator is '{chosen}', which reads none.",
            "Choose the estimator 'file', or leave the depth file out.",
        )
    if chosen in WITHOUT_NETWORK and settings.estimator_checkpoint:
        raise CycloramaError(
            "estimator-checkpoint-not-used",
            f"A checkpoint is given for the estimator '{chosen}', which reads none.",
            "Choose the estimator that it is for, or leave the checkpoint out.",
        )
    if chosen in WITHOUT_NETWORK and settings.metric_reference:
        raise CycloramaError(
            "metric-reference-not-used",
            f"A metric reference is given, but the estimator '{chosen}' has metres of its own.",
            "Choose an estimator that is a network, or leave the metric reference out.",
        )
