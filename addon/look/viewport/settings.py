"""Whether the viewport draws splats itself, and how many: stored on the scene, shown among the overlays."""

from __future__ import annotations

import bpy


def _on_change(_settings: ViewportSettings, _context: bpy.types.Context) -> None:
    from . import start_again

    start_again()


class ViewportSettings(bpy.types.PropertyGroup):
    """On every scene."""

    show: bpy.props.BoolProperty(
        name="Fast Splats",
        description=(
            "Draw splats in Solid and Material Preview by themselves: sorted, and fast enough to work with."
            " Off: as the surfels that renders have"
        ),
        default=True,
        options=set(),
        update=_on_change,
    )
    most: bpy.props.IntProperty(
        name="At Most",
        description="Splats drawn in one viewport; of more an even share is drawn. Renders always show all",
        default=4_000_000,
        min=1000,
        soft_max=10_000_000,
        options=set(),
        update=_on_change,
    )


def _among_overlays(panel: bpy.types.Panel, context: bpy.types.Context) -> None:
    from . import trouble

    settings = context.scene.cyclorama_viewport
    layout = panel.layout
    layout.separator()
    layout.label(text="Cyclorama")
    row = layout.row(align=True)
    row.prop(settings, "show")
    amount = row.row()
    amount.active = settings.show
    amount.prop(settings, "most")
    if settings.show and trouble():
        layout.label(text=trouble(), icon="ERROR")


def register() -> None:
    """Give scenes their settings, as ``cyclorama_viewport``, and show them in the Overlays popover."""
    bpy.utils.register_class(ViewportSettings)
    bpy.types.Scene.cyclorama_viewport = bpy.props.PointerProperty(type=ViewportSettings)
    bpy.types.VIEW3D_PT_overlay.append(_among_overlays)


def unregister() -> None:
    """Take them away again; what was set stays in the file."""
    bpy.types.VIEW3D_PT_overlay.remove(_among_overlays)
    del bpy.types.Scene.cyclorama_viewport
    bpy.utils.unregister_class(ViewportSettings)
