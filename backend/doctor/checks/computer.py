"""The computer: Python, processor, memory, clock."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from ...words import size
from ..finding import Finding, fault, ok, warning
from ..situation import Situation

LEAST_PYTHON = (3, 11)
LITTLE_MEMORY = 4_000_000_000
LITTLE_FREE = 2_000_000_000

_BUILT = 1_790_000_000
"""Seconds since 1970: autumn 2026. A clock that is earlier is wrong."""

_CGROUP = Path("/sys/fs/cgroup")


def python(_situation: Situation) -> Iterator[Finding]:
    """Its version and place, and whether it can be used at all."""
    version = platform.python_version()
    if sys.version_info < LEAST_PYTHON:
        yield fault("Python", f"{version} is too old.", "Install the backend with Python 3.11 or newer.")
    elif sys.maxsize < 1 << 32:
        yield fault("Python", f"{version} is a 32-bit Python.", "Install the backend with a 64-bit Python.")
    else:
        yield ok("Python", f"{version}, {sys.executable}")


def processor(_situation: Situation, cgroup: Path = _CGROUP) -> Iterator[Finding]:
    """How many cores we may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _cores_allowed(cgroup)
    cores = min(float(allowed), share) if share else allowed
    there = os.cpu_count() or allowed
    sentence = f"{cores:g} {'core' if cores == 1 else 'cores'}"
    if cores < there:
        sentence += f" of {there}: this process or container is allowed no more"
    if cores < 2:
        yield warning("Processor", sentence, "With 2 cores or more Blender stays quick while scenes are generated.")
    else:
        yield ok("Processor", f"{sentence}, {platform.machine()}")


def memory(_situation: Situation, cgroup: Path = _CGROUP) -> Iterator[Finding]:
    """How much there is and how much is free, also in a container."""
    there = psutil.virtual_memory()
    limit = _bytes_in(cgroup / "memory.max")
    used = _bytes_in(cgroup / "memory.current") or 0
    total, free = there.total, there.available
    within = ""
    if limit and limit < total:
        total, free, within = limit, min(free, max(limit - used, 0)), " (this container's share)"
    sentence = f"{size(free)} free of {size(total)}{within}"
    if total < LITTLE_MEMORY:
        yield warning("Memory", sentence, "Generate with a lower Resolution and fewer Frames.")
    elif free < LITTLE_FREE:
        yield warning("Memory", sentence, "Close other programs before you generate.")
    else:
        yield ok("Memory", sentence)


def clock(_situation: Situation) -> Iterator[Finding]:
    """Downloads refuse the certificates of servers when it is far off."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    if now < _BUILT:
        yield fault(
            "Clock",
            f"It says {shown}, before this program was made.",
            "Set the date; downloads of models fail until then.",
        )
    else:
        yield ok("Clock", shown)


def _cores_allowed(cgroup: Path) -> float | None:
    """Of a container; see ``cpu.max`` in the kernel's documentation of cgroups."""
    try:
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        return round(int(quota) / int(period), 1)
    except (OSError, ValueError, ZeroDivisionError):  # none, or without a limit ("max")
        return None


def _bytes_in(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
