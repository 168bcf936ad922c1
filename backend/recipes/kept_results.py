"""Results of stages as the stage cache keeps them, part by part and without loss, and back.

Of a video the first frame is kept whole, of the others the pixels that move: that is all that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ...bridge.errors import CycloramaError
from ...bridge.gaussians import COLUMNS, Gaussians
from ...bridge.scene import Model
from ..cache_entry import DamagedError, Entry
from ..digests import digest, digest_of_arrays
from ..sphere.panorama import DepthVideo, Panorama, PanoramaVideo
from ..stage_cache import NewEntry
from .geometry import Geometry
from .lifting import Lift, Lifting
from .motion import Motion

if TYPE_CHECKING:
    from ..lift.safe_radius import SafeRadii

Between = Callable[[], None]
"""Called between parts; may raise to stop."""

_STATIC, _STILL = "static", "still"


class _MotionWords(msgspec.Struct):
    frames: int
    frame_rate: float
    loops: bool
    models: tuple[Model, ...]
    notes: tuple[str, ...]


class _CameraWords(msgspec.Struct):
    still: bool
    turns: bool
    moves: bool
    metric: bool
    notes: tuple[str, ...]


class _GeometryWords(msgspec.Struct):
    frames: int
    models: tuple[Model, ...]
    notes: tuple[str, ...]
    cameras: _CameraWords | None


class _LiftWords(msgspec.Struct):
    moving_count: int
    lift_notes: tuple[str, ...]
    models: tuple[Model, ...]
    said: tuple[str, ...]


def digest_of_panorama(panorama: Panorama) -> str:
    """Of every bit of it, and the size it had in its file."""
    return digest([digest_of_arrays(panorama.image), f"{panorama.file_width} {panorama.file_height}"])


def digest_of_video(video: PanoramaVideo) -> str:
    """Of every bit of it."""
    return digest([digest_of_arrays(video.frames, video.moves), repr(video.frame_rate)])


def digest_of_depth(depth: DepthVideo) -> str:
    """Of every bit of it."""
    return digest_of_arrays(depth.distance, depth.edges)


def digest_of_gaussians(frames: list[Gaussians]) -> str:
    """Of every bit of them."""
    return digest(digest_of_arrays(*frame.arrays().values()) for frame in frames)


def motion_bytes(video: PanoramaVideo) -> int:
    """What ``keep_motion`` writes."""
    moving = int(np.count_nonzero(video.moves)) * video.frames.shape[-1] * video.frames.itemsize
    return video.frames[0].nbytes + video.moves.nbytes + moving * (len(video.frames) - 1)


def keep_motion(motion: Motion, entry: NewEntry, between: Between) -> bool:
    """Returns whether it is kept."""
    if not entry.is_kept:
        return False
    video = motion.video
    for index, frame in enumerate(video.frames):
        between()
        whole = {"frame": frame, "moves": video.moves}
        entry.part(_number(index), whole if index == 0 else {"moving": frame[video.moves]})
    words = _MotionWords(len(video.frames), video.frame_rate, motion.loops, motion.models, motion.notes)
    return entry.finish(msgspec.json.encode(words))


def load_motion(entry: Entry, between: Between) -> Motion:
    """The inverse of ``keep_motion``. Raises ``DamagedError``."""
    words = _decoded(entry, _MotionWords)
    first = entry.part(_number(0))
    still, moves = first["frame"], first["moves"]
    frames = np.empty((words.frames, *still.shape), still.dtype)
    frames[:] = still
    for index in range(1, words.frames):
        between()
        frames[index][moves] = entry.part(_number(index))["moving"]
    return Motion(PanoramaVideo(frames, moves, words.frame_rate), words.loops, words.models, words.notes)


def geometry_bytes(depth: DepthVideo) -> int:
    """What ``keep_geometry`` writes."""
    return depth.distance.nbytes + depth.edges.nbytes


def keep_geometry(found: Geometry, entry: NewEntry, between: Between) -> bool:
    """Returns whether it is kept."""
    if not entry.is_kept:
        return False
    depth, cameras = found.depth, found.cameras
    for index, (distance, edges) in enumerate(zip(depth.distance, depth.edges, strict=True)):
        between()
        entry.part(_number(index), {"distance": distance, "edges": edges})
    told = None
    if cameras is not None:
        entry.part("cameras", {"R_scene_from_camera": cameras.R_scene_from_camera, "position": cameras.position})
        told = _CameraWords(cameras.still, cameras.turns, cameras.moves, cameras.metric, cameras.notes)
    words = _GeometryWords(len(depth.distance), found.models, found.notes, told)
    return entry.finish(msgspec.json.encode(words))


def load_geometry(entry: Entry, between: Between) -> Geometry:
    """The inverse of ``keep_geometry``. Raises ``DamagedError``."""
    words = _decoded(entry, _GeometryWords)
    distance, edges = [], []
    for index in range(words.frames):
        between()
        part = entry.part(_number(index))
        distance.append(part["distance"])
        edges.append(part["edges"])
    cameras = None
    if told := words.cameras:
        from ..depth.cameras import Cameras  # only here, and below: slow to load

        cameras = Cameras(**entry.part("cameras"), **msgspec.structs.asdict(told))
    return Geometry(DepthVideo(np.stack(distance), np.stack(edges)), words.models, words.notes, cameras)


class KeepingLift:
    """A lift whose parts are kept as they are asked for, in the order of the frames."""

    def __init__(self, lift: Lift, entry: NewEntry):
        self._lift, self._entry = lift, entry
        self.static, self.moving_count = lift.static, lift.moving_count
        entry.part(_STATIC, self.static.arrays())

    @property
    def notes(self) -> tuple[str, ...]:
        """For the artist, a sentence each."""
        return self._lift.notes

    def still_arrays(self) -> Mapping[str, np.ndarray]:
        """See ``Lift``."""
        arrays = self._lift.still_arrays()
        self._entry.part(_STILL, arrays)
        return arrays

    def frame(self, index: int) -> Mapping[str, np.ndarray]:
        """See ``Lift``."""
        arrays = self._lift.frame(index)
        self._entry.part(_number(index), arrays)
        return arrays


def lift_bytes(lift: Lift, frames: int) -> int:
    """What keeping it writes."""
    numbers = sum(COLUMNS.values())
    still = sum(COLUMNS[name] for name in lift.still_arrays())
    each = len(lift.static) * numbers + lift.moving_count * (still + (numbers - still) * frames)
    return 4 * each


def finish_lift(lifting: Lifting, entry: NewEntry) -> bool:
    """After all its frames were kept. Returns whether it is."""
    lift = lifting.lift
    words = _LiftWords(lift.moving_count, lift.notes, lifting.models, lifting.said)
    return entry.finish(msgspec.json.encode(words))


class KeptLift:
    """A lift out of the cache: all of it was checked; frames are read when they are asked for."""

    def __init__(self, entry: Entry, words: _LiftWords):
        self._entry = entry
        self.static = Gaussians.from_arrays(entry.part(_STATIC))
        self.moving_count, self.notes = words.moving_count, words.lift_notes

    def still_arrays(self) -> Mapping[str, np.ndarray]:
        """See ``Lift``."""
        return self._part(_STILL)

    def frame(self, index: int) -> Mapping[str, np.ndarray]:
        """See ``Lift``."""
        return self._part(_number(index))

    def _part(self, name: str) -> Mapping[str, np.ndarray]:
        try:
            arrays = self._entry.part(name)
            return {column: arrays[column] for column in COLUMNS if column in arrays}  # packages depend on the order
        except DamagedError as error:  # since it was checked
            raise CycloramaError(
                "cache-damaged",
                f"A kept result of an earlier job was damaged while it was read ({error}).",
                "Start the job again: that result is then computed anew.",
            ) from error


def load_lift(entry: Entry, between: Between) -> Lifting:
    """A lift that needs no computing. Raises ``DamagedError``."""
    entry.check(between)
    words = _decoded(entry, _LiftWords)
    return Lifting(KeptLift(entry, words), words.models, words.said, before_frame=lambda index: between())


def keep_radii(radii: SafeRadii, entry: NewEntry) -> bool:
    """Returns whether they are kept."""
    return entry.finish(msgspec.json.encode(radii.metres))


def load_radii(entry: Entry, between: Between) -> SafeRadii:
    """The inverse of ``keep_radii``. Raises ``DamagedError``."""
    from ..lift.safe_radius import SafeRadii

    return SafeRadii(_decoded(entry, tuple[float, ...]))


def _decoded(entry: Entry, kind):
    try:
        return msgspec.json.decode(entry.words, type=kind)
    except msgspec.DecodeError as error:
        raise DamagedError(str(error)) from error


def _number(index: int) -> str:
    return f"{index:06d}"
