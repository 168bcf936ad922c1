"""Copy the packages of all 4D scenes beside the .blend, for a render farm."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...bridge.scene import Scene
from ..stage import packages, playback
from ..stage.copying import FOLDER, Copy, copied, planned
from ..stage.importing import repoint_worlds
from ..stage.paths import stored_path
from ..stage.scene_object import is_root
from .working import Steps, Working


class CYCLORAMA_OT_pack_scenes(Working, bpy.types.Operator):
    """See ``bl_description``."""

    bl_idname = "cyclorama.pack_scenes"
    bl_label = "Pack into Folder"
    bl_description = (
        f"Copy all 4D scenes of this file into the folder '{FOLDER}' beside it and use them from there, "
        "so that the whole can go to a render farm"
    )
    bl_options = {"REGISTER", "UNDO"}

    _copies: list[Copy]

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether there is something to copy, and a place for it."""
        if not _roots():
            cls.poll_message_set("There is no 4D scene in this file")
        elif not bpy.data.filepath:
            cls.poll_message_set("Save the file first: the scenes go beside it")
        return bool(_roots() and bpy.data.filepath)

    def steps(self, _context: bpy.types.Context) -> Steps:
        """Copy them."""
        paths = dict.fromkeys(packages.package_path(root) for root in _roots())
        self._copies = planned([packages.opened(path) for path in paths], Path(bpy.data.filepath).parent)
        return _copied(self._copies)

    def finish(self, context: bpy.types.Context) -> str:
        """Use the copies."""
        targets = {copy.package.folder.resolve(): copy.target for copy in self._copies}
        for root in _roots():
            target = targets.get(packages.package_path(root))
            if target is not None:
                root.cyclorama.package = stored_path(target)
                repoint_worlds(root, Scene(target))
        playback.forget()
        playback.show_frame(context.scene)
        return f"{len(targets)} 4D {'scene lies' if len(targets) == 1 else 'scenes lie'} in {FOLDER} beside the file"


def _copied(copies: list[Copy]) -> Steps:
    done, whole = 0, sum(copy.size for copy in copies) or 1
    for copy in copies:
        for size in copied(copy):
            done += size
            yield done / whole


def _roots() -> list[bpy.types.Object]:
    return [thing for thing in bpy.data.objects if is_root(thing) and thing.is_editable and thing.cyclorama.package]
