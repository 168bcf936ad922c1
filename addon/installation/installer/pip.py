"""pip, as the installer uses it: which pip, with which options, what it downloads and how far it is."""

from __future__ import annotations

import json
import re
import ssl
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import trouble
from .place import python_in, site_packages
from .running import ProgramError, Runner
from .trouble import InstallError

_OPTIONS = ("--no-input", "--disable-pip-version-check", "--no-color")
_SIZE_SECONDS = 20.0

GOOD = (25, 3)
"""pip from this version on does not download to tell what it would, and resumes downloads."""


@dataclass(frozen=True)
class Package:
    """One that is to be installed; its file's ``bytes`` are -1 when nobody tells, a ``local`` one is not downloaded."""

    name: str
    version: str
    url: str
    bytes: int
    local: bool
    sha256: str = ""

    @property
    def file(self) -> str:
        """Its file's name, as pip says it."""
        return unquote(urlsplit(self.url).path.rsplit("/", 1)[-1])


class Pip:
    """The pip of the environment in ``folder``, or where there is none yet the one that comes with Python (which is
    only ever asked what it would do)."""

    def __init__(self, runner: Runner, folder: Path):
        self._runner, self._folder = runner, folder
        python = python_in(folder)
        self._own = python.is_file()
        self._from = python if self._own else bundled()

    def note(self, line: str) -> None:
        """Write a line into the log."""
        self._runner.note(line)

    def run(self, *arguments: str, hear: Callable[[str], None] = lambda line: None) -> list[str]:
        """What it printed. Raises InstallError with what its words mean."""
        try:
            return self._runner.run([*self._command(), *_OPTIONS, *arguments], hear)
        except ProgramError as failed:
            raise trouble.of_pip(failed.lines, failed.ending, self._folder) from failed

    def refresh(self, source: Sequence[str]) -> None:
        """A newer pip tells sizes without downloading and goes on with broken downloads; the old one will do."""
        if self.version() >= GOOD:
            return
        wanted = f"pip>={GOOD[0]}.{GOOD[1]}"
        aside = self._folder / "temporary" / "pip"
        try:
            if self._own:
                self.run("install", "--upgrade", "--quiet", *source, wanted)
            else:
                self.run("download", "--no-deps", "--quiet", "--dest", str(aside), *source, wanted)
                self._from = next(aside.glob("pip-*.whl"), self._from)
        except InstallError:
            self._runner.note("(going on with the pip that is there)")

    def version(self) -> tuple[int, int]:
        """``(26, 3)``."""
        places = site_packages(self._folder).glob("pip-*.dist-info") if self._own else [self._from]
        said = re.match(r"pip-(\d+)\.(\d+)", max((path.name for path in places), default=""))
        return (int(said[1]), int(said[2])) if said else (0, 0)

    def resolve(
        self, requirements: Sequence[str], source: Sequence[str], hear: Callable[[str], None] = lambda line: None
    ) -> list[Package]:
        """What has to be installed that is not yet. (Where an index has no metadata, pip downloads the packages to look
        into them; ``hear`` gets its words.) Raises InstallError."""
        report = self._folder / "temporary" / "report.json"
        foreign = () if self._own else ("--ignore-installed",)
        options = ("--dry-run", *foreign, "--report", str(report), "--only-binary=:all:")
        self.run("install", *options, *self._cache(), *source, *requirements, hear=hear)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
        report.unlink()
        urls = [item["download_info"]["url"] for item in found]
        sizes = _sizes(urls)
        return [
            Package(
                item["metadata"]["name"],
                item["metadata"]["version"],
                url,
                size,
                url.startswith("file:"),
                item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""),
            )
            for item, url, size in zip(found, urls, sizes, strict=True)
        ]

    def install(
        self, packages: Sequence[Package], files: dict[str, Path], source: Sequence[str], hear: Callable[[str], None]
    ) -> None:
        """Install exactly these, from their ``files`` where they are there already. Raises InstallError."""
        shown = ("--progress-bar", "raw" if self.version() >= (24, 1) else "off")
        again = ("--resume-retries", "20") if self.version() >= GOOD else ()
        pins = [str(files.get(package.name) or f"{package.name}=={package.version}") for package in packages]
        options = ("--no-deps", "--only-binary=:all:", *shown, *again, *self._cache())
        self.run("install", *options, *source, *pins, hear=hear)

    def _command(self) -> list[str]:
        return [str(self._from), "-m", "pip"] if self._own else [sys.executable, str(self._from / "pip")]

    def _cache(self) -> tuple[str, str]:
        return "--cache-dir", str(self._folder / "cache")


def bundled() -> Path:
    """The wheel of pip that comes with this Python. Raises InstallError when it lacks what makes environments."""
    try:
        import ensurepip
        import venv  # noqa: F401

        folders = [Path(ensurepip.__file__).parent / "_bundled", Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or ".")]
        return next(wheel for folder in folders for wheel in folder.glob("pip-*.whl"))
    except (ImportError, StopIteration):
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise InstallError(
            "install-python-incomplete",
            f"This Blender's Python ({sys.executable}) cannot make environments: venv or ensurepip is missing.",
            f"Install the system's package {version}-venv, or use Blender from blender.org.",
        ) from None


def _sizes(urls: Sequence[str]) -> list[int]:
    """Bytes of each file; -1 where nobody tells."""
    context = trust()
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda url: _size(url, context), urls))


def _size(url: str, context: ssl.SSLContext) -> int:
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(urllib.request.url2pathname(parts.path)).stat().st_size
        question = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(question, timeout=_SIZE_SECONDS, context=context) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, ValueError, TypeError):
        return -1


def trust() -> ssl.SSLContext:
    """The system's certificates, and those that pip brings along: Blender's Python may know none."""
    context = ssl.create_default_context()
    try:
        with zipfile.ZipFile(bundled()) as wheel:
            context.load_verify_locations(cadata=wheel.read("pip/_vendor/certifi/cacert.pem").decode("ascii"))
    except (InstallError, KeyError, OSError, ssl.SSLError, UnicodeDecodeError):
        pass  # a size less; pip itself knows what it trusts
    return context


def listed(index: str, package: str, version: str) -> bool:
    """Whether a simple index can be reached and has that version."""
    try:
        with urllib.request.urlopen(f"{index}/{package}/", timeout=_SIZE_SECONDS, context=trust()) as answer:
            page = unquote(answer.read(4_000_000).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return False
    return f"{package}-{version}-" in page


class Downloads:
    """How far pip is, from its own words.

    Args:
        packages: what it was asked to install.
        show: called with the bytes that are there and what is loaded now.
    """

    def __init__(self, packages: Sequence[Package], show: Callable[[int, str], None]):
        self._bytes = {package.file: max(package.bytes, 0) for package in packages}
        self._names = {package.file: package.name for package in packages}
        self._show = show
        self._before = 0
        self._file = ""
        self.loaded = False
        """Whether all is there and being unpacked."""

    def hear(self, line: str) -> None:
        """Take in one line of pip's."""
        words = line.split()
        if words[:1] == ["Progress"] and len(words) == 4 and words[1].isdigit():
            if self._file:
                self._show(self._before + int(words[1]), self._names[self._file])
        elif words[:1] in (["Downloading"], ["Processing"]) or words[:2] == ["Using", "cached"]:
            self._next(unquote(words[-1 if len(words) < 3 or not words[-1].endswith(")") else -3].rsplit("/", 1)[-1]))
        elif line.startswith("Installing collected packages"):
            self._next("")
            self.loaded = True

    def _next(self, file: str) -> None:
        self._before += self._bytes.get(self._file, 0)
        self._file = file if file in self._bytes else ""
        self._show(self._before, self._names.get(self._file, ""))
