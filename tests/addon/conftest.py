"""What tests inside Blender's Python share: the registered add-on in an empty file, with a backend of its own."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BACKEND_PYTHON = Path(os.environ.get("CYCLORAMA_BACKEND_PYTHON", ROOT / ".venv" / "bin" / "python"))
PANORAMA = ROOT / "presets" / "panoramas" / "sunset.exr"

if importlib.util.find_spec("bpy") is None:
    collect_ignore_glob = ["test_*.py"]  # run these with .venv-blender/bin/python -m pytest tests/addon


@pytest.fixture
def no_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a backend that was never started; none is installed either."""
    folder = tmp_path / "backend"
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(folder))
    monkeypatch.delenv("CYCLORAMA_BACKEND_PYTHON", raising=False)
    return folder


@pytest.fixture
def addon(no_backend: Path) -> Iterator[None]:
    """The add-on, registered in an empty file."""
    import bpy

    import cyclorama

    bpy.ops.wm.read_factory_settings(use_empty=True)
    cyclorama.register()
    try:
        yield
    finally:
        cyclorama.unregister()


@pytest.fixture
def scene(addon: None, capfd: pytest.CaptureFixture[str]) -> Iterator:
    """An empty scene at 24 frames a second; no handler of Blender's may fail in it (Blender only prints that)."""
    import bpy

    scene = bpy.context.scene
    scene.render.fps = 24
    yield scene
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def package(scene, tmp_path: Path) -> Path:
    """A small package, "lake": 4 moving splats in 5 frames."""
    from .packages import write_package

    return write_package(tmp_path / "lake.cyclorama", moving=4, frames=5)


@pytest.fixture
def imported(scene, package: Path):
    """The collection that its import made."""
    import bpy

    from cyclorama.addon.stage.importing import import_scene

    return import_scene(bpy.context, package)


@pytest.fixture
def backend(no_backend: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a backend that can be started."""
    if not BACKEND_PYTHON.exists():
        pytest.skip(f"NO BACKEND at {BACKEND_PYTHON}: run tools/environment backend, or set CYCLORAMA_BACKEND_PYTHON")
    monkeypatch.setenv("CYCLORAMA_BACKEND_PYTHON", str(BACKEND_PYTHON))
    return no_backend


def drain_until(true: Callable[[], object], timeout: float = 30.0) -> None:
    """What Blender's timer does, until something is so."""
    from cyclorama.addon import link

    deadline, shown = time.monotonic() + timeout, True
    while not (shown and true()):
        assert time.monotonic() < deadline, f"not so after {timeout} s: {link.backend_state()}, {link.current_job()}"
        time.sleep(0.02)
        shown = link.drain()
