"""What is being made, as an icon for the panel."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from .. import link

SIZE = 256, 128
"""Width and height of the icon, in pixels."""

_icons: bpy.utils.previews.ImagePreviewCollection | None = None
_shown = b""


def icon(picture: bytes) -> int:
    """Icon of ``picture``, a WebP file, or of the one before it until it is read; 0 while there is none."""
    if picture and picture != _shown and not bpy.app.timers.is_registered(_catch_up):
        bpy.app.timers.register(_catch_up, first_interval=0.0)  # images must not be loaded while a panel is drawn
    return _icons["job"].icon_id if _icons and picture and "job" in _icons else 0


def _catch_up() -> None:
    job = link.current_job()
    if job and job.preview and _icons is not None:
        show(job.preview, _icons)
        for area in (area for window in bpy.context.window_manager.windows for area in window.screen.areas):
            if area.type == "VIEW_3D":
                area.tag_redraw()


def show(picture: bytes, icons: bpy.utils.previews.ImagePreviewCollection) -> None:
    """Make ``picture``, a WebP file, the icon; what cannot be read leaves the one before."""
    global _shown
    _shown = picture
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preview.webp"
        file.write_bytes(picture)
        image = bpy.data.images.load(str(file))
        if image.size[0]:
            image.scale(*SIZE)
            pixels = np.empty(SIZE[0] * SIZE[1] * 4, np.float32)
            image.pixels.foreach_get(pixels)
            thumbnail = icons.get("job") or icons.new("job")
            thumbnail.image_size = SIZE
            thumbnail.image_pixels_float.foreach_set(pixels)
        bpy.data.images.remove(image)


def register() -> None:
    """Make room for the icon."""
    global _icons
    _icons = bpy.utils.previews.new()


def unregister() -> None:
    """Free it."""
    global _icons, _shown
    if bpy.app.timers.is_registered(_catch_up):
        bpy.app.timers.unregister(_catch_up)
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
    _icons, _shown = None, b""
