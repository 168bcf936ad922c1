"""What networks compute on, always in the same way: the CUDA device, else a fixed number of processor threads."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch


def computing_device() -> torch.device:
    """The device of a stage that is about to compute; also sets torch's threads.

    numba and torch share a pool of threads, and numba changes its size. Sums over other numbers of threads differ in
    their last bits, so without this the second job of a process would differ from the first.
    """
    import torch

    torch.set_num_threads(_threads())
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def _threads() -> int:
    """Those that ``OMP_NUM_THREADS`` names, else one for each core we may use, as torch does."""
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if named.isdigit() and int(named):
        return int(named)
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return max(min(cores, usable), 1)
