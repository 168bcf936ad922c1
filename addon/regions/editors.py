"""Image Editors: what they show of the panorama and its regions, and whether the artist paints in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import bpy

from ...bridge.errors import CycloramaError
from . import masks
from .listing import active_region

if TYPE_CHECKING:
    from ..properties import GenerateSettings

VIEW, PAINT = "VIEW", "PAINT"


def panorama_image(scene: bpy.types.Scene) -> bpy.types.Image | None:
    """The panorama, if it is in Blender already; None for none, or one that is not opened yet."""
    settings = scene.cyclorama
    if settings.panorama_source == "IMAGE":
        return settings.panorama_image
    path = bpy.path.abspath(_path_of(settings))
    return next((image for image in bpy.data.images if path and _file_of(image) == path), None)


def _path_of(settings: GenerateSettings) -> str:
    return settings.panorama_of_scene if settings.panorama_source == "SCENE" else settings.panorama


def _file_of(image: bpy.types.Image) -> str:
    return bpy.path.abspath(image.filepath, library=image.library)


def open_panorama_image(scene: bpy.types.Scene) -> bpy.types.Image:
    """The panorama, read if it is not yet. Raises ``CycloramaError``."""
    image, path = panorama_image(scene), _path_of(scene.cyclorama)
    if image is None and path and scene.cyclorama.panorama_source != "IMAGE":
        try:
            image = bpy.data.images.load(bpy.path.abspath(path))
        except RuntimeError as error:
            raise CycloramaError(
                "panorama-not-opened",
                f"The panorama {path} cannot be opened.",
                "Choose another in the Cyclorama tab of the 3D View.",
            ) from error
    if image is None:
        raise CycloramaError(
            "panorama-not-set", "No panorama is chosen.", "Choose one in the Cyclorama tab of the 3D View."
        )
    width, height = image.size
    if not width:
        raise CycloramaError(
            "panorama-not-opened",
            f"The panorama {image.name} cannot be read as an image.",
            "Choose another in the Cyclorama tab of the 3D View.",
        )
    if not masks.is_panoramic(width, height):
        raise CycloramaError(
            "panorama-not-2-to-1",
            f"The panorama {image.name} has {width} x {height} pixels; a 360° panorama is twice as wide as high.",
            "Export it as equirectangular, full sphere.",
        )
    return image


def panorama_is_chosen(scene: bpy.types.Scene) -> bool:
    """Whether there is something to open."""
    settings = scene.cyclorama
    return settings.panorama_image is not None if settings.panorama_source == "IMAGE" else bool(_path_of(settings))


def editor_of(context: bpy.types.Context) -> bpy.types.SpaceImageEditor | None:
    """The Image Editor the artist means: that which the mouse is in, else the largest one."""
    space = context.space_data
    if space is not None and space.type == "IMAGE_EDITOR":
        return space
    found = sorted(_areas("IMAGE_EDITOR"), key=lambda area: area.width * area.height)
    return found[-1].spaces.active if found else None


def area_of(space: bpy.types.SpaceImageEditor) -> bpy.types.Area | None:
    """Where an editor is on the screen."""
    return next((area for area in _areas("IMAGE_EDITOR") if area.spaces.active == space), None)


def show(space: bpy.types.SpaceImageEditor, image: bpy.types.Image, mode: str) -> None:
    """Show ``image`` in an editor, to look at or to paint in; of the panorama the same part as before."""
    before = space.image
    space.image = image
    if space.ui_mode != mode:
        space.ui_mode = mode
    if before != image:
        both = before is not None and masks.is_panoramic(*before.size) and masks.is_panoramic(*image.size)
        set_view(space, like_before=both)


def set_view(space: bpy.types.SpaceImageEditor, like_before: bool = False) -> None:
    """Show the whole image, or of this one the same part as of that before; Blender keeps a view for each."""
    area = area_of(space)
    if area is None or bpy.app.background:
        return
    window = next(window for window in bpy.context.window_manager.windows if area in window.screen.areas[:])
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        if like_before:  # until it is drawn, the region's view is that before
            right, top = region.width - 1, region.height - 1
            bpy.ops.image.view_zoom_border(xmin=0, ymin=0, xmax=right, ymax=top, wait_for_input=False)
        else:
            bpy.ops.image.view_all(fit_view=True)


def region_painted_in(scene: bpy.types.Scene, space: bpy.types.SpaceImageEditor):
    """The region whose mask an editor shows to be painted; None for none."""
    if space.ui_mode != PAINT or space.image is None:
        return None
    return next((region for region in scene.cyclorama_regions.items if region.mask == space.image), None)


def follow_active(scene: bpy.types.Scene) -> None:
    """Editors in which a region is painted turn to the one that is chosen; to the panorama where that has no mask."""
    chosen = active_region(scene)
    for area in _areas("IMAGE_EDITOR"):
        space = area.spaces.active
        if region_painted_in(scene, space) in (None, chosen):
            continue
        if chosen is not None and chosen.kind == "PAINTED" and chosen.mask:
            show(space, chosen.mask, PAINT)
        elif (panorama := panorama_image(scene)) is not None:
            show(space, panorama, VIEW)


def leave_painting(scene: bpy.types.Scene, region) -> None:
    """Editors in which ``region`` is painted turn to the panorama."""
    panorama = panorama_image(scene)
    for area in _areas("IMAGE_EDITOR"):
        space = area.spaces.active
        if region_painted_in(scene, space) == region and panorama is not None:
            show(space, panorama, VIEW)


def redraw() -> None:
    """Have Blender draw everything anew that shows regions."""
    for area in _areas("IMAGE_EDITOR", "VIEW_3D"):
        area.tag_redraw()


def _areas(*kinds: str) -> Iterator[bpy.types.Area]:
    for window in bpy.context.window_manager.windows:
        yield from (area for area in window.screen.areas if area.type in kinds)
