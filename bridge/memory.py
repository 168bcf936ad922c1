"""How much memory a process has used."""

from __future__ import annotations

import sys
from pathlib import Path


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
