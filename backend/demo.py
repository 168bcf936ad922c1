"""The demonstration: a photograph becomes a moving scene, Blender flies a camera through it and renders the shot.

This side starts Blender, which starts the backend as it does for an artist, and afterwards judges the result.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..bridge.errors import CycloramaError
from ..bridge.scene import SUFFIX, Scene
from . import __version__
from .inspection import facts
from .sphere.colour import psnr, srgb_from_linear
from .sphere.pictures import read_panorama, read_pixels
from .sphere.views import look, tangent_view

FRAMES = 24
NEEDED_BYTES = 200_000_000
"""Room the demonstration takes on disk, and some more."""

EXTENSION = "bl_ext.user_default.cyclorama"


def run(blender: str, output: Path, panorama: Path | None) -> None:
    """Make the demonstration in ``output``; see ``cli.demo``. Raises ``CycloramaError``."""
    photograph = panorama or Path(str(files("cyclorama"))) / "presets" / "panoramas" / "sunset.exr"
    started = time.perf_counter()
    _make_room(output)
    order, answer = output / "order.json", output / "answer.json"
    order.write_text(
        json.dumps(
            {"folder": str(output), "panorama": str(photograph.absolute()), "frames": FRAMES, "answer": str(answer)}
        ),
        encoding="utf-8",
    )
    try:
        _run_blender(blender, output, order)
        told = json.loads(answer.read_text(encoding="utf-8"))
    finally:
        order.unlink()
        answer.unlink(missing_ok=True)
    scene = Scene(told["package"])
    scene.validate()
    figures = {
        **told["figures"],
        "psnr_at_origin_db": _psnr_at_origin(photograph, output / "origin.png", told["figures"]["origin_view"]),
        **_judge_video(scene),
        "package": {key: facts(scene)[key] for key in ("static_count", "moving_count", "bytes")},
    }
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cyclorama": __version__,
        "blender": told["blender"],
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "seconds": round(time.perf_counter() - started, 1),
        "steps": told["steps"],
        "figures": figures,
    }
    (output / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    _tell(output, report)


def _make_room(output: Path) -> None:
    """Remove what an earlier demonstration made there, and nothing else; see that a new one has room."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for pattern in ("shot_*.png", "shot.mp4", "origin.png", "scene.blend*", "report.json"):
            for path in output.glob(pattern):
                path.unlink()
        for path in (*output.glob(f"*{SUFFIX}"), output / "backend"):
            shutil.rmtree(path, ignore_errors=True)
        free = shutil.disk_usage(output).free
    except OSError as error:
        raise CycloramaError("output-not-writable", f"{output} cannot be written ({error.strerror}).") from error
    if free < NEEDED_BYTES:
        raise CycloramaError(
            "disk-full",
            f"There is too little room in {output}: {free / 1e6:.0f} MB are free, {NEEDED_BYTES / 1e6:.0f} MB needed.",
            "Make room there, or choose another folder with --output.",
        )


def _run_blender(blender: str, output: Path, order: Path) -> None:
    environment = os.environ | {
        "CYCLORAMA_BACKEND_PYTHON": sys.executable,
        "CYCLORAMA_FOLDER": str(output / "backend"),
    }
    command = [blender, "-m", "cyclorama.addon.demo", str(order)]
    if _is_blender(blender):
        environment["BLENDER_USER_RESOURCES"] = str(output / "backend" / "blender")
        _install_extension(blender, environment)
        begin = f"import {EXTENSION}.addon.demo as demo, pathlib, sys; demo.main(pathlib.Path(sys.argv[-1]))"
        command = [blender, "--background", "--python-exit-code", "1", "--python-expr", begin, "--", str(order)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                if not _is_chatter(line):
                    print(line, end="", flush=True)
        except BaseException:  # stopped from outside: Blender goes too, and the backend with it
            process.terminate()
            raise
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        raise CycloramaError("demo-failed", f"Blender ended with {how}.", "What it said stands above.")


def _is_blender(program: str) -> bool:
    """Blender itself, rather than a Python that can import it. Raises ``CycloramaError`` when it does not run."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CycloramaError("blender-not-startable", f"{program} cannot be started ({error}).") from error
    is_blender = any(line.startswith("Blender ") for line in said.splitlines())
    if not is_blender and not said.startswith("Python "):
        raise CycloramaError("blender-not-startable", f"{program} is no Blender, and no Python either.")
    return is_blender


def _install_extension(blender: str, environment: dict[str, str]) -> None:
    extension = Path("build") / f"cyclorama-{__version__}.zip"
    if not extension.exists():
        raise CycloramaError("extension-missing", f"There is no {extension}.", "Make it with: make extension")
    Path(environment["BLENDER_USER_RESOURCES"]).mkdir(parents=True, exist_ok=True)
    command = [blender, "--command", "extension", "install-file", "--repo", "user_default", "--enable", str(extension)]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise CycloramaError(
            "extension-not-installed",
            f"{blender} does not take {extension}; what it said stands above.",
            "Use an official Blender, 4.5 LTS or 5.2 LTS.",
        )


def _is_chatter(line: str) -> bool:
    """Blender's own lines about every tile and file."""
    begins = ("Fra:", "Saved:", " Time:", "Time:", "Info: ", "Append frame", "Blender ")
    return not line.strip() or line.startswith(begins) or " render  " in line


def _psnr_at_origin(photograph: Path, picture: Path, view: dict) -> float:
    """The splats seen from the origin against the same view of the panorama, both in sRGB."""
    panorama = read_panorama(photograph).image
    direction = look(view["longitude"], view["latitude"])
    wanted = tangent_view(panorama, direction, view["width"], view["height"], view["fov"])
    got = read_pixels(picture)[..., :3]
    return round(psnr(srgb_from_linear(wanted), got), 2)


def _judge_video(scene: Scene) -> dict:
    """How the loop closes, and whether what should stand still does."""
    frames = np.stack([read_pixels(path) for path in scene.video_frames()])
    moved = (frames != frames[0]).any(axis=(0, 3))
    step = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    return {
        "share_of_pixels_that_move": round(float(moved.mean()), 3),
        "mean_difference_of_neighbouring_frames": float(step.mean()),
        "mean_difference_of_last_and_first_frame": float(np.abs(frames[-1] - frames[0]).mean()),
    }


def _tell(output: Path, report: dict) -> None:
    figures = report["figures"]
    print(
        f"\nDone in {report['seconds']:.0f} s. Seen from the origin, the splats match the panorama to "
        f"{figures['psnr_at_origin_db']:.1f} dB; a frame change takes {figures['frame_change_milliseconds']:.1f} ms.\n"
        f"  film      {output / 'shot.mp4'}\n"
        f"  frames    {output / 'shot_0001.png'} …\n"
        f"  Blender   {output / 'scene.blend'}\n"
        f"  4D scene  {next(output.glob(f'*{SUFFIX}'))}\n"
        f"  figures   {output / 'report.json'}"
    )
