"""Which build of torch suits this computer: the NVIDIA GPU and its driver, asked for without torch."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INDEX = "https://download.pytorch.org/whl/"
"""Below it torch's builds lie, one folder for each."""

BUILDS = (  # for torch 2.13; newest first: name, least driver, least and greatest compute capability
    ("cu130", 580, (7, 5), (99, 0)),
    ("cu126", 525, (5, 0), (9, 0)),
)
"""PyTorch's CUDA support matrix (its RELEASE.md, 2.13) and NVIDIA's table of least drivers for CUDA 12 and 13."""


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as its driver tells it.

    Args:
        name: ``NVIDIA RTX 4090``.
        driver: major version.
        capability: compute capability; (0, 0) when the driver does not tell.
    """

    name: str
    driver: int
    capability: tuple[int, int] = (0, 0)


def build_for(device: str, gpu: Gpu | None) -> tuple[str, str]:
    """The build of torch to install (``cpu``, ``cu130`` …; "" for the usual one) and why, in words.

    Args:
        device: ``AUTO``, ``CPU`` or ``CUDA``.
        gpu: what was found.
    """
    if sys.platform == "darwin":
        return "", "Apple's GPU, through Metal" if platform.machine() == "arm64" else "CPU"
    if device == "CPU":
        return "cpu", "CPU, as chosen"
    if gpu is None:
        return ("cpu", "CPU: no NVIDIA GPU was found") if device == "AUTO" else (BUILDS[0][0], "CUDA, as chosen")
    for build, driver, least, greatest in BUILDS:
        known = gpu.capability != (0, 0)
        if gpu.driver >= driver and (not known or least <= gpu.capability <= greatest):
            return build, f"{gpu.name}, driver {gpu.driver}"
    if device == "CUDA":
        return BUILDS[0][0], f"CUDA, as chosen, but {gpu.name} with driver {gpu.driver} may not run it"
    if gpu.driver < BUILDS[0][1]:
        return "cpu", f"CPU: {gpu.name} needs a newer driver than {gpu.driver}"
    return "cpu", f"CPU: {gpu.name} is too old"


def find() -> Gpu | None:
    """The first NVIDIA GPU; None when there is none, or no driver."""
    return _ask_nvidia_smi() or _ask_nvml()


def _ask_nvidia_smi() -> Gpu | None:
    program = shutil.which("nvidia-smi")
    if not program and sys.platform == "win32":
        program = r"C:\Windows\System32\nvidia-smi.exe"
    if not program or not Path(program).exists():
        return None
    question = [program, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, errors="replace", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return read_nvidia_smi(answer.stdout)


def read_nvidia_smi(answer: str) -> Gpu | None:
    """The first GPU of ``NVIDIA H200, 580.95.05, 9.0``; None when it is no such answer."""
    fields = [field.strip() for field in answer.strip().split("\n")[0].rsplit(",", 2)]
    if len(fields) != 3 or not fields[1].split(".")[0].isdigit():
        return None
    return Gpu(fields[0], int(fields[1].split(".")[0]), _capability(fields[2]))


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _ask_nvml() -> Gpu | None:
    """The driver's own library, where the program is missing (in containers, for instance)."""
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        if nvml.nvmlInit_v2():
            return None
        device, name, driver = ctypes.c_void_p(), ctypes.create_string_buffer(96), ctypes.create_string_buffer(96)
        major, minor = ctypes.c_int(), ctypes.c_int()
        failed = nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
        failed = failed or nvml.nvmlSystemGetDriverVersion(driver, 96) or nvml.nvmlDeviceGetName(device, name, 96)
        nvml.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor))
        nvml.nvmlShutdown()
    except (OSError, AttributeError):
        return None
    first = driver.value.decode("ascii", "replace").split(".")[0]
    if failed or not first.isdigit():
        return None
    return Gpu(name.value.decode("utf-8", "replace"), int(first), (major.value, minor.value))
