"""Checks of a package before anything of it is read: its files, and the arrays that they say they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CycloramaError, quotable
from .gaussians import COLUMNS
from .package_files import (
    INFO,
    MOVING,
    PICTURES,
    POINT_FRAMES,
    POINTS,
    SPLAT_FRAMES,
    STATIC,
    frame_name,
    leads_out,
    name_fault,
    unknown_file,
)
from .packing import Packing, packing_of, zstandard
from .picture_size import picture_size
from .points import POINT_COLUMNS
from .stored_arrays import ArrayInfo, Places, layout

if TYPE_CHECKING:
    from .scene import FileInfo, SceneInfo

LARGEST_PICTURE = 16384, 8192
"""Width and height of a picture in a package: no program that opens it shall run out of memory."""

_MOST_PER_BYTE = 32
"""Packed Gaussians, of the static set and of the moving one's first frame; more are a decompression bomb. The most that
a scene had so far, all black, on a wall of one distance: 3."""

_ALWAYS_TAKEN = 1 << 16
"""So many Gaussians may take no room at all."""


def damaged(path: Path, what: str, code: str = "package-damaged") -> CycloramaError:
    """The error to raise. ``what``: half a sentence about the file."""
    return CycloramaError(code, f"{path} {quotable(what)}.", "Generate the scene again, or copy the package again.")


def check_files(folder: Path, info: SceneInfo) -> None:
    """Those that are named are there, in the package, of the right size, and no others are. Raises CycloramaError."""
    for name, expected in info.files.items():
        if fault := name_fault(name):
            raise damaged(folder / INFO, fault)
        path = folder / name
        try:
            _check_file(folder, name, expected.bytes)
        except OSError as error:
            raise damaged(path, f"cannot be looked at ({error.strerror})") from error
    for series in PICTURES:
        _check_series(folder, info, series)
    if unknown := unknown_file(folder, {*info.files, INFO}):
        raise CycloramaError(
            "package-unknown-file",
            f"{quotable(str(unknown), 4096)} does not belong to the scene.",
            "Move it out of the package.",
        )


def _check_series(folder: Path, info: SceneInfo, series: str) -> None:
    """No picture, one for all frames, or one for each."""
    names = {name for name in info.files if name.startswith(f"{series}/")}
    for index in range(info.frame_count if len(names) > 1 else len(names)):
        name = frame_name(index, series, ".exr")
        if name not in names:
            raise damaged(folder / name, "is missing")
        names.remove(name)
    if names:
        raise damaged(folder / min(names), "belongs to no frame")


def _check_file(folder: Path, name: str, expected: int) -> None:
    path = folder / name
    if not path.is_file():
        raise damaged(path, "is missing")
    if leads_out(folder, name):
        raise damaged(path, "is a link out of the package")
    size = path.stat().st_size
    if size != expected:
        raise damaged(path, f"is cut short or changed: {size} bytes where {expected} were written")
    if not name.endswith(".safetensors") and (pixels := picture_size(path)):
        across, down = LARGEST_PICTURE
        if pixels[0] > across or pixels[1] > down:
            raise damaged(path, f"has {pixels[0]} x {pixels[1]} pixels, more than {across} x {down}")


def check_arrays(folder: Path, info: SceneInfo) -> None:
    """What is declared, and what the files' own headers say, agree, and make a scene. Raises CycloramaError."""
    moving = _frames(info, SPLAT_FRAMES) if info.moving_count else ()
    points = _frames(info, POINT_FRAMES) if info.point_count else ()
    _check_kind(folder, info, [STATIC], "", COLUMNS, info.static_count)
    _check_kind(folder, info, moving, MOVING, COLUMNS, info.moving_count)
    _check_kind(folder, info, points, POINTS, POINT_COLUMNS, info.point_count)


def _frames(info: SceneInfo, folder: str) -> Iterator[str]:
    """One after the other: there may be said to be a million, and the first be missing."""
    return (frame_name(index, folder) for index in range(info.frame_count))


def _check_kind(
    folder: Path, info: SceneInfo, names: Iterable[str], shared: str, columns: dict[str, int], count: int
) -> None:
    """Files of one kind: each has all of ``columns``, but for those in the file ``shared``, if that is there."""
    common = set(info.files[shared].arrays) if shared in info.files else set()
    names = iter(names)
    first = next(names, None)
    once = [name for name in (shared if common else None, first) if name]
    for name in (*once, *names):
        if name not in info.files:
            raise damaged(folder / name, "is missing")
        _check_columns(folder / name, info.files[name], columns, count, () if name == shared else common)
    if once and any(info.files[name].encoding for name in once):
        _check_room(folder / once[-1], sum(info.files[name].bytes for name in once), count)


def _check_columns(path: Path, described: FileInfo, columns: dict[str, int], count: int, common: Iterable[str]) -> None:
    try:
        places, packing = as_described(path, described)
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise damaged(path, str(error)) from error
    arrays = _unpacked(path, _stored(places), packing)
    for key, array in arrays.items():
        if key in columns and array != ArrayInfo("F32", (count, columns[key])):
            wanted = f"float32 of {count} x {columns[key]}"
            raise damaged(path, f"has '{key}' as {array.dtype} of shape {array.shape}, not {wanted}")
    lacking = set(columns) - set(arrays) - set(common)
    if lacking and path.name not in _SHARED:
        raise damaged(path, f"lacks {', '.join(sorted(lacking))}")


_SHARED = (MOVING, POINTS)


def _check_room(path: Path, stored: int, count: int) -> None:
    """Packed numbers take some room: where they do not, room would be made in memory for what is not there."""
    if count > _ALWAYS_TAKEN and stored * _MOST_PER_BYTE < count:
        raise damaged(path, f"claims to hold {count} Gaussians in {stored} bytes")


def is_of_points(name: str) -> bool:
    """Whether such a file holds points, not Gaussians."""
    return name == POINTS or name.startswith(f"{POINT_FRAMES}/")


def header(path: Path) -> dict[str, ArrayInfo]:
    """Types and shapes of the arrays in a safetensors file as they are stored, from its header alone."""
    try:
        return _stored(layout(path, path.stat().st_size)[1])
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise damaged(path, str(error)) from error


def as_described(path: Path, described: FileInfo) -> tuple[Places, Packing | None]:
    """Where the arrays are, and how they are packed, by the file's own header.

    Raises ``OSError``, or ``ValueError`` where ``scene.json`` says otherwise.
    """
    metadata, places = layout(path, described.bytes)
    packing = packing_of(metadata)
    if _stored(places) != described.arrays or (packing.encoding if packing else "") != described.encoding:
        raise ValueError("holds other arrays than scene.json says")
    return places, packing


def _stored(places: Places) -> dict[str, ArrayInfo]:
    return {key: ArrayInfo(place.dtype, place.shape) for key, (place, _) in places.items()}


def _unpacked(path: Path, arrays: dict[str, ArrayInfo], packing: Packing | None) -> dict[str, ArrayInfo]:
    """Types and shapes as they will be when unpacked; checks that what is packed can be."""
    if packing is None:
        return arrays
    zstandard()
    for key in packing.arrays:
        stored = arrays.get(key)
        if stored is None or stored.dtype != "U8" or len(stored.shape) != 1:
            raise damaged(path, f"lacks the bytes of its packed '{key}'")
    packed = {key: ArrayInfo("F32", (array.count, len(array.columns))) for key, array in packing.arrays.items()}
    return arrays | packed
