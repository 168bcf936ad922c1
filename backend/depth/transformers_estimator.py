"""Depth estimators that are networks of transformers: DPT, Depth Anything, ZoeDepth and DepthPro.

What ``predicted_depth`` is, as their code and their papers say:

- DPT (MiDaS): disparity, up to scale and shift. With a projection in its head it is one of DINOv2's own: metres.
- Depth Anything: disparity, or where the configuration says "metric", a sigmoid times ``max_depth``: metres.
- ZoeDepth: metres, by one of several heads, each for a domain (indoors, outdoors), which a classifier chooses.
- DepthPro: canonical inverse depth C; z = f / (w·C), w being the picture's width and f the focal length in pixels
  ("Depth Pro", section 3.1), so z = 1 / (2·tan(fov/2)·C). Our field of view is known, so the network's own guess of it
  is not even computed.

All of them give z along the optical axis, not the distance along the ray.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from ..models.checkpoints import Checkpoint
from ..models.layout import PREPARATION, WHOLE
from ..models.memory import activation_bytes, weights_bytes
from ..sphere.icosphere import VIEW_FOV
from .predictions import Kind

HEADS = {
    "DPTForDepthEstimation": ("head",),
    "DepthAnythingForDepthEstimation": ("head",),
    "ZoeDepthForDepthEstimation": ("relative_head", "metric_head"),
    "DepthProForDepthEstimation": ("head",),
}
"""The classes there are, and their parts that compute in float32 even where the others do in half precision: numbers
that span the whole range of depths leave them, and ZoeDepth's works with exponentials and logarithms."""

UNUSED = "neck.fusion_stage.layers.0.residual_layer1."
"""The first fusion layer has nothing to add as a residual. DPT's own checkpoints lack these weights."""

NEAREST, FARTHEST = 1e-4, 1e4
"""Metres within which DepthPro's answers are kept (as transformers' post-processing does)."""

Pictures = Float[Tensor, "picture 3 row column"]
Values = Float[Tensor, "picture row column"]


class TransformersEstimator:
    """A ``ViewEstimator``; its attributes are described there.

    Args:
        checkpoint: in transformers' flat layout.
        cls: the class it has to be of, one of ``HEADS``; "" for any of them.
        device: where it computes, in half precision if it is a GPU.
        dtype: instead of what the device suggests.

    Raises ``CycloramaError``: "checkpoint-wrong-class", "checkpoint-lacks-component", "checkpoint-damaged".
    """

    def __init__(self, checkpoint: Checkpoint, cls: str, device: torch.device, dtype: torch.dtype | None = None):
        cls = cls or _class_named_in(checkpoint)
        self.name, self.licence, self.device = checkpoint.name, checkpoint.licence, device
        self._dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
        self.fingerprint = f"{checkpoint.fingerprint} {self._dtype}"
        self._network = _network(checkpoint, cls, self._dtype)
        self.kind: Kind = kind_of(cls, self._network.config)
        self._preparation = _preparation(checkpoint, cls, self._network.config)
        self.size = self._preparation.size
        self._inverse = cls == "DepthProForDepthEstimation"
        self._network.to(device)

    @torch.no_grad()
    def estimate(self, pictures: Pictures) -> Values:
        """See ``ViewEstimator``."""
        self._network.to(self.device)
        return self._values(pictures.to(self.device), self._answers)

    def estimate_bytes(self, pictures: int) -> int:
        """See ``ViewEstimator``."""
        lies_at = next(self._network.parameters()).device

        def call() -> Values:
            with _FirstDomain():
                zeros = torch.zeros(pictures, 3, self.size, self.size, device=lies_at)
                return self._values(zeros, self._answers_together)

        _remember_positions(self._network, self._preparation.grid)
        activations = activation_bytes(call, self._network)
        return activations + (0 if lies_at.type == self.device.type else weights_bytes(self._network))

    def release(self) -> None:
        """See ``ViewEstimator``."""
        self._network.to("cpu")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _values(self, pictures: Pictures, answers: Callable[[Tensor], Tensor]) -> Values:
        prepared = self._preparation.prepare(pictures.float()).to(self._dtype)
        values = self._preparation.restore(answers(prepared).float(), pictures.shape[-1])
        return _z_from_canonical(values) if self._inverse else values

    def _answers_together(self, prepared: Tensor) -> Tensor:
        return self._network(pixel_values=prepared).predicted_depth

    def _answers(self, prepared: Tensor) -> Tensor:
        """What the network predicts of each picture as if it were alone.

        ZoeDepth lets a batch's pictures vote for one domain; those that were outvoted are asked again among themselves.
        """
        found = self._network(pixel_values=prepared)
        values, votes = found.predicted_depth, getattr(found, "domain_logits", None)
        if votes is None:
            return values
        own, elected = votes.argmax(dim=-1), int(votes.sum(dim=0).argmax())
        for domain in own.unique().tolist():
            if domain != elected:
                values[own == domain] = self._network(pixel_values=prepared[own == domain]).predicted_depth
        return values


def kind_of(cls: str, config: Any) -> Kind:
    """What ``predicted_depth`` of a network means, by its class and its configuration (the module's docstring)."""
    if cls == "DPTForDepthEstimation":
        return "metric" if config.add_projection else "disparity"
    if cls == "DepthAnythingForDepthEstimation":
        return "metric" if config.depth_estimation_type == "metric" else "disparity"
    return "metric"


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes what a network sees, and its answer one for the picture.

    Attributes:
        size: pixels along each side of the picture.
        margin: pixels around it, in which it is mirrored (ZoeDepth errs at the edges of what it sees).
        grid: pixels along each side of what the network sees.
        mode: of the interpolation between the two.
        mean, std: (3, 1, 1) of colours in 0..1, which become 0 and 1.
    """

    size: int
    margin: int
    grid: int
    mode: str
    mean: Float[Tensor, "3 1 1"]
    std: Float[Tensor, "3 1 1"]

    def prepare(self, pictures: Pictures) -> Pictures:
        """Square float32 pictures in 0..1 as the network wants them."""
        if pictures.shape[-1] != self.size:
            pictures = interpolate(pictures, (self.size,) * 2, mode="bicubic", antialias=True).clamp(0, 1)
        if self.margin:
            pictures = pad(pictures, (self.margin,) * 4, mode="reflect")
        if pictures.shape[-1] != self.grid:
            pictures = interpolate(pictures, (self.grid,) * 2, mode=self.mode, align_corners=True)
        return (pictures - self.mean.to(pictures.device)) / self.std.to(pictures.device)

    def restore(self, answers: Values, size: int) -> Values:
        """The network's answers for pictures of ``size``."""
        answers = _resized(answers, self.size + 2 * self.margin)
        answers = answers[:, self.margin : self.margin + self.size, self.margin : self.margin + self.size]
        return _resized(answers, size)


def _resized(values: Values, size: int) -> Values:
    if values.shape[-2:] == (size, size):
        return values
    return interpolate(values[:, None], (size, size), mode="bicubic", align_corners=False)[:, 0]


def _z_from_canonical(inverse: Values) -> Values:
    """DepthPro's z in metres, of views ``VIEW_FOV`` wide."""
    return 1 / (inverse * (2 * math.tan(VIEW_FOV / 2))).clamp(1 / FARTHEST, 1 / NEAREST)


def _class_named_in(checkpoint: Checkpoint) -> str:
    named = [str(name) for name in checkpoint.config(WHOLE).get("architectures") or ["unknown"]]
    known = [name for name in named if name in HEADS]
    if not known:
        raise checkpoint.wrong_class(WHOLE, named[0], f"one of {', '.join(HEADS)}")
    return known[0]


def _network(checkpoint: Checkpoint, cls: str, dtype: torch.dtype) -> Any:
    config = checkpoint.config(WHOLE)
    if isinstance(config.get("backbone"), str) and not config.get("backbone_config"):
        raise checkpoint.damaged(WHOLE, "its config.json names a backbone instead of describing it")
    settings = {"use_fov_model": False} if cls == "DepthProForDepthEstimation" else {}
    network = checkpoint.model(WHOLE, getattr(transformers, cls), dtype, UNUSED, **settings)
    for head in HEADS[cls]:
        part = getattr(network, head).float()
        part.register_forward_pre_hook(_in_float32, with_kwargs=True)
    return network


def _in_float32(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.float(), (args, kwargs))


def _preparation(checkpoint: Checkpoint, cls: str, config: Any) -> Preparation:
    told = checkpoint.preparation()
    try:
        return preparation_of(told, cls, config)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise checkpoint.damaged(WHOLE, f"its {PREPARATION} cannot be understood") from error


def preparation_of(told: Mapping[str, Any], cls: str, config: Any) -> Preparation:
    """What a ``preprocessor_config.json`` asks for, for square pictures; as transformers' image processors do it.

    Raises ``TypeError``, ``ValueError``, ``KeyError``, ``AttributeError``, ``RuntimeError`` or ``ZeroDivisionError``
    when it makes no sense.
    """
    vision = config if getattr(config, "backbone_config", None) is None else config.backbone_config
    height, width = _height_and_width(told, cls, vision)
    patch = getattr(vision, "patch_size", None) or config.patch_size
    multiple = 1 if cls == "DepthProForDepthEstimation" else max(round(told.get("ensure_multiple_of", 1)), patch)
    size = grid = _rounded(min(height, width), multiple)
    margin = 0
    if cls == "ZoeDepthForDepthEstimation":
        margin = int(math.sqrt(size / 2) * 3) if told.get("do_pad", True) else 0
        grid = min((height, width), key=lambda side: abs(1 - side / (size + 2 * margin)))
        grid = _rounded(grid, multiple)
    white = 255 * told.get("rescale_factor", 1 / 255) if told.get("do_rescale", True) else 255.0
    mean, std = (told.get(key, 0.5) for key in ("image_mean", "image_std"))
    if not told.get("do_normalize", True):
        mean, std = 0.0, 1.0
    mode = "bicubic" if told.get("resample") == 3 else "bilinear"
    return Preparation(size, margin, grid, mode, _three(mean) / white, _three(std) / white)


def _height_and_width(told: Mapping[str, Any], cls: str, vision: Any) -> tuple[int, int]:
    if not told.get("do_resize", True):
        return vision.image_size, vision.image_size
    usual = {"ZoeDepthForDepthEstimation": (384, 512), "DepthProForDepthEstimation": (1536, 1536)}
    size = told.get("size", usual.get(cls, (384, 384)))
    if isinstance(size, Mapping):
        size = (size["height"], size["width"]) if "height" in size else size["shortest_edge"]
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _rounded(side: int, multiple: int) -> int:
    return max(round(side / multiple), 1) * multiple


def _three(value: Any) -> Float[Tensor, "3 1 1"]:
    return torch.as_tensor(value, dtype=torch.float32).expand(3)[:, None, None]


def _remember_positions(network: Any, grid: int) -> None:
    """BEiT keeps the first indices it makes for a size of picture, for the whole process: let them be real ones."""
    patches = grid // getattr(network, "patch_size", grid)
    for part in network.modules():
        if hasattr(part, "generate_relative_position_index"):
            part.generate_relative_position_index((patches, patches))


class _FirstDomain(TorchFunctionMode):
    """Within it ZoeDepth takes its first head, whatever the votes: without numbers there are none to look at."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return 0 if func is Tensor.item else func(*args, **(kwargs or {}))
