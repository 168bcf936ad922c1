"""What is being made, as an icon for each job."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from ...bridge.picture_size import picture_size
from ...bridge.scene import PREVIEW
from .. import link

SIZE = 256, 128
"""Width and height of an icon, in pixels."""

_WIDEST = 4096
"""Pixels of a picture that is shown; the backend makes them 512 wide."""

_icons: bpy.utils.previews.ImagePreviewCollection | None = None
_shown: dict[str, bytes] = {}
"""Job -> the picture its icon shows."""

_wanted: set[str] = set()
"""Jobs whose picture is to be read."""


def icon(job: link.Job) -> int:
    """Icon of the job's newest picture, or of the one before until that is read; 0 while there is none."""
    if _icons is None:
        return 0
    behind = job.preview != _shown.get(job.name) if job.preview else job.package and job.name not in _shown
    if behind:
        _wanted.add(job.name)
        if not bpy.app.timers.is_registered(_catch_up):
            bpy.app.timers.register(_catch_up, first_interval=0.0)  # images must not be loaded while a panel is drawn
    return _icons[job.name].icon_id if job.name in _icons else 0


def _catch_up() -> None:
    for name in _wanted:
        job = link.job_called(name)
        if job and _icons is not None:
            show(name, job.preview or _finished(job), _icons)
    _wanted.clear()
    for name in [name for name in _shown if link.job_called(name) is None]:
        _forget(name)
    redraw_sidebars()


def _finished(job: link.Job) -> bytes:
    """The picture in the job's package; empty where there is none."""
    try:
        return (job.package / PREVIEW).read_bytes() if job.package else b""
    except OSError:
        return b""


def _forget(name: str) -> None:
    del _shown[name]
    if _icons is not None and name in _icons:
        del _icons[name]


def show(name: str, picture: bytes, icons: bpy.utils.previews.ImagePreviewCollection) -> None:
    """Make ``picture``, a WebP file, the icon of that name; what cannot be read leaves the one before."""
    _shown[name] = picture
    if not picture:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preview.webp"
        file.write_bytes(picture)
        if max(picture_size(file) or (_WIDEST + 1,)) > _WIDEST:  # small files can hold pictures that fill memory
            return
        image = bpy.data.images.load(str(file))
        if image.size[0]:
            image.scale(*SIZE)
            pixels = np.empty(SIZE[0] * SIZE[1] * 4, np.float32)
            image.pixels.foreach_get(pixels)
            thumbnail = icons.get(name) or icons.new(name)
            thumbnail.image_size = SIZE
            thumbnail.image_pixels_float.foreach_set(pixels)
        bpy.data.images.remove(image)


def redraw_sidebars() -> None:
    """Draw the panels again, not the splats beside them."""
    for area in (area for window in bpy.context.window_manager.windows for area in window.screen.areas):
        for region in area.regions if area.type == "VIEW_3D" else ():
            if region.type == "UI":
                region.tag_redraw()


def register() -> None:
    """Make room for the icons."""
    global _icons
    _icons = bpy.utils.previews.new()


def unregister() -> None:
    """Free them."""
    global _icons
    if bpy.app.timers.is_registered(_catch_up):
        bpy.app.timers.unregister(_catch_up)
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
    _icons = None
    _shown.clear()
    _wanted.clear()
