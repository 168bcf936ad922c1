"""The panels *Look* and *Render*: how the current 4D scene looks, and what renders it well."""

from __future__ import annotations

import bpy

from ..look.controls import CONTROLS
from ..operators.add_crop_box import CYCLORAMA_OT_add_crop_box
from ..operators.setup_render import QUALITIES, CYCLORAMA_OT_setup_render
from ..stage.scene_object import current
from .sentences import draw_sentence


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"
    bl_options = {"DEFAULT_CLOSED"}


class _OfAScene(_Panel):
    bl_parent_id = "CYCLORAMA_PT_look"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene whose controls these are."""
        root = current(context)
        return root is not None and CONTROLS["exposure"].key in root


class CYCLORAMA_PT_look(_Panel, bpy.types.Panel):
    """Colours of the 4D scene."""

    bl_label = "Look"
    bl_order = 30

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        root = current(context)
        if root is None:
            draw_sentence(self.layout, context, "Generate a 4D scene, import one, or select the one you mean.")
        elif CONTROLS["exposure"].key not in root:
            draw_sentence(self.layout, context, f"{root.name} was made without these controls: import it again.")
        else:
            _draw(self.layout, root, "exposure", "saturation", "tint")
            _draw(self.layout, root, "density")


class CYCLORAMA_PT_crop(_OfAScene, bpy.types.Panel):
    """A box that limits what is shown."""

    bl_label = "Crop"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        root = current(context)
        assert root is not None
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        row = layout.row(align=True)
        row.prop(root.cyclorama_look, "crop")
        if root.cyclorama_look.crop is None:
            row.operator(CYCLORAMA_OT_add_crop_box.bl_idname, text="", icon="ADD")
        else:
            _draw(layout, root, "crop_outside")


class CYCLORAMA_PT_floaters(_OfAScene, bpy.types.Panel):
    """Which splats are left out."""

    bl_label = "Floaters"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        _draw(self.layout, current(context), "floater_opacity", "floater_size", "floater_alone")


def _draw(layout: bpy.types.UILayout, root: bpy.types.Object, *names: str) -> None:
    column = layout.column()
    column.use_property_split = True
    for name in names:  # the custom properties, so that what the artist keyframes plays without the add-on
        column.prop(root, CONTROLS[name].path, text=CONTROLS[name].name)


class CYCLORAMA_PT_render(_Panel, bpy.types.Panel):
    """What makes the scene render well, on request."""

    bl_label = "Render"
    bl_order = 50

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        column = layout.column(align=True)
        for key, quality in QUALITIES.items():
            column.operator(CYCLORAMA_OT_setup_render.bl_idname, text=quality.name).quality = key
        root = current(context)
        if root is not None and CONTROLS["eevee_sorted"].key in root and "EEVEE" in context.scene.render.engine:
            _draw(layout, root, "eevee_sorted")


_CLASSES = (CYCLORAMA_PT_look, CYCLORAMA_PT_crop, CYCLORAMA_PT_floaters, CYCLORAMA_PT_render)


def register() -> None:
    """Show them."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them away."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
