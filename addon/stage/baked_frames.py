"""Files of Blender's Bake node: for each frame of the timeline what the geometry is, in blobs that frames share.

Written here instead of by Blender's operator, which holds up Blender, writes a blob for each frame of the timeline
instead of the package, and what it wrote stays half when the disk is full. The layout is that of its own files in
Blender 4.2 to 5.2 (``source/blender/blenkernel/intern/bake_items_serialize.cc``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ...bridge.scene import MOVING as MOVING_FILE
from ...bridge.scene import POINT_FRAMES, SPLAT_FRAMES, Scene, frame_name
from ...bridge.scene import POINTS as POINTS_FILE
from ...bridge.whole_folder import WholeFolder
from . import points, splats
from .scene_object import POINTS

_VERSION = 3

_HELD = 0.499
"""Of a frame, before and after it: so far nothing changes, as motion blur is to see it; between, Blender blends."""


@dataclass(frozen=True)
class FrameFiles:
    """One moving part of a package, and which of its frames each frame of the timeline shows."""

    package: Scene
    role: str
    shown: Mapping[int, int]

    @property
    def count(self) -> int:
        """Splats, or points."""
        info = self.package.info
        return info.point_count if self.role == POINTS else info.moving_count

    def shared(self) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays that are the same in every frame."""
        name = POINTS_FILE if self.role == POINTS else MOVING_FILE
        return self.package.stream(name) if name in self.package.info.files else iter(())

    def frame(self, index: int) -> Iterator[tuple[str, np.ndarray]]:
        """Those that differ."""
        return self.package.stream(frame_name(index, POINT_FRAMES if self.role == POINTS else SPLAT_FRAMES))

    def attribute(self, key: str, array: np.ndarray) -> tuple[str, str, np.ndarray] | None:
        """Name, type and values of the attribute that an array becomes; None if it becomes none."""
        kind = points if self.role == POINTS else splats
        if key not in kind.ATTRIBUTES:
            return None
        name, type_, _ = kind.ATTRIBUTES[key]
        values = points.opaque(array) if type_ == "FLOAT_COLOR" and array.shape[1] == 3 else array
        return name, type_, np.ascontiguousarray(values, "<f4")


def write_frames(files: FrameFiles, output: Path) -> Generator[float, None, None]:
    """Write the folder of one part; yields how much is done, 0..1. Closed before its end, it leaves no trace.

    Raises:
        CycloramaError: a file cannot be read or written. No trace is left then; an older bake stays.
    """
    used = sorted(set(files.shown.values()))
    with WholeFolder(output, True, is_bake, "bake") as folder:
        shared = _write_blob(folder, "shared.blob", files, files.shared())
        attributes = {}
        for number, index in enumerate(used):
            attributes[index] = shared + _write_blob(folder, f"frame_{index:06d}.blob", files, files.frame(index))
            yield (number + 1) / (len(used) + 1)
        for frame, index in files.shown.items():
            text = msgspec.json.encode(_geometry(files.count, attributes[index]))
            for moment in (frame - _HELD, float(frame), frame + _HELD):
                if moment >= 0:
                    folder.file(f"meta/{_moment(moment)}.json", lambda path, text=text: path.write_bytes(text))
        folder.put()
    yield 1.0


def is_bake(folder: Path) -> bool:
    """Whether a folder looks like one that was written here."""
    return (folder / "meta").is_dir() and (folder / "blobs").is_dir()


def _write_blob(folder: WholeFolder, name: str, files: FrameFiles, arrays) -> list[dict]:
    """One blob with the values of some attributes; returns where each lies, as the frames' files say it."""
    attributes = []

    def write(path: Path) -> None:
        with path.open("wb") as file:
            for key, array in arrays:
                made = files.attribute(key, array)
                if made is not None:
                    attribute, kind, values = made
                    data = {"name": name, "start": file.tell(), "size": values.nbytes}
                    attributes.append({"name": attribute, "domain": "POINT", "type": kind, "data": data})
                    file.write(values.data)

    folder.file(f"blobs/{name}", write)
    return attributes


def _geometry(count: int, attributes: list[dict]) -> dict:
    mesh = {"num_vertices": count, "num_edges": 0, "num_polygons": 0, "num_corners": 0, "materials": []}
    geometry = {"mesh": mesh | {"attributes": attributes}}
    return {"version": _VERSION, "items": {"0": {"name": "Geometry", "type": "GEOMETRY", "data": geometry}}}


def _moment(frame: float) -> str:
    """As Blender names it: whole frame and hundred-thousandths."""
    parts = round(frame * 100_000)
    return f"{parts // 100_000:05d}_{parts % 100_000:05d}"
