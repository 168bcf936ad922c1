"""What Blender asks the installer for."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """What Blender asks for.

    Args:
        command: ``plan``, ``install``, ``repair`` or ``remove``.
        folder: the installation's own folder.
        source: the wheel of cyclorama, or a checkout it is built from.
        constraints: file of the versions it was tested with.
        version: of this add-on.
        device: ``AUTO``, ``CPU`` or ``CUDA``.
        wheel_folder: install from these files, without the network; "" for none.
    """

    command: str
    folder: str
    source: str = ""
    constraints: str = ""
    version: str = ""
    device: str = "AUTO"
    wheel_folder: str = ""

    @property
    def place(self) -> Path:
        """``folder``."""
        return Path(self.folder)

    @property
    def origin(self) -> list[str]:
        """pip's options: where packages come from, in which versions."""
        wheels = ["--no-index", "--find-links", self.wheel_folder] if self.wheel_folder else []
        return [*wheels, "-c", self.constraints]

    def fetches(self, package: str) -> bool:
        """Whether a package may be found where packages come from."""
        return not self.wheel_folder or any(Path(self.wheel_folder).glob(f"{package}-*.whl"))


def in_words(size: float) -> str:
    """``1.4 GB``, ``23 MB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def too_long(folder: str) -> bool:
    """Whether Windows would not find torch's deepest files below it (without its long paths switched on)."""
    return platform.system() == "Windows" and len(re.sub(r"^\\\\\?\\", "", folder)) > 100
