"""Networks whose features losses compare: found, refused in a sentence, and gradients led through them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...bridge.errors import CycloramaError
from ..models.checkpoints import Checkpoint, Report, locate_network
from ..models.hub import HUB_ID
from ..models.layout import is_complete
from ..models.registry import licence_of


@contextmanager
def needed_by(loss: str, choice: str) -> Iterator[None]:
    """Say which loss needs the network whose checkpoint is refused within, and how to go on without.

    Args:
        loss: "semantic" ...
        choice: what another checkpoint of it has to be, for who passed a wrong one.

    Raises ``CycloramaError`` ("loss-without-network") for any other one; that one is its cause.
    """
    try:
        yield
    except CycloramaError as error:
        hint = f"Choose {choice}." if error.code == "checkpoint-wrong-class" else error.hint
        raise CycloramaError(
            "loss-without-network",
            f"The {loss} loss has no network to compare pictures by: {_continued(error.sentence)}",
            f"{hint} To go on without that loss, choose 'none' as its checkpoint.".lstrip(),
        ) from error


def find(name: str, report: Report) -> Checkpoint:
    """``locate_network``, also for a network that has no ``preprocessor_config.json``, such as timm's.

    Of such a one the hub is asked again each time, because a snapshot in its cache without that file passes for
    incomplete; here it is used.
    """
    folder = _cached(name)
    if folder is None:
        return locate_network(name, report)
    found = locate_network(str(folder), report)
    return replace(found, address=name, name=name, licence=found.licence or licence_of(name))


def precision(device: torch.device) -> torch.dtype:
    """In which networks compute there."""
    return torch.float16 if device.type == "cuda" else torch.float32


def amplify_gradient(tensor: Tensor, factor: float) -> None:
    """Multiply the gradient on its way back through here.

    Divided by the number of pixels, a loss' gradient is below what half precision can say. So it is amplified where it
    enters a network, and brought back where it leaves it.
    """
    if tensor.requires_grad:
        tensor.register_hook(lambda gradient: gradient * factor)


def _cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if Path(name).expanduser().is_dir() or not HUB_ID.fullmatch(name):
        return None
    config = try_to_load_from_cache(name, "config.json")
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder is not None and is_complete(folder) else None


def _continued(sentence: str) -> str:
    """After a colon: ours begin with a name or an article."""
    begins = ("The ", "There ")
    return sentence[0].lower() + sentence[1:] if sentence.startswith(begins) else sentence
