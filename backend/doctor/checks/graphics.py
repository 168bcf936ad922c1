"""torch, the GPU and its driver, and gsplat's code for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...words import size
from ..finding import Finding, fault, ok, warning
from ..libraries import Kernels, Torch
from ..situation import Situation
from .packages import install

BUILDS = (
    ("cu130", 580, (7, 5), (99, 0)),
    ("cu126", 525, (5, 0), (9, 0)),
)
"""Newest first: name of torch's build, least driver, least and greatest compute capability. The same as the add-on
installs (``installer/gpu.py``); a test compares them."""

LEAST_DRIVER = {"13": 580, "12": 525, "11": 450}
"""By the major version of CUDA that torch was built with (NVIDIA's table of minor version compatibility)."""

LITTLE_FREE = 4_000_000_000

_INDEX = "https://download.pytorch.org/whl/"
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Card:
    """An NVIDIA GPU as its driver tells it; ``capability`` (0, 0): it does not."""

    name: str
    driver: int
    capability: tuple[int, int] = (0, 0)


def torch_and_gpu(situation: Situation) -> Iterator[Finding]:
    """Whether torch is there, and computes on the GPU if there is one."""
    card = find_card()
    error = situation.libraries.error("torch")
    found = situation.libraries.torch
    if error or found is None:
        fix = install("torch", "--force-reinstall", *_index_for(card))
        yield fault("torch", f"It cannot be loaded: {error}", fix)
    else:
        yield from judged(found, card)


def judged(torch: Torch, card: Card | None) -> Iterator[Finding]:
    """What is to be said of this torch and this GPU (None: there is none)."""
    if not torch.cuda:
        yield from _judged_for_cpu(torch, card)
    elif torch.gpus:
        yield ok("torch", f"{torch.version}, for CUDA {torch.cuda}")
        for gpu in torch.gpus:
            shown = f"{gpu.name}, {size(gpu.free_bytes)} free of {size(gpu.memory_bytes)}"
            if not runs_on(torch.architectures, gpu.capability):
                number = ".".join(map(str, gpu.capability))
                fix = install("torch", "--force-reinstall", *_index_for(card))
                yield fault("GPU", f"{shown}: this torch has no code for compute capability {number}.", fix)
            elif gpu.free_bytes < LITTLE_FREE:
                yield warning("GPU", shown, "Close other programs that use the graphics card before you generate.")
            else:
                yield ok("GPU", f"{shown}, driver {card.driver}" if card else shown)
    else:
        yield from _judged_without_cuda(torch, card)


def _judged_for_cpu(torch: Torch, card: Card | None) -> Iterator[Finding]:
    yield ok("torch", f"{torch.version}, for the CPU")
    if card is None:
        yield ok("GPU", "no NVIDIA GPU was found: scenes are generated on the CPU")
    elif build := build_for(card):
        yield warning(
            "GPU",
            f"{card.name} with driver {card.driver} is there, but this torch is made for the CPU.",
            "In Blender's Preferences, Add-ons > Cyclorama, install for the NVIDIA GPU; or: "
            f"{sys.executable} -m pip install --force-reinstall torch --index-url {_INDEX}{build}",
        )
    elif card.driver < BUILDS[-1][1]:
        yield warning("GPU", f"{card.name} has driver {card.driver}, which is too old.", _newer_driver(BUILDS[-1][1]))
    else:
        yield ok("GPU", f"{card.name} is not supported by torch any more: scenes are generated on the CPU")


def _judged_without_cuda(torch: Torch, card: Card | None) -> Iterator[Finding]:
    yield ok("torch", f"{torch.version}, for CUDA {torch.cuda}")
    least = LEAST_DRIVER.get(torch.cuda.partition(".")[0], 0)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if card is None:
        yield ok("GPU", "no NVIDIA GPU was found: scenes are generated on the CPU")
    elif hidden is not None:
        yield warning(
            "GPU",
            f"{card.name} is hidden by CUDA_VISIBLE_DEVICES={hidden!r}.",
            "Unset that variable to generate on the GPU.",
        )
    elif card.driver < least:
        other = build_for(card)
        instead = f"; or, for this driver: pip install torch --index-url {_INDEX}{other}" if other else "."
        yield warning(
            "GPU",
            f"{card.name} has driver {card.driver}, but CUDA {torch.cuda} needs {least}.",
            _newer_driver(least).rstrip(".") + instead,
        )
    else:
        yield warning(
            "GPU",
            f"{card.name} cannot be used: {torch.why_not or 'torch does not say why'}.",
            "Restart the computer if its driver was updated; else install the driver again.",
        )


def gsplat(situation: Situation) -> Iterator[Finding]:
    """Whether Gaussians can be drawn on the GPU. On the CPU our own rasterizer draws them."""
    found = situation.libraries.torch
    needed = found is not None and bool(found.gpus)
    if error := situation.libraries.error("gsplat"):
        say = fault if needed else warning
        yield say("gsplat", f"It cannot be loaded: {error}", install("gsplat", "--force-reinstall", "--no-deps"))
    elif not needed:
        yield ok("gsplat", "can be loaded (only GPUs need it)")
    elif situation.libraries.kernels:
        yield kernels_judged(situation.libraries.kernels)


def kernels_judged(kernels: Kernels) -> Finding:
    """Whether gsplat's GPU code is there, or can be built."""
    if kernels.built:
        return ok("gsplat", "its GPU code is there")
    lacking = [
        words
        for there, words in (
            (kernels.toolkit, "the CUDA toolkit (nvcc)"),
            (kernels.ninja, "ninja"),
            (kernels.compiler, "a C++ compiler"),
        )
        if not there
    ]
    if not lacking:
        return ok("gsplat", "its GPU code is built at its first use, which takes some minutes")
    return fault(
        "gsplat",
        f"Its GPU code is not there, and cannot be built without {' and '.join(lacking)}.",
        "Install the CUDA toolkit of torch's CUDA version, ninja and a C++ compiler, or a ready-built gsplat.",
    )


def runs_on(architectures: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Whether there is code for it: for this generation of GPUs up to this one, or code that its driver translates."""
    major, minor = capability
    for name in architectures:
        kind, _, digits = name.partition("_")
        number = "".join(sign for sign in digits if sign.isdigit())
        if len(number) < 2:
            continue
        built = int(number[:-1]), int(number[-1])
        if (kind == "sm" and built[0] == major and built[1] <= minor) or (kind == "compute" and built <= capability):
            return True
    return not architectures


def build_for(card: Card) -> str:
    """Name of the newest build of torch that runs there; "" for none."""
    for build, driver, least, greatest in BUILDS:
        if card.driver >= driver and (card.capability == (0, 0) or least <= card.capability <= greatest):
            return build
    return ""


def find_card() -> Card | None:
    """The first NVIDIA GPU, as its driver's program tells; None when there is none."""
    program = shutil.which("nvidia-smi")
    if not program and sys.platform == "win32":
        program = r"C:\Windows\System32\nvidia-smi.exe"
    if not program or not Path(program).exists():
        return None
    question = (program, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader")
    try:
        answer = subprocess.run(question, capture_output=True, timeout=_PATIENCE_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return card_in(answer.decode("utf-8", "replace"))


def card_in(answer: str) -> Card | None:
    """The first GPU of ``NVIDIA H200, 580.95.05, 9.0``; None when it is no such answer."""
    fields = [field.strip() for field in answer.strip().split("\n")[0].rsplit(",", 2)]
    driver = fields[1].split(".")[0] if len(fields) == 3 else ""
    if not driver.isdigit():
        return None
    major, _, minor = fields[2].partition(".")
    known = major.isdigit() and minor.isdigit()
    return Card(fields[0], int(driver), (int(major), int(minor)) if known else (0, 0))


def _index_for(card: Card | None) -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ()
    return ("--index-url", f"{_INDEX}{(build_for(card) if card else '') or 'cpu'}")


def _newer_driver(least: int) -> str:
    return f"Install NVIDIA's driver {least} or newer."
