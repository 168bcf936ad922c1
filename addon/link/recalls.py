"""Settings of earlier jobs, asked for and put back into the Blender scene they are for."""

from __future__ import annotations

import bpy

from ...bridge import messages
from ...bridge.errors import CycloramaError
from .. import recalled
from .arrival import push_undo


class Recalls:
    """All that have come and are not in their scenes yet."""

    def __init__(self):
        self.remark: CycloramaError | None = None
        """What could not be brought back the last time."""
        self._came: list[tuple[messages.Generate, int]] = []

    def come(self, asked: messages.Generate, blender_scene: int) -> None:
        """They are known; ``load`` puts them into the scene with that ``session_uid``."""
        self._came.append((asked, blender_scene))

    def hear(self, answer: messages.Reply | messages.AnyEvent, blender_scene: int) -> None:
        """The answer to a ``Recall`` for that scene."""
        if isinstance(answer, messages.Recalled):
            self.come(answer.asked, blender_scene)
        elif isinstance(answer, messages.Refused):
            self.remark = CycloramaError(answer.code, answer.sentence, answer.hint)

    def load(self) -> None:
        """Put what came into the scenes; one that was closed meanwhile gets nothing."""
        scenes = {scene.session_uid: scene for scene in bpy.data.scenes} if self._came else {}
        for asked, uid in self._came:
            if uid in scenes:
                lost = recalled.load(scenes[uid], asked)
                self.remark = CycloramaError("mask-missing", " ".join(lost)) if lost else None
                push_undo("Load Settings of Cyclorama Job")
        self._came.clear()

    def clear(self) -> None:
        """Forget all."""
        self._came.clear()
        self.remark = None
