"""Makes small checkpoints of the networks whose features losses compare: real classes, random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel
from transformers.utils.logging import disable_progress_bar

from cyclorama.backend.lift.perceptual import Vgg16

CARD = "---\nlicense: cc0-1.0\n---\nRandom weights: a checkpoint for tests.\n"
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "do_normalize": True}
TRANSFORMER = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}


def make_features(folder: Path, kind: str) -> Path:
    """Write the checkpoint of that kind ("dinov2", "dino", "vgg16") into ``folder``, which is new. Returns ``folder``.

    Those of transformers are below 1 MB; VGG16 has its real size, 29 MB in half precision, which its heads ask for.
    """
    disable_progress_bar()
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    MAKERS[kind](folder)
    (folder / "README.md").write_text(CARD, "utf-8")
    return folder


def _dinov2(folder: Path) -> None:
    """As facebook/dinov2-small: it is read for pictures of another size than it has positions for."""
    config = Dinov2Config(**TRANSFORMER, mlp_ratio=2, image_size=84, patch_size=14)
    reader = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 64},
        "do_center_crop": True,
        "crop_size": {"height": 56, "width": 56},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        **IMAGENET,
    }
    _save(_lively(Dinov2Model(config)), reader, folder)


def _dino(folder: Path) -> None:
    """As facebook/dino-vits8: without the layer after its class token, and with an old description of its pictures."""
    config = ViTConfig(**TRANSFORMER, intermediate_size=32, image_size=32, patch_size=8)
    reader = {"feature_extractor_type": "ViTFeatureExtractor", "do_resize": True, "size": 32, "resample": 2, **IMAGENET}
    _save(_lively(ViTModel(config, add_pooling_layer=False)), reader, folder)


def _vgg16(folder: Path) -> None:
    """As timm/vgg16.tv_in1k: a configuration of timm's, and a classifier that is in nobody's way."""
    network = Vgg16()
    for layer in network.features.values():
        assert isinstance(layer, nn.Conv2d)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.normal_(layer.bias, std=0.1)
    weights = {name: weight.half() for name, weight in network.state_dict().items()}
    save_file(weights | {"head.fc.bias": torch.zeros(1000)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"architecture": "vgg16", "num_classes": 1000}), "utf-8")


def _lively(network: nn.Module) -> nn.Module:
    """What is in the picture comes through all layers to the class token."""
    for name, weight in network.named_parameters():
        if weight.ndim > 1:
            nn.init.xavier_normal_(weight.flatten(1), gain=2.0)
        elif "lambda" not in name and "norm" not in name:
            nn.init.normal_(weight, std=0.1)
    return network.eval()


def _save(network: Any, reader: dict[str, Any], folder: Path) -> None:
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(reader, indent=2), "utf-8")


MAKERS: dict[str, Callable[[Path], None]] = {"dinov2": _dinov2, "dino": _dino, "vgg16": _vgg16}
