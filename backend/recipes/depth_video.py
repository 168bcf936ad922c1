"""Depth alone: how far everything is in a panorama or a panoramic video, as files for any other program.

read -> depth (``geometry.py``) -> a folder:

depth/000000.exr …   distance along the ray, metres, 32-bit float, pixel by pixel that of the frame's picture; one file
                     when it is the same in every frame
edges/000000.png …   white on either side of a depth edge; one file likewise
preview.webp         near is red, far is blue; of a video some frames, one below the other
cameras.json         the camera of each frame (``CamerasFile``); missing when it stands still
depth.json           what made it (``DepthInfo``)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
from jaxtyping import Bool, Float, UInt8

from ...bridge.errors import CycloramaError
from ...bridge.scene import PREVIEW, Generator, Model, frame_name
from ...bridge.settings import DEPTH_SETTINGS, WITHOUT_NETWORK, PanoramaTo4D, Rig
from ...bridge.whole_folder import WholeFolder
from .. import __version__
from ..sphere.equirectangular import directions, pixels
from ..sphere.panorama import DepthVideo
from ..sphere.pictures import write_exr
from ..sphere.shots import check_one_shot
from ..sphere.skyline import parse
from ..sphere.videos import UserVideo, read_video
from ..stage_cache import StageCache
from .geometry import Geometry
from .licences import licence_notes
from .once import geometry_once
from .preview import small_webp
from .progress import Report, silent
from .reuse import Reuse

if TYPE_CHECKING:
    from ..depth.cameras import Cameras

FORMAT = "cyclorama-depth"
VERSION = 1
"""Of the folder's layout."""

INFO = "depth.json"
CAMERAS = "cameras.json"

_OURS = re.compile(
    r"depth(/\d{6}\.exr)?|edges(/\d{6}\.png)?|preview\.webp|cameras\.json|depth\.json"
    r"|(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini)"
)
"""Paths in the folder that overwriting it may remove: what is written, and what operating systems leave behind."""

_SHOWN_FRAMES = 4
_SHOWN_WIDTH = 512

_STAGES = {"read": 0.2, "layout": 0.5, "depth": 0.2, "write": 0.1}
_NETWORK_STAGES = {"read": 0.02, "layout": 0.02, "estimator": 0.08, "depth": 0.85, "write": 0.03}


class DepthInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``depth.json``.

    Attributes:
        source: name of the panorama or video.
        frame_rate: frames per second; None for a picture.
        distance_count: files in ``depth/``: one, or one for each frame.
        range: least and greatest distance, metres.
        notes: what the artist should know of how it was made, a sentence each.
    """

    format: str = FORMAT
    version: int = VERSION
    generator: Generator
    source: str
    models: tuple[Model, ...]
    frame_count: int
    frame_rate: float | None
    width: int
    height: int
    distance_count: int
    range: tuple[float, float]
    notes: tuple[str, ...]


class CameraFrame(msgspec.Struct, frozen=True):
    """One frame's camera: its rotation, row by row, and its position; see ``CamerasFile``."""

    R_scene_from_camera: tuple[tuple[float, float, float], ...]
    position: tuple[float, float, float]


class CamerasFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``cameras.json``: in scene space, which is Blender's world around the first frame's camera."""

    axes: str = "right-handed, Z up; a panorama's centre looks along +Y, its right half towards +X"
    metric: bool
    """Whether positions are metres; else the first step has length 1."""
    frames: tuple[CameraFrame, ...]


def stages(settings: PanoramaTo4D) -> dict[str, float]:
    """The stages in their order, each with its usual share of the time."""
    return _STAGES if settings.estimator in WITHOUT_NETWORK else _NETWORK_STAGES


def depth_video(
    source: Path,
    output: Path,
    settings: PanoramaTo4D,
    report: Report = silent,
    *,
    rig: Rig = "auto",
    overwrite: bool = False,
    cache: StageCache | None = None,
) -> DepthInfo:
    """Make the folder ``output`` of a panorama, a 360° video, or a folder of its numbered frames.

    Args:
        settings: of these ``DEPTH_SETTINGS`` count.
        report: hears of every step; raises ``Cancelled`` to stop. Nothing of the folder is left behind then.
        rig: whether the video's camera moves.
        cache: where distances are kept, and those of earlier runs found. The folder is the same without.

    Raises:
        CycloramaError: bad input, or ``output`` cannot be written.
    """
    if is_depth(source):
        raise CycloramaError(
            "source-is-depth",
            f"{source} holds distances that were found already, no video.",
            "Choose the panorama or video that they were found in.",
        )
    if rig == "moving" and settings.estimator in WITHOUT_NETWORK:
        raise CycloramaError(
            "rig-not-followed",
            f"The estimator '{settings.estimator}' gives all frames one distance, so it cannot follow a moving camera.",
            "Choose an estimator that looks at every frame, or leave the rig out.",
        )
    with WholeFolder(output, overwrite, is_depth, "folder of nothing but Cyclorama's depth") as folder:
        read = _read(source, settings.width, report)
        report("layout", 0, 1)
        layout = parse(read.video.frames[0])
        report("layout", 1, 1)
        found = geometry_once(Reuse(cache, settings, report), read.video, layout, settings, report, rig=rig)
        depth = _as_filmed(found)
        _write(folder, depth, found.cameras, report)
        info = _described(source, read, depth, found, settings, rig)
        folder.file(INFO, lambda path: path.write_bytes(_json(info)))
        folder.put()
    return info


def is_depth(folder: Path) -> bool:
    """Whether ``depth_video`` wrote it, and nobody put anything else into it."""
    try:
        written_by = msgspec.json.decode((folder / INFO).read_bytes(), type=dict).get("format")
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return written_by == FORMAT and all(_OURS.fullmatch(path) for path in paths)


def _read(source: Path, width: int, report: Report) -> UserVideo:
    report("read", 0, 1)
    read = read_video(source, width, lambda done, frames: report("read", done, frames + 1))
    check_one_shot(read.video.frames, source)
    report("read", 1, 1)
    return read


def _as_filmed(found: Geometry) -> DepthVideo:
    """As each frame's own camera sees it, so that it lies over the video's pictures pixel by pixel.

    A camera that turns makes one distance in scene space into one for each frame. Pixels take the nearest: a mean of
    two surfaces would be on neither.
    """
    cameras, depth = found.cameras, found.depth
    if cameras is None or not cameras.turns:
        return depth
    height = depth.distance.shape[1]
    towards = directions(height).astype(np.float64)
    distance, edges = [], []
    for index, R in enumerate(cameras.R_scene_from_camera):
        column, row = (np.rint(each).astype(int) for each in pixels(towards @ R.T, height))
        at = row.clip(0, height - 1), column % (2 * height)
        distance.append(depth.distance[min(index, len(depth.distance) - 1)][at])
        edges.append(depth.edges[min(index, len(depth.edges) - 1)][at])
    return DepthVideo(np.stack(distance), np.stack(edges))


def _write(folder: WholeFolder, depth: DepthVideo, cameras: Cameras | None, report: Report) -> None:
    distance, edges = depth.distance, depth.edges
    files = max(len(distance), len(edges))
    report("write", 0, files)
    folder.file(PREVIEW, lambda path: path.write_bytes(small_webp(coloured(distance))))
    if cameras is not None and not cameras.still:
        text = _json(_cameras_file(cameras))
        folder.file(CAMERAS, lambda path: path.write_bytes(text))
    for index in range(files):
        if index < len(distance):
            folder.file(
                frame_name(index, "depth", ".exr"), lambda path, i=index: write_exr(path, distance[i], half=False)
            )
        if index < len(edges):
            folder.file(frame_name(index, "edges", ".png"), lambda path, i=index: path.write_bytes(_png(edges[i])))
        report("write", index + 1, files)


def _described(
    source: Path, read: UserVideo, depth: DepthVideo, found: Geometry, settings: PanoramaTo4D, rig: Rig
) -> DepthInfo:
    frames, height, width = read.video.frames.shape[:3]
    distance = depth.distance
    used = {name: getattr(settings, name) for name in DEPTH_SETTINGS} | {"rig": rig}
    return DepthInfo(
        generator=Generator("cyclorama", __version__, "depth", used),
        source=source.name,
        models=found.models,
        frame_count=frames,
        frame_rate=read.video.frame_rate if frames > 1 else None,
        width=width,
        height=height,
        distance_count=len(distance),
        range=(float(distance.min()), float(distance.max())),
        notes=(*read.notes, *found.notes, *licence_notes(found.models)),
    )


def coloured(distance: Float[np.ndarray, "frame height width"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Some of the frames, one below the other, sRGB: from the nearest in red to the farthest in blue (Turbo).

    Colours are even in the logarithm: a step from 1 m to 2 m looks like one from 10 m to 20 m.
    """
    chosen = np.unique(np.linspace(0, len(distance) - 1, _SHOWN_FRAMES).round().astype(int))
    width = min(_SHOWN_WIDTH, distance.shape[2])
    shown = np.concatenate([-np.log(distance[i]) for i in chosen])
    low, high = float(shown.min()), float(shown.max())
    nearness = (shown - low) / max(high - low, 1e-6)
    colours = cv2.applyColorMap((nearness * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)
    # Colours are made smaller, not distances: between near and far there is nothing.
    small = cv2.resize(colours, (width, width // 2 * len(chosen)), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def _cameras_file(cameras: Cameras) -> CamerasFile:
    frames = zip(cameras.R_scene_from_camera.tolist(), cameras.position.tolist(), strict=True)
    return CamerasFile(
        metric=cameras.metric,
        frames=tuple(CameraFrame(tuple(map(tuple, R)), tuple(position)) for R, position in frames),
    )


def _png(mask: Bool[np.ndarray, "height width"]) -> bytes:
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def _json(content: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=1)
