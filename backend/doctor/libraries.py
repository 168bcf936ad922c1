"""The heavy libraries, loaded in a process of their own: one that crashes while it loads ends only that one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

import msgspec

LOADED = ("numba", "cv2", "OpenImageIO", "torch", "gsplat", "transformers", "diffusers")
"""In this order, the most important ones first in case that time runs out."""

_PROGRAM = (sys.executable, "-P", "-m", "cyclorama.backend.doctor.probe")
_SECONDS = 120.0


class Gpu(msgspec.Struct, frozen=True):
    """A GPU as torch sees it. Sizes in bytes."""

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int


class Torch(msgspec.Struct, frozen=True):
    """``cuda``: the CUDA version of its build, "" for the CPU's; ``why_not``: what it says where CUDA does not work."""

    version: str
    cuda: str = ""
    why_not: str = ""
    gpus: tuple[Gpu, ...] = ()
    architectures: tuple[str, ...] = ()
    """Of the GPU code in it: "sm_90", "compute_90"."""


class Kernels(msgspec.Struct, frozen=True):
    """gsplat's code for GPUs: whether it is ``built``, and what a build would need."""

    built: bool
    toolkit: bool
    ninja: bool
    compiler: bool


class Said(msgspec.Struct, frozen=True):
    """One line of the other process: what it begins, and what it found."""

    name: str
    loaded: bool = False
    error: str = ""
    torch: Torch | None = None
    kernels: Kernels | None = None
    formats: str = ""
    """Of picture files, that OpenImageIO reads."""


@dataclass(frozen=True)
class Libraries:
    """What became of each library that was loaded, by its name."""

    said: dict[str, Said] = field(default_factory=dict)

    def error(self, name: str) -> str:
        """Why it cannot be loaded, half a sentence; "" where it was."""
        found = self.said.get(name)
        if found is None:
            return "the process that tried did not get so far"
        return "" if found.loaded else found.error

    @property
    def torch(self) -> Torch | None:
        """None where it cannot be loaded."""
        return self.said["torch"].torch if "torch" in self.said else None

    @property
    def kernels(self) -> Kernels | None:
        """None where gsplat or torch cannot be loaded."""
        return self.said["gsplat"].kernels if "gsplat" in self.said else None

    @property
    def formats(self) -> str:
        """Of picture files, separated by commas."""
        return self.said["OpenImageIO"].formats if "OpenImageIO" in self.said else ""


def look_at_libraries(program: tuple[str, ...] = _PROGRAM, seconds: float = _SECONDS) -> Libraries:
    """Load them all, elsewhere."""
    try:
        ended = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        output, how = ended.stdout, _how_it_ended(ended.returncode, ended.stderr)
    except subprocess.TimeoutExpired as late:
        output, how = late.stdout or b"", f"it takes longer than {seconds:.0f} seconds"
    return Libraries(_understood(output, how))


def _how_it_ended(code: int, errors: bytes) -> str:
    last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"it ends the process ({how}){': ' + last[0] if last else ''}"


def _understood(output: bytes, how_it_ended: str) -> dict[str, Said]:
    said: dict[str, Said] = {}
    for line in output.splitlines():
        try:
            found = msgspec.json.decode(line, type=Said)
        except (msgspec.DecodeError, UnicodeError):  # a library's own words
            continue
        said[found.name] = found
    return {
        name: found if found.loaded or found.error else msgspec.structs.replace(found, error=how_it_ended)
        for name, found in said.items()
    }
