"""The Python packages: there, new enough, and not broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from ... import __version__
from ..finding import Finding, fault, ok, warning
from ..situation import Situation

REPAIR = "In Blender's Preferences, Add-ons > Cyclorama, click Repair; or: "
NEEDED_FORMATS = ("jpeg", "png", "webp", "hdr", "openexr")


def install(what: str, *options: str) -> str:
    """The hint that installs it into this environment."""
    return f"{REPAIR}{sys.executable} -m pip install {' '.join((*options, what))}"


def versions(_situation: Situation) -> Iterator[Finding]:
    """Every package of the backend against the least version that is declared."""
    needed = list(_needed())
    missing = [str(each) for each in needed if _installed(each.name) is None]
    older = [
        f"{each.name} {found} ({each.specifier} is needed)"
        for each in needed
        if (found := _installed(each.name)) is not None and not each.specifier.contains(found, prereleases=True)
    ]
    fix = install('"cyclorama[backend]"', "--upgrade")
    if missing:
        yield fault("Packages", f"Missing: {', '.join(missing)}.", fix)
    if older:
        yield fault("Packages", f"Too old: {', '.join(older)}.", fix)
    if not missing and not older:
        notable = ", ".join(f"{name} {_installed(name)}" for name in ("diffusers", "transformers"))
        yield ok("Packages", f"Cyclorama {__version__} and the {len(needed)} packages it needs; {notable}")


def loading(situation: Situation) -> Iterator[Finding]:
    """Those with compiled code are loaded, in a process of their own. torch and gsplat: see ``graphics.py``."""
    names = {
        "numba": "numba",
        "cv2": "opencv-python-headless",
        "OpenImageIO": "OpenImageIO",
        "transformers": "transformers",
        "diffusers": "diffusers",
    }
    broken = {package: reason for module, package in names.items() if (reason := situation.libraries.error(module))}
    for package, reason in broken.items():
        yield fault("Packages", f"{package} cannot be loaded: {reason}", install(package, "--force-reinstall"))
    if not broken:
        yield ok("Packages", f"{', '.join(names.values())} can be loaded")


def pictures(situation: Situation) -> Iterator[Finding]:
    """Which files OpenImageIO can read: builds differ."""
    formats = situation.libraries.formats.lower().split(",")
    if formats == [""]:
        return  # it could not be loaded: said already
    missing = [name for name in NEEDED_FORMATS if name not in formats]
    if missing:
        hint = install("OpenImageIO", "--force-reinstall")
        yield warning("Pictures", f"This OpenImageIO cannot read {', '.join(missing)}.", hint)
    else:
        yield ok("Pictures", "JPEG, PNG, WebP, HDR and OpenEXR can be read")


def _needed() -> Iterator[Requirement]:
    for line in requires("cyclorama") or ():
        needed = Requirement(line)
        if needed.marker is None or (needed.marker.evaluate({"extra": "backend"})):
            yield needed


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
