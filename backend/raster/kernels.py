"""How the kernels of the CPU rasterizer are compiled, and how they share the processor.

They run on OpenMP where numba finds it, which may be called from several threads at once; numba's own fallback may
not. So whoever calls a parallel kernel holds ``one_at_a_time``: each uses all cores anyway. (GNU OpenMP does not
survive ``fork``: start further processes by "spawn".) ``NUMBA_NUM_THREADS`` says how many cores; results do not depend
on it. On busy machines ``OMP_WAIT_POLICY=passive`` helps: threads that wait for others then sleep.

Compiled code is kept in the user's cache folder under a digest of the sources: by itself numba would notice
a change of a kernel's own file, not of those that it calls into.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any, Final

import numba
import platformdirs
from numba import config

config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # pyright: ignore[reportAttributeAccessIssue]

one_at_a_time: Final = RLock()


def _digest() -> str:
    """Of the sources that have kernels."""
    sources = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return sha256(b"".join(source for source in sources if b"from .kernels import" in source)).hexdigest()[:16]


_FOLDER: Final = platformdirs.user_cache_path("cyclorama") / "kernels" / _digest()

# Never the assumption that there is no NaN, never another order of sums: fused multiply-add is as exact or better.
_SETTINGS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


def _kept(**settings: Any) -> Callable[[Callable], Any]:
    """Compile a function for good."""

    def compiled(function: Callable) -> Any:
        before = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        config.CACHE_DIR = before or str(_FOLDER)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return numba.njit(**(_SETTINGS | settings), cache=True)(function)
        finally:
            config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]

    return compiled


kernel: Final = numba.njit(**_SETTINGS)
"""Called by other kernels only, and kept with them."""

parallel_kernel: Final = _kept(parallel=True)
"""In these, arrays of a named tuple that are written to must be taken out of it before the loop: numba 0.68 loses what
is written to an attribute inside ``prange``."""

serial_kernel: Final = _kept()

_REORDERING: Final[dict[str, Any]] = {**_SETTINGS, "fastmath": {"contract", "nsz", "reassoc"}}

reordering_kernel: Final = numba.njit(**_REORDERING)
"""As ``kernel``; may sum in another order, the same one at each run."""
