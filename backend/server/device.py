"""What the worker computes on, in words."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def device_name() -> str:
    """The CUDA device's name, or "CPU, 2 cores"; imports torch only where an NVIDIA driver is, because it is slow."""
    return (_nvidia_driver() and _cuda_name()) or f"CPU, {_cores()} cores"


def _nvidia_driver() -> bool:
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def _cuda_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
