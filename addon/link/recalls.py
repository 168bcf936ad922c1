"""Settings of earlier jobs, asked for and put back into the Blender scene they are for."""

from __future__ import annotations

import uuid

import bpy

from ...bridge import messages
from ...bridge.errors import CycloramaError
from .. import recalled
from .arrival import push_undo


class Recalls:
    """All that were asked for and have not come yet."""

    def __init__(self):
        self.remark: CycloramaError | None = None
        """What could not be brought back the last time."""
        self._asked: dict[str, int] = {}  # request -> session_uid of the scene that gets them
        self._came: list[tuple[messages.Generate, int]] = []

    def request(self, job: str, scene: bpy.types.Scene) -> messages.Recall:
        """What to ask the backend, for ``scene``."""
        request = uuid.uuid4().hex
        self._asked[request] = scene.session_uid
        return messages.Recall(request=request, job=job)

    def come(self, asked: messages.Generate, blender_scene: int) -> None:
        """They are known; ``load`` puts them into the scene with that ``session_uid``."""
        self._came.append((asked, blender_scene))

    def hear(self, message: messages.Reply | messages.Event) -> bool:
        """Whether the message was meant for us."""
        if message.request not in self._asked:
            return False
        scene = self._asked.pop(message.request)
        if isinstance(message, messages.Recalled):
            self.come(message.asked, scene)
        elif isinstance(message, messages.Refused):
            self.remark = CycloramaError(message.code, message.sentence, message.hint)
        return True

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
        self._asked.clear()
        self._came.clear()
        self.remark = None
