"""Installing, repairing and removing, step by step."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import check, gpu, trouble
from .fetch import fetch
from .lock import only_one
from .pip import Downloads, Package, Pip, bundled, listed
from .place import (
    LOG,
    Stamp,
    disk_bytes,
    free_bytes,
    holds_others,
    python_in,
    read_stamp,
    remove_own,
    site_packages,
    write_stamp,
)
from .request import Request, in_words, too_long
from .running import ProgramError, Runner
from .trouble import InstallError

Say = Callable[..., None]
"""Tells Blender: ``stage`` and ``fraction`` (-1: unknown), ``plan``, ``note``."""

UNPACKED = 4.1
"""Bytes on the disk for each byte of wheels: measured for the backend with torch for the CPU on Linux."""

_FIRST_IMPORT = """
import json, torch, cyclorama.backend.cli
cuda, backends = getattr(torch, "cuda", None), getattr(torch, "backends", None)
metal = getattr(backends, "mps", None)
on = "Apple GPU" if metal and metal.is_available() else "CPU"
on = cuda.get_device_name(0) if cuda and cuda.is_available() else on
print(json.dumps([str(torch.__version__), on]))
"""


@contextmanager
def workplace(request: Request, log_mode: str = "w") -> Iterator[Runner]:
    """The folder made, marked as ours, locked, with a log. Raises InstallError."""
    folder = request.place
    if read_stamp(folder) is None and holds_others(folder):
        raise InstallError(
            "install-folder-foreign",
            f"{folder} holds other things than an installation.",
            "Choose another folder under Install In.",
        )
    (folder / "temporary").mkdir(parents=True, exist_ok=True)
    with only_one(folder), (folder / LOG).open(log_mode, encoding="utf-8") as log:
        yield Runner(folder, log)


def plan(request: Request, say: Say, runner: Runner) -> None:
    """Tell what would be downloaded."""
    say(stage="Looking up what to download", fraction=-1)
    found = gpu.find() if sys.platform != "darwin" else None
    build, why = gpu.build_for(request.device, found)
    say(device=why)
    wheel = request.source if request.source.endswith(".whl") else ""
    pip = Pip(runner, request.place)
    if request.fetches("pip"):
        pip.refresh(request.origin)
    try:
        packages, note = _resolve(pip, request, build, wheel, _refuse_large)
    except _SizeUnknownError:
        return
    _tell_plan(say, request, packages, why, note)


class _SizeUnknownError(InstallError):
    """The index does not tell what a package needs without its download, which nobody has agreed to yet."""


def _refuse_large(line: str) -> None:
    if re.match(r"\s*Downloading \S+\.whl \((\d{2,}(\.\d+)? MB|[\d.]+ GB)\)", line):
        raise _SizeUnknownError("install-size-unknown", "The size cannot be told without downloading.")


def install(request: Request, say: Say, runner: Runner) -> None:
    """Make the environment, or go on making it."""
    stamp = read_stamp(request.place) or Stamp()
    write_stamp(request.place, replace(stamp, whole=False))  # before all: it says whose folder this is
    say(stage="Making the environment", fraction=-1)
    make_environment(request.place, runner)
    check.forget_broken(site_packages(request.place), thorough=False)
    pip = Pip(runner, request.place)
    if request.fetches("pip"):
        pip.refresh(request.origin)
    build, why = gpu.build_for(request.device, gpu.find())
    say(stage="Looking up what to download", device=why, fraction=-1)
    wheel = request.source if request.source.endswith(".whl") else _build(pip, request)

    def tell_download(line: str) -> None:
        if large := re.match(r"\s*Downloading (?:\S+/)?([\w.]+)-\S+\.whl \(.* [MG]B\)", line):
            say(stage=f"Downloading {large[1]}", fraction=-1)

    packages, note = _resolve(pip, request, build, wheel, tell_download)
    _tell_plan(say, request, packages, why, note)
    _need_room(request.place, packages)
    _fetch(pip, packages, request, build, say)
    say(stage="Installing Cyclorama", fraction=-1)
    pip.run("install", "--no-deps", "--force-reinstall", "--no-index", wheel)
    say(stage="Trying it out", fraction=-1)
    torch, runs_on = try_out(pip, request.place, runner)
    for name in ("cache", "temporary"):
        shutil.rmtree(request.place / name, ignore_errors=True)
    python = Path(python_in(request.place)).resolve().name.removeprefix("python")
    size = disk_bytes(request.place)
    write_stamp(request.place, Stamp(request.version, True, build, torch, runs_on, python, size))


def repair(request: Request, say: Say, runner: Runner) -> None:
    """Find what is damaged, and install that again."""
    say(stage="Checking every file", fraction=-1)
    broken = check.forget_broken(site_packages(request.place), thorough=True)
    install(request, say, runner)
    say(note=f"Installed again: {', '.join(broken)}" if broken else "No package was damaged")


def remove(request: Request, say: Say) -> None:
    """Delete the installation; nothing else."""
    say(stage="Removing", fraction=-1)
    if read_stamp(request.place) is None:
        raise InstallError("install-nothing", f"There is no installation in {request.folder}.")
    with only_one(request.place):
        pass
    left = remove_own(request.place)
    if left:
        raise InstallError(
            "install-files-in-use",
            f"{len(left)} files cannot be deleted, such as {left[0]}.",
            "Stop the backend, close other Blenders, and click Remove again.",
        )


def make_environment(folder: Path, runner: Runner) -> None:
    """A virtual environment that runs; what is installed in it is kept where its Python is of the same version."""
    python = python_in(folder)
    if python.exists() and _runs(runner, python):
        return
    bundled()  # says in words when this Python cannot make one
    packages = site_packages(folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if sys.platform != "win32" and packages.parent.name not in (version, "lib"):
        shutil.rmtree(folder / "venv")  # of another Blender that is gone
    for leftover in (*python.parent.glob("python*"), folder / "venv" / "pyvenv.cfg"):
        leftover.unlink(missing_ok=True)
    try:
        runner.run([sys.executable, "-m", "venv", folder / "venv"])
    except ProgramError as failed:
        raise trouble.of_pip(failed.lines, failed.ending, folder) from failed


def _runs(runner: Runner, python: Path) -> bool:
    try:
        runner.run([python, "-m", "pip", "--version"])
    except (ProgramError, OSError):
        return False
    return True


def _build(pip: Pip, request: Request) -> str:
    """The wheel of a checkout, built from a copy: setuptools leaves files behind."""
    source, copy = Path(request.source), request.place / "temporary" / "source"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in ("addon", "backend", "bridge", "presets"):
        shutil.copytree(source / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "blender_manifest.toml", "__init__.py"):
        shutil.copy2(source / name, copy / name)
    target = request.place / "temporary" / "wheel"
    shutil.rmtree(target, ignore_errors=True)
    pip.run("wheel", "--no-deps", "--quiet", "-w", str(target), *request.origin, str(copy))
    return str(next(target.glob("*.whl")))


def _resolve(
    pip: Pip, request: Request, build: str, wheel: str, hear: Callable[[str], None]
) -> tuple[list[Package], str]:
    """What is missing, and a remark when torch is not the build that was asked for."""
    backend = [f"cyclorama[backend] @ {Path(wheel).as_uri()}"] if wheel else _dependencies(request)
    torch = next((line for line in _constraints(request) if line.startswith("torch==")), "torch")
    index = gpu.INDEX + build
    if build and torch != "torch":
        extra = [] if request.wheel_folder else _extra_index(request, build, torch)
        try:
            return _others(pip.resolve([f"{torch}+{build}", *backend], [*request.origin, *extra], hear)), ""
        except InstallError as error:
            if error.code not in ("install-package-missing", "install-conflict"):
                raise  # without its build, the tested version excludes the one asked for: said in either way
    found = _others(pip.resolve([torch, *backend], request.origin, hear))
    got = next((package.version for package in found if package.name == "torch"), "")
    if not build or not got or got.endswith(f"+{build}"):
        return found, ""
    where = "the wheel folder" if request.wheel_folder else index
    return found, f"torch {got} is taken as it comes: its build for {build} is not to be had from {where}"


def _others(packages: Sequence[Package]) -> list[Package]:
    return [package for package in packages if package.name != "cyclorama"]


def _constraints(request: Request) -> list[str]:
    return Path(request.constraints).read_text(encoding="utf-8").splitlines()


def _dependencies(request: Request) -> list[str]:
    """Those of a checkout, before its wheel is built."""
    import tomllib

    project = tomllib.loads((Path(request.source) / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["backend"]]


def _extra_index(request: Request, build: str, torch: str) -> list[str]:
    """PyTorch's own index, when it answers: pip would ask one that does not for every package, patiently."""
    index = gpu.INDEX + build
    return ["--extra-index-url", index] if listed(index, "torch", f"{torch.split('==')[1]}+{build}") else []


def _tell_plan(say: Say, request: Request, packages: Sequence[Package], why: str, note: str) -> None:
    largest = sorted(packages, key=lambda package: -package.bytes)[:3]
    say(
        plan={
            "device": why,
            "note": note,
            "packages": len(packages),
            "download_bytes": _bytes([package for package in packages if not package.local]),
            "install_bytes": int(UNPACKED * _bytes(packages)),
            "unknown": sum(package.bytes < 0 for package in packages),
            "largest": ", ".join(
                f"{package.name} {in_words(package.bytes)}" for package in largest if package.bytes > 0
            ),
            "free_bytes": free_bytes(request.place),
        }
    )


def _need_room(folder: Path, packages: Sequence[Package]) -> None:
    """Before anything is downloaded. (The downloads are there until all is unpacked.)"""
    loaded = _bytes([package for package in packages if not package.local])
    needed, free = int(UNPACKED * _bytes(packages)) + loaded, free_bytes(folder)
    if 0 <= free < needed:
        raise InstallError(
            "install-disk-full",
            f"Installing needs {in_words(needed)}, and the disk of {folder} has {in_words(free)} free.",
            "Free some space, or choose another folder under Install In.",
        )


def _fetch(pip: Pip, packages: Sequence[Package], request: Request, build: str, say: Say) -> None:
    if not packages:
        return
    total = _bytes(packages) or 1

    def show(there: int, name: str) -> None:
        stage = f"Downloading {name}" if name else "Downloading"
        say(stage=stage, fraction=0.8 * min(there / total, 1.0), done=there, total=total)

    fetched = fetch(packages, request.place / "cache" / "wheels", show, pip.note)
    downloads = Downloads(fetched.left, lambda there, name: show(there + total - _bytes(fetched.left), name))
    torch = next((package for package in fetched.left if package.name == "torch"), None)
    extra = []
    if torch and torch.url.startswith(gpu.INDEX):
        extra = ["--extra-index-url", gpu.INDEX + build]
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(downloads, request.place, len(packages), say, ended), daemon=True)
    watcher.start()
    try:
        pip.install(packages, fetched.files, [*request.origin, *extra], downloads.hear)
    finally:
        ended.set()
        watcher.join()


def _bytes(packages: Sequence[Package]) -> int:
    return sum(max(package.bytes, 0) for package in packages)


def _watch(downloads: Downloads, folder: Path, count: int, say: Say, ended: threading.Event) -> None:
    """How many packages are unpacked: pip does not say while it does it."""
    before = _installed(folder)
    while not ended.wait(0.5):
        if downloads.loaded:
            done = min(max(_installed(folder) - before, 0), count)
            say(stage=f"Unpacking {done} of {count} packages", fraction=0.8 + 0.18 * done / count)


def _installed(folder: Path) -> int:
    return sum(1 for _ in site_packages(folder).glob("*.dist-info/RECORD"))


def try_out(pip: Pip, folder: Path, runner: Runner) -> tuple[str, str]:
    """torch's version and what it computes on, from a first import. Raises InstallError when that fails."""
    try:
        said = runner.run([python_in(folder), "-c", _FIRST_IMPORT])
    except ProgramError as failed:
        words = next((line for line in reversed(failed.lines) if line.strip()), failed.ending)
        raise InstallError(
            "install-broken", f"The installed backend does not start: {words.strip()}.", "Click Repair."
        ) from failed
    torch, runs_on = json.loads(said[-1])
    try:
        runner.run([python_in(folder), "-m", "pip", "check"])
    except ProgramError as failed:
        complaint = next((line for line in failed.lines if " requires " in line or " has requirement " in line), "")
        raise InstallError(
            "install-conflict", f"Packages do not fit together: {complaint.rstrip('.')}.", "Click Repair."
        ) from failed
    return torch, runs_on


def run(request: Request, say: Say, stop: list[Callable[[], Any]]) -> None:
    """Do what is asked; ``stop`` gets what ends it. Raises InstallError and OSError."""
    if request.command == "remove":
        return remove(request, say)
    if too_long(request.folder):
        raise InstallError(
            "install-path-long", f"{request.folder} is too long a path for Windows.", "Choose a shorter Install In."
        )
    if request.wheel_folder and not Path(request.wheel_folder).is_dir():
        raise InstallError(
            "install-no-wheel-folder", f"There is no folder {request.wheel_folder}.", "Correct Wheel Folder."
        )
    if request.command == "plan":
        return _plan_aside(request, say, stop)
    with workplace(request) as runner:
        stop.append(runner.kill)
        try:
            {"install": install, "repair": repair}[request.command](request, say, runner)
        except InstallError as error:
            runner.note(f"{error.code}: {error.sentence} {error.hint}")
            raise


def _plan_aside(request: Request, say: Say, stop: list[Callable[[], Any]]) -> None:
    """Planning writes nothing where nothing is installed yet."""
    import tempfile

    if read_stamp(request.place) is not None and python_in(request.place).exists():
        with workplace(request, "a") as runner:
            stop.append(runner.kill)
            return plan(request, say, runner)
    with tempfile.TemporaryDirectory(prefix="cyclorama-plan-") as aside:
        (Path(aside) / "temporary").mkdir()
        runner = Runner(Path(aside), None)
        stop.append(runner.kill)
        elsewhere = replace(request, folder=aside)
        plan(elsewhere, lambda **said: say(**_with_free(said, request.place)), runner)


def _with_free(said: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The free space is that of the chosen folder."""
    if "plan" in said:
        said["plan"]["free_bytes"] = free_bytes(folder)
    return said
