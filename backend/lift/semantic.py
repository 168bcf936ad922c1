"""What a view shows, as one token of a network, compared with what it shows from a little beside (DINO, DINOv2)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import transformers
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..depth.transformers_estimator import Preparation, preparation_of
from ..models.checkpoints import Checkpoint, Report, locate_network
from ..models.layout import PREPARATION, WHOLE
from ..models.registry import FEATURES
from .feature_networks import amplify_gradient, needed_by, precision

CLASSES = ("Dinov2Model", "ViTModel")
"""Of transformers: DINOv2, and DINO, which is an ordinary vision transformer."""

UNUSED = "pooler."
"""A layer after the class token that DINO's own checkpoints lack."""

Pictures = Float[Tensor, "view size size 3"]


class SemanticLoss:
    """1 - the cosine between the class tokens of two views (4K4DGen section 3.4, TiP4GEN eq. 14), ready to compute.

    Attributes:
        name: the checkpoint, as the scene's notes name it.
        licence: SPDX id or the licence's name, "" when neither it nor the registry says.
        fingerprint: the same only for the same weights and settings in the same precision.
        size: pixels along each side of the square pictures that the network sees.

    Args:
        device: where it computes. On a GPU in half precision, on the CPU in float32.
        network: "dinov2", as TiP4GEN, and 4K4DGen by what it cites, or "dino", as it writes.
        checkpoint: hub id or folder in transformers' layout, of either class; "" for the network's usual one.
        report: told of the download's progress.
        dtype: instead of what the device suggests.

    Raises ``CycloramaError`` ("loss-without-network").
    """

    def __init__(
        self,
        device: torch.device,
        network: Literal["dinov2", "dino"] = "dinov2",
        checkpoint: str = "",
        report: Report = lambda done, total: None,
        dtype: torch.dtype | None = None,
    ):
        self._dtype = dtype or precision(device)
        with needed_by("semantic", "a checkpoint of DINOv2 or DINO"):
            found = locate_network(checkpoint or FEATURES[network].checkpoint, report)
            cls = _class_named_in(found)
            self._network = found.model(WHOLE, getattr(transformers, cls), self._dtype, UNUSED)
            self._preparation = _preparation(found, cls, self._network.config)
        self.name, self.licence, self.size = found.name, found.licence, self._preparation.size
        self.fingerprint = f"{found.fingerprint} {self._dtype}"
        self._how = (
            {"interpolate_pos_encoding": self.size != self._network.config.image_size} if cls == "ViTModel" else {}
        )
        self._network.to(device)

    def __call__(self, undisturbed_srgb: Pictures, disturbed_srgb: Pictures) -> Float[Tensor, ""]:
        """Mean over the views: 0 where they show the same, 2 where they show the opposite.

        Args:
            undisturbed_srgb: rendered, or the pictures they should be: what a view ought to show. They get no gradient.
                The photometric loss holds them to the truth; could this one move them too, it would grow smaller by
                letting them get as bad as the disturbed ones. (DreamScene360's code, which both papers follow, also
                compares with a picture that is given.)
            disturbed_srgb: rendered from beside. Square; what is beyond 0..1 is clipped: the network has never seen it.
        """
        with torch.no_grad():
            expected = self.tokens(undisturbed_srgb)
        # |a - b|² / 2 is 1 - cos of unit vectors, without cancellation where they are close.
        return (self.tokens(disturbed_srgb) - expected).square().sum(-1).mean() / 2

    def tokens(self, pictures_srgb: Pictures) -> Float[Tensor, "view feature"]:
        """The network's class tokens of square pictures in sRGB, on the device: float32, of length 1."""
        pictures = pictures_srgb.float().permute(0, 3, 1, 2).clamp(0, 1)
        prepared = self._preparation.prepare(pictures)
        tokens = self._network(pixel_values=prepared.to(self._dtype), **self._how).last_hidden_state[:, 0].float()
        if self._dtype == torch.float16:
            factor = float(prepared.shape[-1] * len(prepared))
            amplify_gradient(prepared, 1 / factor)
            amplify_gradient(tokens, factor)
        return normalize(tokens, dim=-1)


def _class_named_in(checkpoint: Checkpoint) -> str:
    named = [str(name) for name in checkpoint.config(WHOLE).get("architectures") or ["unknown"]]
    known = [name for name in named if name in CLASSES]
    if not known:
        raise checkpoint.wrong_class(WHOLE, named[0], f"one of {', '.join(CLASSES)}")
    return known[0]


def _preparation(checkpoint: Checkpoint, cls: str, config: Any) -> Preparation:
    """As the checkpoint says, but for the crop at the middle with which it was measured: all of a view counts.

    Resized by antialiased bicubic interpolation, whichever kind it names, which carries gradients.
    """
    told = checkpoint.preparation()
    try:
        if told.get("do_center_crop"):
            told = {**told, "do_resize": True, "size": told["crop_size"]}
        return preparation_of(told, cls, config)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise checkpoint.damaged(WHOLE, f"its {PREPARATION} cannot be understood") from error
