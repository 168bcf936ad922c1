"""What the worker computes on."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil


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


def device() -> Device:
    """What there is; imports torch only where an NVIDIA driver is, because it is slow."""
    cores = _cores()
    found = _cuda() if _nvidia_driver() else None
    if found:
        name, memory_bytes = found
        return Device(name, True, cores, memory_bytes)
    return Device(f"CPU, {cores} cores", False, cores, _memory_bytes())


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
