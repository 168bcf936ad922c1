"""What is installed: the backend's wheel that came with the extension, or the checkout the add-on runs from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...bridge.errors import CycloramaError

_ROOT = Path(__file__).resolve().parents[2]
_BUNDLE = _ROOT / "bundle"
"""tools/build-extension fills it."""


@dataclass(frozen=True)
class Bundle:
    """A wheel of cyclorama or a checkout of it, and the file of the versions it was tested with."""

    source: Path
    constraints: Path


def bundle() -> Bundle:
    """What there is. Raises CycloramaError when the extension is incomplete."""
    if (_ROOT / "pyproject.toml").is_file():  # an extension has none
        return Bundle(_ROOT, _ROOT / "constraints" / "backend.txt")
    wheel = next(_BUNDLE.glob("cyclorama-*.whl"), None)
    if wheel and (_BUNDLE / "constraints.txt").is_file():
        return Bundle(wheel, _BUNDLE / "constraints.txt")
    raise CycloramaError(
        "install-bundle-missing",
        "This copy of the add-on has no backend to install.",
        "Install the extension again from its zip file.",
    )
