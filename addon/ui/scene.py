"""The panel *4D Scene*: which package is shown, when, and what can be done with it."""

from __future__ import annotations

import bpy

from ..operators.bake_scene import CYCLORAMA_OT_bake_scene, CYCLORAMA_OT_unbake_scene
from ..operators.import_scene import CYCLORAMA_OT_import_scene
from ..operators.make_playable import CYCLORAMA_OT_make_playable
from ..operators.pack_scenes import CYCLORAMA_OT_pack_scenes
from ..operators.relink import CYCLORAMA_OT_relink
from ..operators.select_scene import CYCLORAMA_OT_select_scene
from ..stage import playback
from ..stage.linked import is_playable
from ..stage.scene_object import MOVING, POINTS, STATIC, current, parts, roots
from ..stage.splats import count
from .sentences import draw_sentence


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"


class CYCLORAMA_PT_scene(_Panel, bpy.types.Panel):
    """The 4D scene of the active object, or the only one."""

    bl_label = "4D Scene"
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        layout.operator(CYCLORAMA_OT_import_scene.bl_idname, text="Import…", icon="IMPORT")
        root = current(context)
        if root is None:
            _draw_choice(layout, context)
            return
        layout.label(text=root.name, icon="OUTLINER_OB_EMPTY")
        _draw_complaint(layout, context, root)
        column = layout.column(align=True)
        for line in _told(root):
            draw_sentence(column, context, line)
        row = layout.row(align=True)
        place = row.row(align=True)
        place.enabled = False  # typed here, the parts would not be read anew; Relink does both
        place.prop(root.cyclorama, "package", text="")
        row.operator(CYCLORAMA_OT_relink.bl_idname, text="", icon="FILE_REFRESH")


def _draw_choice(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """None is meant: there is none, or there are several to choose from."""
    there = roots(context.scene)
    if not there:
        draw_sentence(layout, context, "Generate a 4D scene, or import one.")
        return
    draw_sentence(layout, context, "Which one?")
    column = layout.column(align=True)
    for root in there:
        select = column.operator(CYCLORAMA_OT_select_scene.bl_idname, text=root.name, icon="OUTLINER_OB_EMPTY")
        select.name = root.name


def _draw_complaint(layout: bpy.types.UILayout, context: bpy.types.Context, root: bpy.types.Object) -> None:
    """Why it does not play, and the button that helps."""
    complaint = playback.complaint(root)
    playable = is_playable(root)
    if not complaint and playable:
        return
    box = layout.box()
    text = complaint or "It is linked from another file and cannot be played as it is."
    draw_sentence(box, context, text, icon="ERROR")
    if not playable:
        box.operator(CYCLORAMA_OT_make_playable.bl_idname)
    elif root.is_editable:
        box.operator(CYCLORAMA_OT_relink.bl_idname, text="Relink…")


_KINDS = {STATIC: "static splats", MOVING: "moving splats", POINTS: "points"}


def _told(root: bpy.types.Object):
    """What the scene holds, a line each."""
    for role, kind in _KINDS.items():
        for part in parts(root, role):
            yield f"{count(part.data):,} {kind}"
    settings = root.cyclorama
    if settings.frame_count > 1:
        yield f"{settings.frame_count} frames, {settings.frame_rate:g} a second"
    if settings.safe_radius:
        yield f"Safe for cameras within {settings.safe_radius:.2g} m of where the panorama was taken"


class CYCLORAMA_PT_scene_time(_Panel, bpy.types.Panel):
    """When it plays."""

    bl_label = "Time"
    bl_parent_id = "CYCLORAMA_PT_scene"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether anything moves."""
        root = current(context)
        return root is not None and root.cyclorama.frame_count > 1

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        layout.use_property_split = True
        root = current(context)
        assert root
        settings = root.cyclorama
        layout.enabled = not settings.baked
        clock = layout.column()
        clock.active = not settings.use_frame
        clock.prop(settings, "start")
        clock.prop(settings, "speed")
        clock.prop(settings, "offset")
        layout.prop(settings, "at_the_end")
        layout.prop(settings, "reverse")
        row = layout.row(heading="Override")
        row.prop(settings, "use_frame", text="")
        value = row.row()
        value.active = settings.use_frame
        value.prop(settings, "frame", text="")


class CYCLORAMA_PT_scene_files(_Panel, bpy.types.Panel):
    """What a render farm needs."""

    bl_label = "For a Render Farm"
    bl_parent_id = "CYCLORAMA_PT_scene"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene."""
        return current(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout, root = self.layout, current(context)
        assert root
        layout.operator(CYCLORAMA_OT_pack_scenes.bl_idname, icon="PACKAGE")
        row = layout.row(align=True)
        row.operator(CYCLORAMA_OT_bake_scene.bl_idname, icon="RENDER_ANIMATION")
        if root.cyclorama.baked:
            row.operator(CYCLORAMA_OT_unbake_scene.bl_idname, text="", icon="X")
            draw_sentence(layout, context, "Baked: plays without Cyclorama, as it was when it was baked.")


_CLASSES = (CYCLORAMA_PT_scene, CYCLORAMA_PT_scene_time, CYCLORAMA_PT_scene_files)


def register() -> None:
    """Show it."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take it away."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
