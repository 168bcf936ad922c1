"""How much memory a process has used, and giving it back."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_LARGE_BLOCK = 1 << 24
"""glibc then keeps twice as much."""


def peak_bytes() -> int:
    """The most memory this process has had so far; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":  # whose ru_maxrss is inherited from the process that started this one
        _, found, rest = Path("/proc/self/status").read_text("ascii").partition("VmHWM:")
        if found:
            return 1024 * int(rest.split()[0])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> None:
    """Have the C library use again what was freed, up to some 32 MB, where it would give back each piece of a file.

    glibc gives back less after it has freed a large block. Pages that are given back are cleared when they come again,
    which takes as long as sending them.
    """
    if sys.platform == "linux":
        bytes(_LARGE_BLOCK)  # never touched, so it takes no memory


def give_back_memory() -> None:
    """Have the C library return to the system what was freed; glibc keeps it, when it was in many small pieces."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)
