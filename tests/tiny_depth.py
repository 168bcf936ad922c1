"""Makes tiny checkpoints of depth estimators: the real classes, transformers' flat layout, random weights.

    python tests/tiny_depth.py FOLDER --kind depth-anything

Nothing is learned: what they say of a picture is noise that depends on it, but positive, and different everywhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)
from transformers.utils.logging import disable_progress_bar

CARD = "---\nlicense: cc0-1.0\n---\nRandom weights: a checkpoint for tests.\n"
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
COMMON = {"do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 1 / 255}
TRANSFORMER = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 4}
FUSION = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}


def make_estimator(folder: Path, kind: str = "depth-anything") -> Path:
    """Write the checkpoint of that kind (a key of ``KINDS``) into ``folder``. Returns ``folder``.

    It is below 2 MB, but for "dpt-metric", whose head cannot be made smaller: 43 MB.
    """
    disable_progress_bar()
    torch.manual_seed(0)
    make, preparation = KINDS[kind]
    network = make().eval()
    _liven(network)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(COMMON | preparation, indent=2), "utf-8")
    (folder / "README.md").write_text(CARD, "utf-8")
    return folder


def _liven(network: nn.Module) -> None:
    """Let noise come through all layers, and out of the last one above 0, where nothing cuts it off."""
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            nn.init.xavier_normal_(weight.flatten(1), gain=1.0)
        elif "lambda" in name or "norm" in name:
            continue
        else:
            nn.init.normal_(weight, std=0.1)
    head: Any = getattr(network, "head", None)
    if head is not None:
        last = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)][-1]
        last.weight.data.abs_()
        last.bias.data.fill_(0.2)


def _dpt() -> nn.Module:
    config = DPTConfig(**TRANSFORMER, **FUSION, intermediate_size=32, image_size=64, backbone_out_indices=[0, 1, 2, 3])
    return DPTForDepthEstimation(config)


def _dpt_hybrid() -> nn.Module:
    """Convolutions first, as Intel/dpt-hybrid-midas."""
    backbone = {
        "model_type": "bit",
        "global_padding": "same",
        "layer_type": "bottleneck",
        "depths": [1, 1, 1],
        "hidden_sizes": [16, 16, 16],
        "embedding_size": 8,
        "num_groups": 2,
        "out_features": ["stage1", "stage2", "stage3"],
        "embedding_dynamic_padding": True,
    }
    config = DPTConfig(
        **TRANSFORMER | {"num_hidden_layers": 12},
        **FUSION | {"neck_hidden_sizes": [16, 16, 8, 8]},
        intermediate_size=32,
        image_size=64,
        is_hybrid=True,
        backbone_config=backbone,
        backbone_featmap_shape=[1, 16, 4, 4],
    )
    return DPTForDepthEstimation(config)


def _dpt_metric() -> nn.Module:
    """As DINOv2's own depth heads: metres."""
    config = DPTConfig(**FUSION | {"fusion_hidden_size": 256}, add_projection=True, backbone_config=_dinov2())
    return DPTForDepthEstimation(config)


def _depth_anything(**how: Any) -> nn.Module:
    config = DepthAnythingConfig(
        backbone_config=_dinov2(), reassemble_hidden_size=16, head_hidden_size=8, **FUSION, **how
    )
    return DepthAnythingForDepthEstimation(config)


def _dinov2() -> Any:
    return Dinov2Config(
        **TRANSFORMER,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],  # pyright: ignore[reportCallIssue] (read by its base class)
        reshape_hidden_states=False,
    )


def _zoedepth(*domains: dict[str, Any]) -> nn.Module:
    backbone = BeitConfig(
        **TRANSFORMER,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_indices=[1, 2, 3, 4],  # pyright: ignore[reportCallIssue] (read by its base class)
    )
    config = ZoeDepthConfig(
        backbone_config=backbone,
        **FUSION,
        bottleneck_features=8,
        bin_embedding_dim=16,
        num_relative_features=8,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=list(domains),
        num_patch_transformer_layers=4,
        patch_transformer_hidden_size=128,
        patch_transformer_intermediate_size=32,
        patch_transformer_num_attention_heads=2,
    )
    return ZoeDepthForDepthEstimation(config)


def _depth_pro() -> nn.Module:
    part = {**TRANSFORMER, "model_type": "dinov2", "mlp_ratio": 2, "image_size": 32, "patch_size": 16}
    config = DepthProConfig(
        patch_size=32,
        fusion_hidden_size=8,
        intermediate_hook_ids=[3, 1],
        intermediate_feature_dims=[8, 8],
        scaled_images_feature_dims=[8, 8, 8],
        use_fov_model=True,
        num_fov_head_layers=1,
        image_model_config=part,
        patch_model_config=part,
        fov_model_config=part,
    )
    return DepthProForDepthEstimation(config)


INDOORS = {"name": "nyu", "n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}
OUTDOORS = {"name": "kitti", "n_bins": 8, "min_depth": 0.001, "max_depth": 80.0}
DPT_READER = {"image_processor_type": "DPTImageProcessor", "resample": 3, "keep_aspect_ratio": True}
ZOE_READER = {
    "image_processor_type": "ZoeDepthImageProcessor",
    "do_pad": True,
    "ensure_multiple_of": 32,
    "keep_aspect_ratio": True,
    "resample": 2,
    "size": {"height": 64, "width": 96},
}

KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "dpt": (_dpt, {**DPT_READER, **HALVES, "size": 64}),
    "dpt-hybrid": (_dpt_hybrid, {**DPT_READER, **HALVES, "size": {"height": 64, "width": 64}}),
    "dpt-metric": (
        _dpt_metric,
        {
            "image_processor_type": "DPTImageProcessor",
            "do_resize": False,
            "do_rescale": False,
            "do_pad": True,
            "size_divisor": 14,
            "image_mean": [123.675, 116.28, 103.53],
            "image_std": [58.395, 57.12, 57.375],
        },
    ),
    "depth-anything": (
        _depth_anything,
        {**DPT_READER, **IMAGENET, "ensure_multiple_of": 14, "size": {"height": 56, "width": 56}},
    ),
    "depth-anything-metric": (
        lambda: _depth_anything(depth_estimation_type="metric", max_depth=80),
        {**DPT_READER, **IMAGENET, "ensure_multiple_of": 14, "size": {"height": 56, "width": 56}},
    ),
    "zoedepth": (lambda: _zoedepth(INDOORS, OUTDOORS), {**ZOE_READER, **HALVES}),
    "zoedepth-indoors": (lambda: _zoedepth(INDOORS), {**ZOE_READER, **HALVES}),
    "depth-pro": (
        _depth_pro,
        {
            "image_processor_type": "DepthProImageProcessor",
            **HALVES,
            "resample": 2,
            "size": {"height": 128, "width": 128},
        },
    ),
}
"""Networks, and what their ``preprocessor_config.json`` says, as in the checkpoints on the hub."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a tiny depth estimator with random weights, for tests.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=tuple(KINDS), default="depth-anything")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _arguments()
    print(make_estimator(asked.folder, asked.kind))
