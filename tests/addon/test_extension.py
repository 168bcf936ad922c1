"""The extension as an artist gets it: the zip, installed and switched on in a fresh Blender."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import cyclorama

from .conftest import ROOT

ENVIRONMENTS = [ROOT / ".venv-blender", ROOT / ".venv-blender-4.5"]

INSTALL = """
import sys, json, site
import bpy, numpy, addon_utils
sys.path[:] = [path for path in sys.path if "site-packages" not in path or "bpy" in path]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]

name = "bl_ext.user_default.cyclorama"
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
result = {
    "enabled": name in bpy.context.preferences.addons,
    "panel": hasattr(bpy.types, "CYCLORAMA_PT_generate"),
    "frames": bpy.context.scene.cyclorama.frames,
    "bundle": str(sys.modules[name + ".addon.installation.bundle"].bundle().source),
    "modules": {module: __import__(module).__file__ for module in ("zmq", "msgspec", "safetensors")},
}
addon_utils.disable(name)
result["left"] = [cls for cls in dir(bpy.types) if "CYCLORAMA" in cls]
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def package() -> Path:
    built = subprocess.run([sys.executable, ROOT / "tools" / "build-extension"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return ROOT / "build" / f"cyclorama-{cyclorama.__version__}.zip"


def test_manifest_and_package_are_of_one_version():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == cyclorama.__version__
    assert len(manifest["tagline"]) <= 64
    assert all(len(reason) <= 64 and not reason.endswith(".") for reason in manifest["permissions"].values())


def test_the_zip_holds_the_addon_and_nothing_else(package):
    names = zipfile.ZipFile(package).namelist()
    assert {"__init__.py", "blender_manifest.toml", "addon/__init__.py", "bridge/client.py"} <= set(names)
    assert not [name for name in names if name.startswith(("backend/", "tests/", ".")) or name.endswith(".pyc")]


def test_the_zip_brings_the_backend_to_install_along(package):
    archive = zipfile.ZipFile(package)
    wheel = zipfile.ZipFile(archive.open(f"bundle/cyclorama-{cyclorama.__version__}-py3-none-any.whl"))
    assert "cyclorama/backend/cli.py" in wheel.namelist()
    assert "torch==" in archive.read("bundle/constraints.txt").decode()


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_the_zip_installs_in_a_fresh_blender_with_its_own_wheels(package, environment, tmp_path):
    python = environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"NO {environment.name}: run tools/environment {environment.name.removeprefix('.venv-')}")
    user = tmp_path / "user"
    user.mkdir()
    ran = subprocess.run(
        [python, "-c", INSTALL, package],
        env=os.environ | {"BLENDER_USER_RESOURCES": str(user)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    assert found, ran.stdout + ran.stderr
    result = json.loads(found[0].removeprefix("RESULT "))
    assert result["enabled"] and result["panel"]
    assert result["frames"] == 0
    assert result["bundle"].startswith(str(user)) and result["bundle"].endswith(".whl")
    assert all(file.startswith(str(user)) for file in result["modules"].values()), result["modules"]
    assert result["left"] == []
    assert "Traceback" not in ran.stderr
