"""How long importing a 4D scene and changing its frame take in Blender, beside Blender's own PLY import of the same.

The scene: 1 M static and 200 k moving splats in 24 frames, of which position and radiance move. The PLY: the 1.2 M
splats of its first frame, binary, degree 0, 3DGS names. Both are in the system's cache. Beside the import as a whole
(package, nodes, material) its memory, and the frame change on the data side: from the files into the attributes.

    .venv-blender/bin/python benchmarks/blender_import.py [--static N] [--moving N] [--runs N] [--peer FOLDER:OPERATOR]

A peer is the folder of somebody else's add-on and the name of its operator that imports a PLY ("object.import_x"), as
of https://github.com/ReshotAI/gaussian-splatting-blender-addon (blender-addon:object.import_gaussian_splatting).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

import cyclorama
from cyclorama.addon.stage import packages, playback
from cyclorama.addon.stage.importing import import_scene
from cyclorama.addon.stage.scene_object import PLAYED, parts
from cyclorama.bridge.gaussians import Gaussians, joined
from cyclorama.bridge.scene import Generator
from cyclorama.bridge.scene_writer import SceneWriter

_PLY = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()  # noqa: SIM905


def _gaussians(count: int, seed: int) -> Gaussians:
    chance = np.random.default_rng(seed)
    rotation = chance.normal(size=(count, 4))
    return Gaussians(
        chance.uniform(-9, 9, (count, 3)).astype(np.float32),
        (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).astype(np.float32),
        chance.uniform(0.01, 0.1, (count, 3)).astype(np.float32),
        chance.uniform(0, 1, (count, 4)).astype(np.float32),
    )


def _write_package(folder: Path, static: int, moving: int, frames: int, all_moves: bool) -> None:
    names = ("position", "rotation", "scale", "radiance:base") if all_moves else ("position", "radiance:base")
    with SceneWriter(folder) as writer:
        writer.static(_gaussians(static, 1))
        first = _gaussians(moving, 2).arrays()
        if not all_moves:
            writer.moving({name: array for name, array in first.items() if name not in names})
        for index in range(frames):
            writer.frame(index, {name: first[name] for name in names})
        writer.finish(
            generator=Generator("benchmark", "0", "none", {}), seed=0, frame_rate=24.0, frame_count=frames, loops=True
        )


def _write_ply(path: Path, splats: Gaussians) -> None:
    opacity = np.log(splats.radiance[:, 3:] / (1 - splats.radiance[:, 3:]).clip(1e-6))
    table = [splats.position, splats.radiance[:, :3], opacity, np.log(splats.scale), splats.rotation]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(splats)}"]
    text = "\n".join([*head, *(f"property float {name}" for name in _PLY), "end_header", ""])
    path.write_bytes(text.encode() + np.concatenate(table, axis=1).astype("<f4").tobytes())


def _seconds(runs: int, work: Callable[[], object]) -> tuple[float, float]:
    """Median and least of some runs, each in an empty file."""
    taken = []
    for _ in range(runs):
        _empty()
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), min(taken)


def _empty() -> None:
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.data.orphans_purge()
    gc.collect()


def _anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0


def _frame_change(scene: bpy.types.Scene, frames: int) -> tuple[float, float, float]:
    """Median and longest milliseconds on the data side, and the median of reading without a thread."""
    root = next(thing for thing in scene.objects if thing.cyclorama.package)
    settings, played = root.cyclorama, list(parts(root, *PLAYED))
    for part in parts(root, "STATIC", *PLAYED):
        part.hide_viewport = True  # what geometry nodes do after it is not the data side
    taken = []
    alone = []
    for times, prepare in ((taken, packages.reader.wait), (alone, packages.reader.stop)):
        for frame in range(2, frames + 2):
            prepare()
            scene.frame_current = frame
            started = time.perf_counter()
            playback.show_frame(scene)
            times.append(time.perf_counter() - started)
            assert all(part.data.cyclorama_shown == (frame - 1) % settings.frame_count for part in played)
    return statistics.median(taken) * 1e3, max(taken) * 1e3, statistics.median(alone) * 1e3


def _peer(spec: str, ply: Path) -> Callable[[], object]:
    folder, _, operator = spec.rpartition(":")
    place = Path(folder) / "__init__.py"
    described = importlib.util.spec_from_file_location("peer", place, submodule_search_locations=[folder])
    assert described and described.loader
    sys.modules["peer"] = module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    module.register()
    group, name = operator.split(".")
    return lambda: getattr(getattr(bpy.ops, group), name)(filepath=str(ply))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--static", type=int, default=1_000_000)
    parser.add_argument("--moving", type=int, default=200_000)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peer", action="append", default=[])
    asked = parser.parse_args()
    cyclorama.register()
    print(f"Blender {bpy.app.version_string}, {asked.static} static and {asked.moving} moving splats")
    with tempfile.TemporaryDirectory() as place:
        folder, ply = Path(place) / "a.cyclorama", Path(place) / "a.ply"
        _write_package(folder, asked.static, asked.moving, asked.frames, False)
        _write_ply(ply, joined(_gaussians(asked.static, 1), _gaussians(asked.moving, 2)))
        _empty()
        before = _anonymous_bytes()  # first of all: later, memory that was freed before is used again
        import_scene(bpy.context, folder)
        shown = 56 * (asked.static + asked.moving)
        print(f"memory after the import: {(_anonymous_bytes() - before) / shown:.3f} of the {shown / 1e6:.0f} MB shown")
        _frame_change(bpy.context.scene, asked.frames)
        packages.reader.wait()
        print(f"memory after playing:    {(_anonymous_bytes() - before) / shown:.3f}")
        works = {
            "Cyclorama, import of the package": lambda: import_scene(bpy.context, folder),
            "Blender, wm.ply_import": lambda: bpy.ops.wm.ply_import(filepath=str(ply)),
        }
        for spec in asked.peer:
            works[spec] = _peer(spec, ply)
        for name, work in works.items():
            try:
                median, least = _seconds(asked.runs, work)
            except RuntimeError as error:  # somebody else's that does not know this Blender
                print(f"{name:40} fails: {str(error).splitlines()[-2:]}")
                continue
            print(f"{name:40} median {median * 1e3:7.1f} ms   least {least * 1e3:7.1f} ms")
        for count, all_moves in ((200_000, False), (200_000, True), (1_000_000, False), (1_000_000, True)):
            _empty()
            folder = Path(place) / f"{count}-{all_moves}.cyclorama"
            _write_package(folder, 0, count, 8, all_moves)
            import_scene(bpy.context, folder)
            median, longest, alone = _frame_change(bpy.context.scene, 16)
            what = "all" if all_moves else "position and radiance"
            print(
                f"frame change, {count:9,} moving ({what}): median {median:.1f} ms, longest {longest:.1f} ms, "
                f"without reading ahead {alone:.1f} ms"
            )
    cyclorama.unregister()


if __name__ == "__main__":
    main()
