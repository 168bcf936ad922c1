"""What is installed is what is in the tree, and light parts load nothing heavy."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cyclorama

ROOT = Path(__file__).parents[1]


def folders_with_python(*below: str) -> set[str]:
    """As names of packages."""
    files = [path for folder in below for path in (ROOT / folder).rglob("*.py")]
    return {"cyclorama." + path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in files}


def test_every_folder_with_python_files_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    assert set(listed) == {"cyclorama"} | folders_with_python("addon", "backend", "bridge")


def test_every_package_says_what_it_is():
    for name in folders_with_python("addon", "backend", "bridge"):
        start = ROOT.joinpath(*name.split(".")[1:], "__init__.py")
        assert start.read_text().startswith('"""'), start


def test_both_manifests_name_one_version():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    assert manifest["version"] == cyclorama.__version__


def loaded_by(*modules: str) -> set[str]:
    """Top-level names of all modules that importing these loads."""
    program = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60).stdout
    return {name.partition(".")[0] for name in json.loads(output)}


def modules_below(folder: str) -> list[str]:
    return [f"cyclorama.{folder}.{path.stem}" for path in (ROOT / folder).glob("*.py") if path.stem != "__init__"]


HEAVY = {"torch", "cv2", "scipy", "numba", "OpenImageIO", "rich", "tyro", "bpy"}


def test_cyclorama_itself_loads_nothing():
    assert not loaded_by("cyclorama") & (HEAVY | {"numpy", "zmq", "msgspec"})


def test_the_bridge_loads_nothing_heavy():
    loaded = loaded_by(*modules_below("bridge"))
    assert {"numpy", "zmq", "msgspec"} <= loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("module", ["serve", "front", "supervisor", "jobs"])
def test_the_server_process_loads_nothing_heavy(module):
    assert not loaded_by(f"cyclorama.backend.server.{module}") & HEAVY


def test_the_command_line_loads_the_pipeline_only_when_asked():
    assert not loaded_by("cyclorama.backend.cli") & {"torch", "cv2", "scipy", "numba", "OpenImageIO"}
