"""Reading a panoramic video of the user's own: a video file, a folder of numbered pictures, or one picture."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from ...bridge.errors import CycloramaError
from ...bridge.paths import checked_path
from ...bridge.settings import DEFAULT_FPS
from .colour import linear_from_srgb
from .panorama import PanoramaVideo
from .pictures import READABLE, read_panorama

READABLE_VIDEOS = "MP4, MOV, WebM, MKV or AVI"

LARGEST_VIDEO_BYTES = 2 << 30
"""Of float32 pixels of all frames together: 85 frames 2048 wide, 341 frames 1024 wide."""

AUTOMATIC_WIDTHS = (2048, 1024)
"""Without a wish the widest of these in which the whole video fits; never wider than the file."""

_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".hdr", ".exr", ".tif", ".tiff"})
_NARROWEST = 64
_WIDEST = 16384
_RATIO_TOLERANCE = 0.01
_LIKELY_FRAME_RATES = (1.0, 240.0)
_HALF_A_FRAME = 1
"""Containers that know only their length in seconds promise up to one frame too many."""

_LINEAR = linear_from_srgb(np.arange(256) / 255)

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class UserVideo:
    """A video that was read, and what is to be said of it.

    Attributes:
        video: (frame, height, 2·height, 3) scene-linear Rec.709 float32; it need not loop.
        notes: for the artist, a sentence each.
    """

    video: PanoramaVideo
    notes: tuple[str, ...] = ()


def read_video(path: Path, width: int = 0, report: Report = lambda done, frames: None) -> UserVideo:
    """Read a 360° video file, a folder of numbered pictures, or a single picture (a video of one frame).

    Video files and pictures of 8 and 16 bit are taken as sRGB, float pictures as scene-linear Rec.709. Frames are
    reduced by averaging areas in linear light, never enlarged. A file that ends early is read as far as it goes, and a
    note says so. Pictures have no frame rate: 24 is taken.

    Args:
        width: pixels around the horizon wanted; 0: the file's, up to 2048, or 1024 for a long video.
        report: is called with the frames read and all frames; it may raise to stop.

    Raises:
        CycloramaError: missing, empty, no video, not 2:1, too many frames for ``LARGEST_VIDEO_BYTES``; a folder without
            pictures, with several series or pictures of several sizes; and all that ``read_panorama`` raises.
    """
    if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises where a folder is closed to us, or a name too long)
        return _read_folder(path, width, report)
    if path.suffix.lower() in _PICTURES:
        image = read_panorama(path, width).image
        report(1, 1)
        return UserVideo(PanoramaVideo(image[None], np.zeros(image.shape[:2], bool), DEFAULT_FPS))
    return _read_file(path, width, report)


def _read_file(path: Path, wanted: int, report: Report) -> UserVideo:
    capture = _open(path)
    try:
        file_width, file_height = (int(capture.get(which)) for which in _SIZE)
        _check_size(path, file_width, file_height)
        promised = _promised_frames(path, capture)
        width, notes = _width_that_fits(path, file_width, wanted, promised)
        most = LARGEST_VIDEO_BYTES // _bytes_per_frame(width)
        frames, moves, count = _Gathered(promised, width), np.zeros((width // 2, width), bool), 0
        for count, picture in enumerate(_pictures(capture), 1):
            if count > most:
                raise _too_long(path, f"more than {most}", width)
            moves |= frames.add(_reduced(picture, width))
            report(min(count, promised), promised)
        rate = float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    if count == 0:
        raise CycloramaError(
            "video-damaged", f"No frame of the video {path} can be decoded.", "Copy or export it again, as H.264 MP4."
        )
    if count < promised - _HALF_A_FRAME:
        notes.append(f"The video {path} ends after {count} of the {promised} frames that it announces; these are used.")
    slowest, fastest = _LIKELY_FRAME_RATES
    if not slowest <= rate <= fastest:
        notes.append(f"The video {path} does not say how fast it runs; {DEFAULT_FPS:g} frames per second are taken.")
        rate = DEFAULT_FPS
    return UserVideo(PanoramaVideo(frames.all(), moves, rate), tuple(notes))


def _read_folder(folder: Path, wanted: int, report: Report) -> UserVideo:
    paths, notes = _numbered_pictures(folder)
    first = read_panorama(paths[0], min(wanted or _NARROWEST, _NARROWEST))  # how large the file is, and that it can be
    width, more = _width_that_fits(folder, first.file_width, wanted, len(paths))
    frames, moves = _Gathered(len(paths), width), np.zeros((width // 2, width), bool)
    for number, path in enumerate(paths, 1):
        panorama = read_panorama(path, width)
        if (panorama.file_width, panorama.file_height) != (first.file_width, first.file_height):
            raise CycloramaError(
                "video-mixed-sizes",
                f"{path} has {panorama.file_width} x {panorama.file_height} pixels, "
                f"{paths[0].name} beside it {first.file_width} x {first.file_height}.",
                "All pictures of a video must have one size.",
            )
        moves |= frames.add(panorama.image)
        report(number, len(paths))
    return UserVideo(PanoramaVideo(frames.all(), moves, DEFAULT_FPS), (*notes, *more))


class _Gathered:
    """Frames as they come in, in memory taken once; the promised number is right but for damaged files."""

    def __init__(self, promised: int, width: int):
        self._frames = np.empty((promised, width // 2, width, 3), np.float32)
        self._count = 0

    def add(self, frame: Float[np.ndarray, "height width 3"]) -> Bool[np.ndarray, "height width"]:
        """Keeps a frame, and says where it is not exactly the first."""
        if self._count == len(self._frames):
            self._frames = np.concatenate([self._frames, np.empty_like(self._frames[: max(self._count // 4, 1)])])
        self._frames[self._count] = frame
        self._count += 1
        return (frame != self._frames[0]).any(axis=2)

    def all(self) -> Float[np.ndarray, "frame height width 3"]:
        """What was added."""
        whole = self._count == len(self._frames)
        return self._frames if whole else self._frames[: self._count].copy()


_SIZE = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)


def _open(path: Path) -> cv2.VideoCapture:
    hint = f"Choose a {READABLE_VIDEOS} file, or a folder of numbered {READABLE} pictures."
    if not os.path.isfile(path):  # noqa: PTH113 (as above)
        raise CycloramaError("video-missing", f"There is no video {path}.", hint)
    if path.stat().st_size == 0:
        raise CycloramaError("video-empty-file", f"The video {path} is empty (0 bytes).", "Copy or export it again.")
    if not _is_container(path):
        raise CycloramaError("video-unreadable", f"{path} is no {READABLE_VIDEOS} file.", hint)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # they would write beside our own sentence
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Only as a whole path it cannot be mistaken for an address or a device.
    capture = cv2.VideoCapture(str(checked_path(path).absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise CycloramaError(
            "video-unreadable", f"{path} cannot be read as a video; it is something else, or cut short.", hint
        )
    return capture


def _is_container(path: Path) -> bool:
    """By its first bytes. FFmpeg reads much more than videos: lists, too, that name other files, or addresses."""
    with path.open("rb") as file:
        head = file.read(12)
    is_avi = head.startswith(b"RIFF") and head[8:] == b"AVI "
    return head[4:8] in _QUICKTIME_ATOMS or head.startswith(b"\x1a\x45\xdf\xa3") or is_avi


_QUICKTIME_ATOMS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""With one of these MP4 and MOV files begin."""


def _promised_frames(path: Path, capture: cv2.VideoCapture) -> int:
    """As the file says; counted where it does not."""
    promised = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if math.isfinite(promised) and 0 < promised < 1e9:
        return int(promised)
    counting = _open(path)
    count = 0
    while counting.grab():
        count += 1
    counting.release()
    return max(count, 1)


def _pictures(capture: cv2.VideoCapture) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    while True:
        there, picture = capture.read()
        if not there:
            return
        yield picture


def _reduced(blue_green_red: UInt8[np.ndarray, "rows columns 3"], width: int) -> Float[np.ndarray, "height width 3"]:
    linear = _LINEAR[blue_green_red[..., ::-1]]
    if linear.shape[:2] == (width // 2, width):
        return linear
    return cv2.resize(linear, (width, width // 2), interpolation=cv2.INTER_AREA)


def _check_size(path: Path, width: int, height: int) -> None:
    if abs(width - 2 * height) > _RATIO_TOLERANCE * width:
        stereo = abs(width - height) <= _RATIO_TOLERANCE * width
        raise CycloramaError(
            "video-not-2-to-1",
            f"The video {path} has {width} x {height} pixels; a 360° video is twice as wide as high.",
            "It looks like stereo, one eye above the other: export one eye only."
            if stereo
            else "Export it as equirectangular, full sphere.",
        )
    if width < _NARROWEST or width > _WIDEST:
        raise CycloramaError(
            "video-size",
            f"The video {path} has {width} x {height} pixels.",
            f"It must be {_NARROWEST} to {_WIDEST} pixels wide.",
        )


def _bytes_per_frame(width: int) -> int:
    return width * (width // 2) * 3 * 4


def _width_that_fits(path: Path, file_width: int, wanted: int, frames: int) -> tuple[int, list[str]]:
    """The width to read at, and a note when a long video is reduced further than a short one."""
    choices = [
        max(min(file_width, width), _NARROWEST) // 4 * 4 for width in ((wanted,) if wanted else AUTOMATIC_WIDTHS)
    ]
    for width in choices:
        if frames * _bytes_per_frame(width) <= LARGEST_VIDEO_BYTES:
            reduced = f"{path} has {frames} frames and is read {width} pixels wide, so that it fits into memory."
            return width, [] if width == choices[0] else [reduced]
    raise _too_long(path, str(frames), choices[-1])


def _too_long(path: Path, frames: str, width: int) -> CycloramaError:
    most = LARGEST_VIDEO_BYTES // _bytes_per_frame(width)
    return CycloramaError(
        "video-too-long",
        f"The video {path} has {frames} frames; {width} pixels wide, {most} can be used.",
        f"Cut it to {most} frames, or read it narrower.",
    )


def _numbered_pictures(folder: Path) -> tuple[list[Path], list[str]]:
    """The pictures of the one series in a folder, in the order of their numbers; a note where some are missing."""
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in _PICTURES and path.name[0] != "."]
    except OSError as error:
        raise CycloramaError("video-missing", f"The folder {folder} cannot be opened.", "Check who may read it.") from (
            error
        )
    if not paths:
        raise CycloramaError(
            "video-no-pictures", f"There are no pictures in {folder}.", f"Choose a folder of numbered {READABLE} files."
        )
    series = {re.sub(r"\d+", "#", path.name.lower()): path for path in sorted(paths, reverse=True)}
    if len(series) > 1:
        one, other, *_ = sorted(path.name for path in series.values())
        raise CycloramaError(
            "video-mixed-pictures",
            f"The pictures in {folder} are not one numbered series: there are {one} and {other}.",
            "Leave only the frames of one video in the folder, named alike but for their number.",
        )
    paths.sort(key=lambda path: (_numbers(path), path.name))
    return paths, _gaps(paths)


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)]


def _gaps(paths: list[Path]) -> list[str]:
    """A note where the series skips, more than it does everywhere."""
    steps = [[b - a for a, b in zip(_numbers(one), _numbers(two), strict=True)] for one, two in pairwise(paths)]
    usual = min(steps, default=[])
    wide = [number for number, step in enumerate(steps) if step != usual and sum(map(bool, step)) == 1]
    if not wide:
        return []
    one, two = paths[wide[0]].name, paths[wide[0] + 1].name
    return [f"Pictures are missing in {paths[0].parent}, the first between {one} and {two}; the motion jumps there."]
