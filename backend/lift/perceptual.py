"""LPIPS: how different two pictures look, by the features of a network (Zhang 2018, version 0.1, on VGG16).

"The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", eq. 1. VGG16's weights come from the hub; how
much each of its features counts lies beside this file, under the licence that lies there too.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from ..models.checkpoints import Checkpoint, Report
from ..models.layout import WEIGHTS, WHOLE, weight_files
from ..models.registry import FEATURES
from .feature_networks import amplify_gradient, find, needed_by, precision

HEADS = Path(__file__).with_name("lpips_vgg.safetensors")
HEADS_LICENCE = "bsd-2-clause"
"""Of ``HEADS``, which are lpips' own (``lpips_vgg.LICENSE.txt``)."""

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""VGG16's convolutions, by their number in ``features`` of its checkpoints. Each is followed by a ReLU, and each stage
but the last by a pooling; the features are what comes out of a stage."""

CHANNELS = (64, 128, 256, 512, 512)
"""Of each stage."""

SMALLEST = 16
"""Pixels along a side: of a smaller picture the last stage sees nothing."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of sRGB in 0..1. The original's scaling layer says the same of -1..1, rounded: -0.030, 0.458 ..."""

Features = list[Float[Tensor, "view channel row column"]]


class Vgg16(nn.Module):
    """The convolutional part of VGG16 (Simonyan 2015, configuration D)."""

    def __init__(self):
        super().__init__()
        self.features = nn.ModuleDict()
        before = 3
        for stage, channels in zip(STAGES, CHANNELS, strict=True):
            for number in stage:
                self.features[str(number)] = nn.Conv2d(before, channels, 3, padding=1)
                before = channels

    def forward(self, prepared: Float[Tensor, "view 3 height width"]) -> Features:
        """What comes out of each stage, at the picture's size, half of it, a quarter ..."""
        found: Features = []
        for index, stage in enumerate(STAGES):
            seen = max_pool2d(found[-1], 2) if index else prepared
            for number in stage:
                seen = self.features[str(number)](seen).relu_()
            found.append(seen)
        return found


class PerceptualLoss:
    """LPIPS of rendered pictures, ready to compute.

    Attributes:
        name: VGG16's checkpoint, as the scene's notes name it.
        licence: of that; ``HEADS_LICENCE`` is free as well.
        fingerprint: the same only for the same weights in the same precision.

    Args:
        device: where it computes. On a GPU in half precision, on the CPU in float32.
        checkpoint: hub id or folder, with torchvision's weights or others of that layout; "" for the usual one. Of the
            half gigabyte that it has there, a tenth is used.
        report: told of the download's progress.
        dtype: instead of what the device suggests.

    Raises ``CycloramaError`` ("loss-without-network").
    """

    def __init__(
        self,
        device: torch.device,
        checkpoint: str = "",
        report: Report = lambda done, total: None,
        dtype: torch.dtype | None = None,
    ):
        with needed_by("perceptual", "a checkpoint of VGG16"):
            found = find(checkpoint or FEATURES["vgg16"].checkpoint, report)
            network = vgg16(found)
        self._dtype = dtype or precision(device)
        self.name, self.licence = found.name, found.licence
        self.fingerprint = f"{found.fingerprint} {self._dtype}"
        self._network = network.to(device, self._dtype)
        self._heads = [head.to(device) for head in heads()]

    def __call__(
        self, rendered_srgb: Float[Tensor, "view height width 3"], target_srgb: Float[Tensor, "view height width 3"]
    ) -> Float[Tensor, ""]:
        """Mean over the views; 0 for equal pictures.

        Args:
            rendered_srgb, target_srgb: of at least ``SMALLEST`` pixels along each side, on the device. As the network
                has only ever seen 0..1, what is beyond is clipped, and has no gradient here. ``target_srgb`` gets none.
        """
        with torch.no_grad():
            expected = self._features(target_srgb)
        found = self._features(rendered_srgb)
        layers = zip(found, expected, self._heads, strict=True)
        return torch.stack([_difference(*layer) for layer in layers]).sum()

    def _features(self, pictures: Tensor) -> Features:
        mean, std = (torch.tensor(value, device=pictures.device)[:, None, None] for value in (MEAN, STD))
        prepared = (pictures.float().permute(0, 3, 1, 2).clamp(0, 1) - mean) / std
        features = [layer.float() for layer in self._network(prepared.to(self._dtype))]
        if self._dtype == torch.float16:
            factor = float(pictures.numel())
            amplify_gradient(prepared, 1 / factor)
            for layer in features:
                amplify_gradient(layer, factor)
        return features


def _difference(
    found: Float[Tensor, "view channel row column"],
    expected: Float[Tensor, "view channel row column"],
    head: Float[Tensor, " channel"],
) -> Float[Tensor, ""]:
    """Of one layer: the features at each pixel as directions, squared and weighted (Zhang 2018 eq. 1)."""
    squares = (_directions(found) - _directions(expected)).square()
    return torch.einsum("vcyx,c->vyx", squares, head).mean()


def _directions(features: Float[Tensor, "view channel row column"]) -> Float[Tensor, "view channel row column"]:
    """Of length 1; 0 where all are 0, and there too with a gradient that is a number."""
    return features / (features.square().sum(1, keepdim=True) + 1e-20).sqrt()


def heads() -> list[Float[Tensor, " channel"]]:
    """How much each feature counts, by stage; at least 0. From lpips 0.1.4, ``weights/v0.1/vgg.pth``."""
    from safetensors.torch import load_file

    stored = load_file(HEADS)
    return [stored[f"lin{stage}"] for stage in range(len(STAGES))]


def vgg16(checkpoint: Checkpoint) -> Vgg16:
    """The network with the checkpoint's ``features.NUMBER.weight`` and ``.bias``, float32, frozen, on the CPU.

    Raises ``CycloramaError`` ("checkpoint-wrong-class", "checkpoint-damaged").
    """
    with torch.device("meta"):
        network = Vgg16()
    wanted = network.state_dict()
    weights = _stored(checkpoint, set(wanted))
    if not weights:
        raise checkpoint.wrong_class(WHOLE, str(checkpoint.config(WHOLE).get("architecture", "unknown")), "vgg16")
    wrong = [name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape]
    if wrong:
        raise checkpoint.damaged(WHOLE, f"{len(wrong)} of its weights are not VGG16's, among them {wrong[0]}")
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _stored(checkpoint: Checkpoint, names: set[str]) -> dict[str, Tensor]:
    """Those weights of a checkpoint that have these names, in float32."""
    from safetensors import SafetensorError, safe_open

    files = [
        name for name in weight_files(path.name for path in checkpoint.folder.iterdir()) if WEIGHTS.fullmatch(name)
    ]
    if not files:
        raise checkpoint.damaged(WHOLE, "it has no weights in safetensors")
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            with safe_open(checkpoint.folder / file, "pt") as stored:
                weights |= {name: stored.get_tensor(name).float() for name in names & set(stored.keys())}
        except (SafetensorError, OSError) as error:
            raise checkpoint.damaged(WHOLE, f"{file} is incomplete or no safetensors file") from error
    return weights
