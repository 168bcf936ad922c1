"""The camera's panel: how far it may go, flights, and shadows on the set."""

from __future__ import annotations

import bpy

from ..operators.fly_through import CYCLORAMA_OT_fly_through
from ..operators.look_through_panorama import CYCLORAMA_OT_look_through_panorama
from ..operators.setup_shadows import CYCLORAMA_OT_remove_shadows, CYCLORAMA_OT_setup_shadows
from ..operators.use_camera import CYCLORAMA_OT_use_camera
from ..stage import room, shadow_layer
from ..stage.scene_object import CAMERA, current, parts
from .sentences import draw_sentence


class CYCLORAMA_PT_camera(bpy.types.Panel):
    """Flights within the safe radius."""

    bl_label = "Camera"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 40

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene to fly through."""
        return current(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        root = current(context)
        assert root is not None
        camera = context.scene.camera
        if camera is not None and room.leaves(root, camera.matrix_world.translation):
            box = layout.box()
            draw_sentence(box, context, "The camera has left the safe radius: holes may show.", icon="ERROR")
            if camera not in set(parts(root, CAMERA)):
                box.operator(CYCLORAMA_OT_use_camera.bl_idname)
        elif camera is None:
            layout.operator(CYCLORAMA_OT_use_camera.bl_idname, icon="CAMERA_DATA")
        layout.operator(CYCLORAMA_OT_look_through_panorama.bl_idname, icon="HIDE_OFF")
        layout.operator_menu_enum(CYCLORAMA_OT_fly_through.bl_idname, "kind", icon="CON_FOLLOWPATH")
        layout.prop(context.scene, "cyclorama_show_room", text="Show Safe Radius")


class CYCLORAMA_PT_shadows(bpy.types.Panel):
    """Shadows of the artist's objects on the set."""

    bl_label = "Shadows"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Cyclorama"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 45

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a 4D scene to throw them on."""
        return current(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        if shadow_layer.is_set_up(context.scene):
            if shadow_layer.is_in_step(context.scene):
                draw_sentence(layout, context, "Your objects throw shadows on the set.", icon="CHECKMARK")
            else:
                draw_sentence(layout, context, "4D scenes came or went since it was set up.", icon="ERROR")
                layout.operator(CYCLORAMA_OT_setup_shadows.bl_idname, text="Update", icon="FILE_REFRESH")
            layout.operator(CYCLORAMA_OT_remove_shadows.bl_idname, icon="X")
        else:
            if context.scene.render.engine != "CYCLES":
                draw_sentence(layout, context, "Only Cycles catches shadows: choose it as the render engine first.")
            layout.operator(CYCLORAMA_OT_setup_shadows.bl_idname, icon="SHADING_RENDERED")


_CLASSES = (CYCLORAMA_PT_camera, CYCLORAMA_PT_shadows)


def register() -> None:
    """Show them."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Take them away."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
