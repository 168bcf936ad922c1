"""Whether the 3D viewport shows Gaussians as our rasterizer does: the add-on's drawing against ``rasterize``.

    .venv/bin/python benchmarks/viewport_against_raster.py [--panorama PANORAMA] [--package SCENE.cyclorama]

Lifts the sample panorama (or takes a package that is there), has Blender 5.2 draw it off screen through ``gpu.init()``
(no window, no import into a scene) from the origin and from 0.3 m aside, one sample a pixel at its centre, and renders
the same with ``rasterize`` as "tents": the surfels as Cycles shows them, met by each ray in its own order. Prints the
PSNR of the two in sRGB, over black. Wanted: 38 dB.

Then the time of a picture and of a sorting, of 200 k and of 1 M random splats. Without a graphics card that is
Mesa's software rasterizer, so only their ratio says something.
"""

from __future__ import annotations

import json
import sys
import time
from math import radians, tan
from pathlib import Path
from typing import Any

from cycles_against_raster import FOV, HEIGHT, PLACES, VIEWS, WIDTH, side_by_side

COUNTS = (200_000, 1_000_000)


def main() -> None:
    """Have Blender draw, rasterize the same, print a line for each camera."""
    said = side_by_side(__doc__, __file__, draw, compare)
    print(*(line for line in said.splitlines() if line.startswith("splats")), sep="\n")


def compare(package: Path, folder: Path, pictures: Path | None) -> None:
    """In the backend's environment: rasterize, judge, print."""
    import numpy as np

    from cyclorama.backend.sphere.colour import psnr, srgb_from_linear

    splats = _splats(package)
    print(f"{'place':12} {'view':8} {'colour':>8} {'alpha':>8}   mean level: both")
    for place in PLACES:
        for view in VIEWS:
            drawn = np.load(folder / f"{place} {view}.npy")
            ours, cover = rasterized(splats, place, view)
            theirs, ours = srgb_from_linear(drawn[..., :3]), srgb_from_linear(ours)
            print(
                f"{place:12} {view:8} {psnr(theirs, ours):5.2f} dB {psnr(drawn[..., 3], cover):5.2f} dB "
                f"{255 * theirs.mean():10.2f} {255 * ours.mean():6.2f}",
                flush=True,
            )
            if pictures:
                _save(pictures / f"{place} {view}.png", [theirs, ours, np.abs(theirs - ours) * 8])


def _splats(package: Path):
    """The package's first frame as the rasterizer's tensors."""
    import torch

    from cyclorama.backend.raster.splats import Splats
    from cyclorama.bridge.scene import Scene

    scene = Scene(package)
    parts = [scene.static(), scene.moving(0)] if scene.info.moving_count else [scene.static()]
    return Splats(
        *(torch.cat(tensors) for tensors in zip(*(vars(Splats.of(part)).values() for part in parts), strict=True))
    )


def rasterized(splats, place: str, view: str):
    """Scene-linear colour over black (height, width, 3) and alpha."""
    import torch

    from cyclorama.backend.raster.rasterize import rasterize
    from cyclorama.backend.raster.splats import Cameras
    from cyclorama.backend.sphere.views import look

    longitude, latitude = (radians(angle) for angle in VIEWS[view])
    cameras = Cameras(
        position=torch.tensor([PLACES[place]]),
        R_scene_from_view=torch.from_numpy(look(longitude, latitude))[None],
        focal=torch.full((1, 2), WIDTH / 2 / tan(FOV / 2)),
        centre=torch.tensor([[WIDTH / 2, HEIGHT / 2]]),
        width=WIDTH,
        height=HEIGHT,
    )
    with torch.inference_mode():
        rendered = rasterize(splats, cameras, "tents", low_pass=False)
    return rendered.colour[0].numpy(), rendered.alpha[0].numpy()


def _save(path: Path, pictures: list) -> None:
    import cv2
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.concatenate(pictures, axis=1).clip(0, 1)
    cv2.imwrite(str(path), (255 * whole[..., ::-1]).round().astype(np.uint8))


def draw(order: Path) -> None:
    """In Blender: draw the package from everywhere, beside the order; then see how long drawing takes."""
    import numpy as np

    from cyclorama.addon.look.viewport.part import Part, Splats
    from cyclorama.addon.look.viewport.renderer import Renderer
    from cyclorama.bridge.scene import Scene

    _gpu().init()
    scene = Scene(Path(json.loads(order.read_text())["package"]))
    loaded = [("static", scene.static())] + ([("moving", scene.moving(0))] if scene.info.moving_count else [])
    parts = [
        Part(name, Splats(each.position, each.rotation, each.scale, each.radiance), name == "moving")
        for name, each in loaded
    ]
    renderer = Renderer()
    for place in PLACES:
        for view in VIEWS:
            picture, _ = _drawn(renderer, parts, _camera(place, view))
            np.save(order.parent / f"{place} {view}.npy", picture)
    for count in COUNTS:
        _time(count)


def _gpu() -> Any:
    """Blender's module; the folder ``gpu`` beside this file has the same name."""
    import bpy  # noqa: F401  (brings it)

    return sys.modules["gpu"]


def _camera(place: str, view: str):
    """World from view of a Blender camera."""
    from mathutils import Euler, Matrix

    longitude, latitude = (radians(angle) for angle in VIEWS[view])
    turn = Euler((radians(90) + latitude, 0, -longitude)).to_matrix().to_4x4()
    return Matrix.Translation(PLACES[place]) @ turn


def _drawn(renderer, parts, camera):
    """(height, width, 4) premultiplied, the top row first; and how long that took with its sorting, in seconds."""
    import numpy as np

    from cyclorama.addon.look.viewport.layers import Layers

    near, far = 0.01, 1e4
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1] = 1 / tan(FOV / 2), WIDTH / HEIGHT / tan(FOV / 2)
    projection[2, 2:] = (far + near) / (near - far), 2 * far * near / (near - far)
    projection[3, 2] = -1
    layers = Layers(WIDTH, HEIGHT, "RGBA32F")
    begin = time.perf_counter()
    renderer.draw(layers, parts, camera.inverted(), projection)
    picture = layers.picture()
    return picture, time.perf_counter() - begin


def _time(count: int) -> None:
    import numpy as np

    from cyclorama.addon.look.viewport.order import depths, far_to_near
    from cyclorama.addon.look.viewport.part import Part, Splats
    from cyclorama.addon.look.viewport.renderer import Renderer

    chance = np.random.default_rng(0)
    away = chance.normal(size=(count, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    turn = np.stack([1 + away[:, 2], -away[:, 1], away[:, 0], np.zeros(count)], axis=1)
    splats = Splats(
        (away * chance.uniform(3, 30, (count, 1))).astype(np.float32),
        (turn / np.linalg.norm(turn, axis=1, keepdims=True)).astype(np.float32),
        np.full((count, 3), 30 / count**0.5, np.float32),
        chance.uniform(0, 1, (count, 4)).astype(np.float32),
    )
    parts, renderer = [Part("random", splats)], Renderer()
    _drawn(renderer, parts, _camera("origin", "ahead"))  # uploads
    turning = min(_drawn(renderer, parts, _camera("origin", view))[1] for view in ("floor", "behind", "floor"))
    still = min(_drawn(renderer, parts, _camera("origin", "floor"))[1] for _ in range(3))
    begin = time.perf_counter()
    far_to_near(np.concatenate(depths([splats.position], [np.eye(4)], np.array([0.0, 1.0, 0.0]))))
    sorting = time.perf_counter() - begin
    print(
        f"splats {count:9,}: a picture {1000 * still:6.0f} ms, {1000 * turning:6.0f} ms if the view has turned; "
        f"sorting {1000 * sorting:4.0f} ms (on {_gpu().platform.renderer_get()})"
    )


if __name__ == "__main__":
    main()
