"""Choose another seed by chance."""

from __future__ import annotations

import secrets

import bpy

_BELOW = 10_000
"""Short enough to be told to a colleague."""


class CYCLORAMA_OT_randomise_seed(bpy.types.Operator):
    """Choose another seed by chance: the same settings then make another motion"""

    bl_idname = "cyclorama.randomise_seed"
    bl_label = "Randomise Seed"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Never the same again."""
        settings = context.scene.cyclorama
        settings.seed = (settings.seed + 1 + secrets.randbelow(_BELOW - 1)) % _BELOW
        return {"FINISHED"}
