"""Blender: where it is, whether its version is supported, and whether the add-on in it is of our version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ..finding import Finding, fault, ok, warning
from ..situation import Situation

BLENDER_VARIABLE = "BLENDER"
SUPPORTED = "Cyclorama is made for Blender 4.5 LTS and for 5.2 LTS or newer."

_PATIENCE_SECONDS = 15.0
_MOST = 4
_GET = f"Install Blender from blender.org, or name it with --blender PATH or {BLENDER_VARIABLE}. {SUPPORTED}"
_AS_MODULE = "import bpy; print('Blender', bpy.app.version_string)"


@dataclass(frozen=True)
class AddOn:
    """A copy of the add-on: in which Blender's folder ("5.2"), and its version; "" where it cannot be told."""

    blender: str
    version: str


def blender(situation: Situation) -> Iterator[Finding]:
    """The one that was named, else all that are found in the usual places."""
    named = situation.blender or os.environ.get(BLENDER_VARIABLE, "")
    if named:
        program = shutil.which(named)
        if program is None:
            yield fault("Blender", f"{named} is no program.", "Name Blender's executable file.")
        else:
            yield version_judged(Path(program), chosen=True)
        return
    programs = list(_found(_usual_places()))[:_MOST]
    for program in programs:
        yield version_judged(program, chosen=False)
    if not programs:
        yield warning("Blender", "None was found in the usual places.", _GET)


def add_on(_situation: Situation) -> Iterator[Finding]:
    """In the extensions' folders of all versions of Blender."""
    found = list(installed(_user_folders()))
    for each in found:
        if each.version == __version__:
            yield ok("Add-on", f"{each.version} is installed in Blender {each.blender}")
        elif not each.version:
            yield warning("Add-on", f"The copy in Blender {each.blender} is damaged.", "Install its zip file again.")
        else:
            yield warning(
                "Add-on",
                f"{each.version} is installed in Blender {each.blender}, but the backend is {__version__}.",
                "Update the older of the two: both must be of one version.",
            )
    if not found:
        yield warning(
            "Add-on",
            "It is not installed in any Blender of this user.",
            "In Blender: Edit > Preferences > Get Extensions > Install from Disk, and choose its zip file.",
        )


def version_judged(program: Path, chosen: bool) -> Finding:
    """Ask it for its version, for so long at most. ``chosen``: nothing else will do."""
    worse = fault if chosen else warning
    try:
        said = _ask(program, "--version")
        if said.startswith("Python"):
            said = _ask(program, "-c", _AS_MODULE)
    except subprocess.TimeoutExpired:
        return worse("Blender", f"{program} did not tell its version in {_PATIENCE_SECONDS:.0f} s.", _GET)
    except OSError as error:
        return worse("Blender", f"{program} cannot be started: {error.strerror}.", _GET)
    match = re.search(r"^Blender (\d+)\.(\d+)\S*(?: LTS)?", said, re.MULTILINE)
    if not match:
        return worse("Blender", f"{program} does not say that it is a Blender.", _GET)
    version, shown = (int(match[1]), int(match[2])), f"{match[0].removeprefix('Blender ')}, {program}"
    if version < (4, 5):
        return worse("Blender", f"{shown}: too old.", SUPPORTED)
    if (4, 5) < version < (5, 2):
        return warning("Blender", f"{shown}: not tested.", SUPPORTED)
    return ok("Blender", shown)


def installed(folders: Iterable[Path]) -> Iterator[AddOn]:
    """The add-on's copies in the folders that Blender keeps for a user, one for each of its versions."""
    for folder in folders:
        patterns = ("extensions/*/cyclorama", "scripts/addons/cyclorama")
        for place in sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_dir()):
            yield AddOn(folder.name, _version_in(place / "blender_manifest.toml"))


def _version_in(manifest: Path) -> str:
    try:
        found = tomllib.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError):  # also text that is no UTF-8, and TOML that is none
        return ""
    return str(found.get("version", ""))


def _ask(program: Path, *question: str) -> str:
    """What it prints. Raises OSError and ``subprocess.TimeoutExpired``."""
    ended = subprocess.run(
        (str(program), *question),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE_SECONDS,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    return ended.stdout.decode("utf-8", "replace")


def _found(patterns: Iterable[str]) -> Iterator[Path]:
    seen: set[Path] = set()
    on_path = shutil.which("blender")
    paths = [Path(on_path)] if on_path else []
    for pattern in patterns:
        start = Path(Path(pattern).anchor)
        paths += sorted(start.glob(str(Path(pattern).relative_to(start))), reverse=True)
    for path in paths:
        real = path.resolve()
        if real not in seen and path.is_file():
            seen.add(real)
            yield path


def _usual_places() -> Iterable[str]:
    home = Path.home()
    if sys.platform == "darwin":
        return [f"{root}/Applications/Blender*.app/Contents/MacOS/Blender" for root in ("", home)]
    if sys.platform == "win32":
        roots = {os.environ.get(name, "") for name in ("ProgramFiles", "ProgramW6432")} - {""}
        steam = os.environ.get("ProgramFiles(x86)", r"C:\Program Files (x86)")  # noqa: SIM112 (its name)
        return [
            *(rf"{root}\Blender Foundation\Blender*\blender.exe" for root in sorted(roots)),
            rf"{steam}\Steam\steamapps\common\Blender\blender.exe",
        ]
    return [
        "/usr/local/bin/blender",
        "/opt/blender*/blender",
        "/snap/bin/blender",
        f"{home}/blender*/blender",
        f"{home}/Applications/blender*/blender",
        f"{home}/.steam/steam/steamapps/common/Blender/blender",
        "/var/lib/flatpak/exports/bin/org.blender.Blender",
        f"{home}/.local/share/flatpak/exports/bin/org.blender.Blender",
    ]


def _user_folders() -> list[Path]:
    """Where Blender keeps settings and extensions, a folder for each of its versions."""
    home = Path.home()
    if chosen := os.environ.get("BLENDER_USER_RESOURCES"):
        return [Path(chosen)]
    if sys.platform == "darwin":
        base = home / "Library" / "Application Support" / "Blender"
    elif sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or home) / "Blender Foundation" / "Blender"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "blender"
    return sorted(base.glob("[0-9]*.[0-9]*"))
