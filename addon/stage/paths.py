"""Paths as a .blend stores them: relative to it, like those of Blender's own images."""

from __future__ import annotations

from pathlib import Path

import bpy

RELATIVE = "//"


def stored_path(path: Path, folder: str | None = None) -> str:
    """``path`` relative to ``folder`` (default: that of the open file), if there is one and the artist likes it so."""
    folder = _folder(bpy.data.filepath) if folder is None else folder
    whole = str(path.resolve())
    if not folder or not bpy.context.preferences.filepaths.use_relative_paths:
        return whole
    try:
        return bpy.path.relpath(whole, start=folder)
    except ValueError:  # on another drive
        return whole


@bpy.app.handlers.persistent
def _before_saving(file: str, _unused=None) -> None:
    if file:
        _turn(_folder(bpy.data.filepath), _folder(file))


@bpy.app.handlers.persistent
def _after_saving(file: str, _unused=None) -> None:
    """Back again, if it was a copy or failed; else both are the same folder."""
    if file:
        _turn(_folder(file), _folder(bpy.data.filepath))


@bpy.app.handlers.persistent
def _after_appending(imported, _unused=None) -> None:
    """Appended 4D scenes have their packages relative to the file they came from."""
    for item in imported.import_items:
        thing, library = item.id, item.source_library
        if library is None or not isinstance(thing, bpy.types.Object) or thing.library is not None:
            continue
        package = thing.cyclorama.package
        if package.startswith(RELATIVE):
            there = _folder(bpy.path.abspath(library.filepath))
            thing.cyclorama.package = stored_path(Path(bpy.path.abspath(package, start=there)))


def _turn(old: str, new: str) -> None:
    """The packages' paths relative to ``old``, and all in a file never saved before, become relative to ``new``."""
    for holder in bpy.data.objects:
        package = holder.cyclorama.package
        if package and holder.library is None and (package.startswith(RELATIVE) or not old):
            holder.cyclorama.package = stored_path(Path(bpy.path.abspath(package, start=old)), new)


def _folder(file: str) -> str:
    return str(Path(file).parent) if file else ""


_HANDLERS = (
    ("save_pre", _before_saving),
    ("save_post", _after_saving),
    ("save_post_fail", _after_saving),
    ("blend_import_post", _after_appending),
)


def register() -> None:
    """Follow the file when it is saved elsewhere."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Stop following it."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
