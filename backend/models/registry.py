"""The families of video models, depth estimators and feature networks that a user can name, and their checkpoints."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path


@dataclass(frozen=True)
class Family:
    """A kind of model.

    Attributes:
        name: as in ``--model`` or ``--estimator``.
        checkpoint: hub id of its usual checkpoint, "" when it has none there.
        how_to_get: what to do for a checkpoint when the hub has none, "" otherwise.
        others: hub ids of other checkpoints of this kind.
    """

    name: str
    checkpoint: str = ""
    how_to_get: str = ""
    others: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "svd",
            "stabilityai/stable-video-diffusion-img2vid",
            others=("stabilityai/stable-video-diffusion-img2vid-xt",),
        ),
        Family(
            "animate-anything",
            how_to_get="Unpack animate_anything_svd_v1.0 from the project's page and pass its folder as --checkpoint.",
        ),
        Family("wan", "Wan-AI/Wan2.2-TI2V-5B-Diffusers", others=("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",)),
        Family("tiny", how_to_get="Make one with: python tests/tiny_checkpoints.py FOLDER"),
    )
}

ESTIMATORS: dict[str, Family] = {
    family.name: family
    for family in (
        Family("dpt", "Intel/dpt-large"),
        Family("depth-anything", "depth-anything/Depth-Anything-V2-Small-hf"),
        Family("depth-anything-metric", "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf"),
        Family("zoedepth", "Intel/zoedepth-nyu-kitti"),
        Family("depth-pro", "apple/DepthPro-hf"),
        Family("tiny", how_to_get="Make one with: python tests/tiny_depth.py FOLDER"),
    )
}
"""Networks that estimate depth in a picture."""

FEATURES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("vgg16", "timm/vgg16.tv_in1k"),
        Family("dinov2", "facebook/dinov2-small"),
        Family("dino", "facebook/dino-vits8"),  # of dino-vits16 the hub has only a pickle
    )
}
"""Networks whose features losses compare."""

FREE_LICENCES = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0"}
"""Licences of weights (SPDX ids in lower case) that leave commercial work free."""

LICENCES = {
    "stabilityai/stable-video-diffusion-img2vid": "stable-video-diffusion-nc-community",  # not for commercial use
    "stabilityai/stable-video-diffusion-img2vid-xt": "stable-video-diffusion-nc-community",
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": "apache-2.0",
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": "apache-2.0",
    "Intel/dpt-large": "apache-2.0",
    "Intel/zoedepth-nyu-kitti": "mit",
    "depth-anything/Depth-Anything-V2-Small-hf": "apache-2.0",  # larger ones differ, metric ones say nothing
    "apple/DepthPro-hf": "apple-amlr",  # for research only
    "timm/vgg16.tv_in1k": "bsd-3-clause",
    "facebook/dinov2-small": "apache-2.0",
    "facebook/dino-vits8": "apache-2.0",
}
"""Of known checkpoints, for copies that come without their model card."""


def licence_of(checkpoint: str) -> str:
    """Licence of a hub id, "" if it is not known here."""
    return LICENCES.get(checkpoint, "")


def models_folder() -> Path:
    """Where checkpoints lie that were not fetched from the hub: $CYCLORAMA_MODELS, or a folder of the user's."""
    return Path(os.environ.get("CYCLORAMA_MODELS") or user_data_path("cyclorama", appauthor=False) / "models")
