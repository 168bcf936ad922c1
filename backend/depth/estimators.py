"""Monocular depth estimators: what each of them promises, and which class a name stands for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jaxtyping import Float

from ...bridge.errors import CycloramaError
from ..models.checkpoints import Report, locate_network
from ..models.registry import ESTIMATORS
from .predictions import Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class ViewEstimator(Protocol):
    """A network that tells from one picture how deep it is, loaded.

    Attributes:
        name: the checkpoint, as the scene's notes name it (hub id, or a folder's own name without its path).
        licence: SPDX id or the licence's name, "" when the checkpoint does not say.
        fingerprint: the same only for the same weights and settings in the same precision.
        kind: what its numbers mean.
        size: pixels along each side of the square pictures it wants: its network's own grid.
        device: where it computes.
    """

    name: str
    licence: str
    fingerprint: str
    kind: Kind
    size: int
    device: torch.device

    def estimate(self, pictures: Float[Tensor, "picture 3 row column"]) -> Float[Tensor, "picture row column"]:
        """What the network says of square pictures that are ``icosphere.VIEW_FOV`` wide.

        Args:
            pictures: sRGB in 0..1, on ``device``, of any floating-point type; best of ``size``, else they are resized.

        Returns:
            float32, of the pictures' size, each as if it were alone: z or disparity as ``kind`` says. Nothing is
            cleaned up: half precision may overflow to infinities and NaN.
        """
        ...

    def estimate_bytes(self, pictures: int) -> int:
        """Device memory that ``estimate`` of so many pictures of ``size`` takes at its peak, beside what lies there
        now; found without computing anything.
        """
        ...

    def release(self) -> None:
        """Give back the device's memory; the network can still be used and is brought back when it is."""
        ...


CLASSES = {
    "dpt": "DPTForDepthEstimation",
    "depth-anything": "DepthAnythingForDepthEstimation",
    "depth-anything-metric": "DepthAnythingForDepthEstimation",
    "zoedepth": "ZoeDepthForDepthEstimation",
    "depth-pro": "DepthProForDepthEstimation",
}
"""Of transformers, by the estimator's name."""


def load(name: str, checkpoint: str, device: torch.device, report: Report = lambda done, total: None) -> ViewEstimator:
    """The depth estimator, ready to use; fetched from the hub if need be.

    =======================  =====================================================  =========  ==================
    name                     usual checkpoint                                       size       kind
    =======================  =====================================================  =========  ==================
    "dpt"                    Intel/dpt-large (MiDaS 3)                              384        disparity
    "depth-anything"         depth-anything/Depth-Anything-V2-Small-hf              518        disparity
    "depth-anything-metric"  depth-anything/Depth-Anything-V2-Metric-Outdoor-Small  518        metric
    "zoedepth"               Intel/zoedepth-nyu-kitti                               384        metric
    "depth-pro"              apple/DepthPro-hf                                      1536       metric
    "tiny"                   none: a folder made by ``tests/tiny_depth.py``         of folder  of folder
    =======================  =====================================================  =========  ==================

    Any checkpoint of the same class can be given instead; its size and kind follow from its own configuration.

    Args:
        name: one of ``registry.ESTIMATORS``.
        checkpoint: hub id or folder in transformers' layout (config.json, preprocessor_config.json, safetensors); ""
            for the usual one.
        device: where it will compute. On a GPU in half precision, on the CPU in float32.
        report: told of the download's progress.

    Raises ``CycloramaError``: "unknown-estimator", "checkpoint-needed" ("tiny" without a folder),
    "checkpoint-wrong-class" (something else than such an estimator), "estimator-not-metric", and as ``locate_network``,
    ``Checkpoint.model`` and ``Checkpoint.preparation`` do.
    """
    if name not in ESTIMATORS:
        raise CycloramaError(
            "unknown-estimator", f"There is no depth estimator {name}.", f"Choose one of {', '.join(ESTIMATORS)}."
        )
    if name == "tiny" and not (checkpoint and Path(checkpoint).expanduser().is_dir()):
        raise CycloramaError(
            "checkpoint-needed",
            "The depth estimator tiny needs the folder of its checkpoint.",
            ESTIMATORS["tiny"].how_to_get,
        )
    found = locate_network(checkpoint or ESTIMATORS[name].checkpoint, report)

    from .transformers_estimator import TransformersEstimator

    estimator = TransformersEstimator(found, CLASSES.get(name, ""), device)
    if name == "depth-anything-metric" and estimator.kind != "metric":
        raise CycloramaError(
            "estimator-not-metric",
            f"The checkpoint {found.address} tells which of two things is farther, but not how many metres.",
            "Use it as the estimator depth-anything, or choose one of the metric checkpoints.",
        )
    return estimator


def load_any(checkpoint: str, device: torch.device, report: Report = lambda done, total: None) -> ViewEstimator:
    """The estimator in a folder or behind a hub id, of whichever of the known classes it is.

    Raises ``CycloramaError`` as ``load`` does.
    """
    from .transformers_estimator import TransformersEstimator

    return TransformersEstimator(locate_network(checkpoint, report), "", device)
