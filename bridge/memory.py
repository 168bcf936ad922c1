"""How much memory a process has used."""

from __future__ import annotations

import sys


def peak_bytes() -> int:
    """The most memory this process has had so far; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
