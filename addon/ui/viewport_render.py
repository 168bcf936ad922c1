"""Where the viewport render with splats is found: in the View menu, and among what renders."""

from __future__ import annotations

import bpy

from ..operators.viewport_render import CYCLORAMA_OT_viewport_render
from ..stage.scene_object import roots
from .look import CYCLORAMA_PT_render

_NAME = CYCLORAMA_OT_viewport_render.bl_idname


def _in_view_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    if any(roots(context.scene)):
        menu.layout.separator()
        menu.layout.operator(_NAME, text="Render Viewport with Splats", icon="RENDER_STILL")
        menu.layout.operator(_NAME, text="Render Playblast with Splats", icon="RENDER_ANIMATION").animation = True


def _in_panel(panel: bpy.types.Panel, _context: bpy.types.Context) -> None:
    row = panel.layout.row(align=True)
    row.operator(_NAME, text="Viewport Still")
    row.operator(_NAME, text="Playblast").animation = True


def register() -> None:
    """Show it."""
    bpy.types.VIEW3D_MT_view.append(_in_view_menu)
    CYCLORAMA_PT_render.append(_in_panel)


def unregister() -> None:
    """Take it away."""
    CYCLORAMA_PT_render.remove(_in_panel)
    bpy.types.VIEW3D_MT_view.remove(_in_view_menu)
