"""Which class of denoiser a model's name stands for, and where its checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ....bridge.errors import CycloramaError
from ...models.checkpoints import Report, locate
from ...models.registry import FAMILIES, models_folder

if TYPE_CHECKING:
    import torch

    from .protocol import Denoiser


def load(model: str, checkpoint: str, device: torch.device, report: Report = lambda done, total: None) -> Denoiser:
    """The denoiser, ready to use; fetched from the hub if need be.

    Args:
        model: one of ``FAMILIES``.
        checkpoint: hub id or folder; "" for the family's usual one.
        device: where it will compute. On a GPU the weights are halves, on the CPU float32.
        report: told of the download's progress.

    Raises ``CycloramaError``: "unknown-model", "checkpoint-needed", and as ``locate`` and ``Checkpoint.model`` do.
    """
    if model not in FAMILIES:
        raise CycloramaError("unknown-model", f"There is no model {model}.", f"Choose one of {', '.join(FAMILIES)}.")
    name = checkpoint or _usual_checkpoint(model)
    kind = _kind_of_tiny(name) if model == "tiny" else model
    if kind == "wan":
        return _load_wan(name, device, report)
    return _load_spatio_temporal(kind, name, device, report)


def _usual_checkpoint(model: str) -> str:
    family = FAMILIES[model]
    if family.checkpoint:
        return family.checkpoint
    folder = models_folder() / model
    if folder.is_dir():
        return str(folder)
    raise _folder_needed(model)


def _folder_needed(model: str) -> CycloramaError:
    return CycloramaError(
        "checkpoint-needed", f"The model {model} needs the folder of its checkpoint.", FAMILIES[model].how_to_get
    )


def _kind_of_tiny(folder: str) -> str:
    """The model that a folder made by ``tests/tiny_checkpoints.py`` or ``tests/tiny_wan.py`` stands in for."""
    if not Path(folder).expanduser().is_dir():
        raise _folder_needed("tiny")
    tiny = locate(folder, ())
    if tiny.has("transformer"):
        return "wan"
    return "animate-anything" if tiny.config("unet").get("in_channels") == 9 else "svd"


def _load_spatio_temporal(kind: str, name: str, device: torch.device, report: Report) -> Denoiser:
    import torch

    from .animate_anything import COMPONENTS as ALL_COMPONENTS
    from .animate_anything import AnimateAnything
    from .svd import COMPONENTS, StableVideoDiffusion

    dtype = torch.float16 if device.type == "cuda" else torch.float32
    if kind == "animate-anything":
        return AnimateAnything(locate(name, ALL_COMPONENTS, report), device, dtype)
    return StableVideoDiffusion(locate(name, COMPONENTS, report), device, dtype)


def _load_wan(name: str, device: torch.device, report: Report) -> Denoiser:
    import torch

    from .wan import COMPONENTS, Wan

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return Wan(locate(name, COMPONENTS, report), device, dtype)
