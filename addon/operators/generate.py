"""Have the backend make a 4D scene of the panorama."""

from __future__ import annotations

import bpy

from ...bridge.errors import CycloramaError
from .. import link, panorama, request


class CYCLORAMA_OT_generate(bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.generate"
    bl_label = "Generate 4D Scene"
    bl_description = (
        "Make a 4D scene of the panorama: what moves in it moves, and everything gets its distance. "
        "It is imported into this scene when it is done; you can go on working meanwhile"
    )
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a panorama; others may be generated already, this one then waits for them."""
        missing = panorama.missing(context.scene.cyclorama)
        if missing:
            cls.poll_message_set(missing)
        return not missing

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask for it."""
        try:
            link.generate(request.generate_request(context.scene.cyclorama), context.scene)
        except CycloramaError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
