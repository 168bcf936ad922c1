"""What workers compute on: the server asks how many devices there are, a worker what its own is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """The CUDA device, else the processor.

    Attributes:
        name: in words: "NVIDIA H200", "CPU, 2 cores".
        cuda: whether it is an NVIDIA GPU.
        cores: of the processor, that we may use.
        memory_bytes: of the device that holds the models: the GPU's, else the machine's.
    """

    name: str
    cuda: bool
    cores: int
    memory_bytes: int


@dataclass(frozen=True)
class Seat:
    """Where one worker process runs.

    Attributes:
        number: from 0 on; each has a lock file of its own.
        environment: variables that lead a worker to its device.
    """

    number: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


def seats() -> tuple[Seat, ...]:
    """One for each NVIDIA GPU that we may use, or one for the processor. Does not import torch."""
    allowed = os.environ.get(_VISIBLE)
    if allowed is None:
        names = [str(number) for number in range(_gpu_count())]
    else:  # the user's choice: numbers or UUIDs; the first that is none ends it, as in CUDA
        names = [name.strip() for name in allowed.split(",")]
        names = names[: next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))]
    if len(names) < 2:
        return (Seat(),)
    return tuple(Seat(number, {_VISIBLE: name}) for number, name in enumerate(names))


def device() -> Device:
    """What there is; imports torch only where an NVIDIA driver is, because it is slow."""
    cores = _cores()
    found = _cuda() if _nvidia_driver() else None
    if found:
        name, memory_bytes = found
        return Device(name, True, cores, memory_bytes)
    return Device(f"CPU, {cores} cores", False, cores, _memory_bytes())


def _gpu_count() -> int:
    """As many as the driver lists; in a container fewer may be visible, so the fewest counts."""
    if not _nvidia_driver():
        return 0
    listed = _entries(Path("/proc/driver/nvidia/gpus"))
    nodes = [name for name in _entries(Path("/dev")) if name.removeprefix("nvidia").isdigit()]
    if listed:
        return min(len(listed), len(nodes) or len(listed))
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 1  # whichever it is, its worker finds out
    return sum(line.startswith("GPU ") for line in told.splitlines())


def _entries(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _nvidia_driver() -> bool:
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def _cuda() -> tuple[str, int] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _memory_bytes() -> int:
    """The machine's, or what a container may take of it where that is less."""
    limits = [psutil.virtual_memory().total]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(path).read_text("ascii")))
        except (OSError, ValueError):  # not in a container, or without a limit ("max")
            continue
    return min(limits)
