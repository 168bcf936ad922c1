"""One wish, from the click to the scene in Blender. Changes only by what the backend says, and by the artist."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...bridge import messages
from ...bridge.errors import CycloramaError
from ...bridge.scene import is_package

State = Literal["starting", "sending", "waiting", "running", "asleep", "fetching", "done", "failed", "cancelled"]
"""``starting``: the backend has not been told yet; ``sending``: its files go to another computer; ``waiting``: the
backend has other jobs to do first; ``asleep``: the backend that has it is off; ``fetching``: its scene comes from
another computer."""

_ENDED = frozenset(("done", "failed", "cancelled"))
RESTING = _ENDED | {"asleep"}
"""States in which nothing is done about it, or will be without further ado."""
_ASKED_ALREADY = ("waiting", "running")


@dataclass
class Job:
    """A job as this Blender sees it, whoever asked for it.

    Args:
        name: it goes by on the wire.
        panorama: path of what it is made of.
        output: where its scene is to lie.
        asked: all that was asked for; None where that is not known here.
        blender_scene: ``session_uid`` of the open scene it is for; 0 when it is for none that is open.
    """

    name: str
    panorama: str = ""
    output: str = ""
    asked: messages.Generate | None = None
    blender_scene: int = 0
    state: State = "starting"
    pending: Literal["", "generate", "retry"] = ""
    """What the backend is to be told as soon as it listens."""
    theirs: bool = False
    """Asked for on another computer, whose paths these are."""
    locked: bool = False
    """It is somebody else's, and we are a guest: nothing can be done with it."""
    listed: bool = False
    """Whether it is on the backend's list."""
    stage: str = ""
    fraction: float = 0.0
    seconds_left: float = -1.0
    """Below 0 while unknown."""
    preview: bytes = b""
    """The newest picture of what is being made, a WebP file; empty while there is none."""
    cancelling: bool = False
    """The artist asked it to stop."""
    error: CycloramaError | None = None
    """Why there is no scene, or why it is not imported."""
    refusal: CycloramaError | None = None
    """Why the backend did not do what it was last asked to do with it."""
    remark: str = ""
    """What happened to it that is no fault."""
    priority: int = 0
    """Those with a greater one run first."""
    device: str = ""
    """What it runs on, in words."""
    reused: tuple[str, ...] = ()
    """Stages whose results were there from earlier jobs."""
    package: Path | None = None
    """The finished 4D scene, on a disk of this computer."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each stage took, when it is done."""
    peak_bytes: int = 0
    """The most memory it took, when it is done."""
    asked_at: float = field(default_factory=time.time)
    """Seconds since 1970."""
    imported: str = ""
    """Name of the collection it became."""
    import_seconds: float = 0.0
    settled: bool = False
    """Nothing is to be imported by itself any more: it was, or it could not be."""

    @classmethod
    def wished(cls, asked: messages.Generate, blender_scene: int = 0) -> Job:
        """One that was asked for here and now."""
        return cls(asked.job, asked.panorama, asked.output, asked, blender_scene, pending="generate")

    @property
    def title(self) -> str:
        """What the artist calls it: the name of its scene, else of its panorama. Guests are not told others' names."""
        path = self.output or self.panorama
        return "Someone's scene" if self.theirs and not path else Path(path or self.name).stem

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in _ENDED

    @property
    def active(self) -> bool:
        """Whether it is being worked on, or will be without further ado."""
        return self.state not in RESTING

    def fail(self, error: CycloramaError) -> None:
        """It ends without a scene, and why."""
        self.state, self.error, self.pending, self.cancelling = "failed", error, "", False

    def stand(self, told: messages.JobState, guest: str) -> None:
        """Take over how it stands with the backend; ``guest``: see ``Welcome.guest``."""
        if self.pending == "retry" and told.state in ("failed", "cancelled"):
            self.listed = True
            return  # the backend is still to be told
        again = self.ended and told.state not in _ENDED
        self.listed, self.pending, self.asked_at = True, "", told.asked_at or self.asked_at
        self.stage, self.fraction, self.seconds_left = told.stage, told.fraction, told.seconds_left
        self.seconds, self.peak_bytes, self.reused = told.seconds, told.peak_bytes, told.reused
        self.priority, self.device, self.remark = told.priority, told.device, told.remark
        self.panorama, self.output = told.panorama or self.panorama, told.output or self.output
        self.theirs = told.guest != guest
        self.locked = self.theirs and bool(guest)
        if again:
            self.preview, self.settled, self.imported = b"", False, ""
        if told.state != self.state:
            self.refusal = None
        self._reach(told, guest)

    def _reach(self, told: messages.JobState, guest: str) -> None:
        if told.state == "done":
            self._be_done(bool(guest))
        elif told.state == "failed":
            self.fail(CycloramaError(told.code, told.sentence, told.hint))
        elif told.state == "cancelled":
            self.state, self.error, self.cancelling = "cancelled", None, False
        elif told.state in _ASKED_ALREADY:
            self.state, self.error = told.state, None

    def _be_done(self, remote: bool) -> None:
        """``remote``: its scene lies on another computer, and may have been fetched."""
        if self.state in ("done", "fetching"):
            return
        self.fraction, self.cancelling, self.error = 1.0, False, None
        here = not self.theirs and (not remote or is_package(Path(self.output)))
        self.package = Path(self.output) if here else None
        self.state = "done"
        if not here and (self.asked or self.blender_scene):
            self.state = "fetching"

    def hear(self, event: messages.AnyEvent, guest: str) -> None:
        """Take in an event of this job; what comes after its end changes nothing, but ``Changed`` may revive it."""
        if isinstance(event, messages.Changed):
            self.stand(event.state, guest)
        elif self.ended or self.pending:
            return
        elif isinstance(event, messages.Progress):
            self.state, self.stage = "running", event.stage
            self.fraction, self.seconds_left = event.fraction, event.seconds_left
        elif isinstance(event, messages.Preview):
            self.preview = event.picture
        elif isinstance(event, messages.Done):
            self.seconds, self.peak_bytes, self.reused = event.seconds, event.peak_bytes, event.reused
            self.output = event.scene or self.output
            self._be_done(bool(guest))
        elif isinstance(event, messages.Failed):
            self.fail(CycloramaError(event.code, event.sentence, event.hint))
        elif isinstance(event, messages.Cancelled):
            self.state, self.cancelling = "cancelled", False

    def hear_refused(self, refused: messages.Refused) -> None:
        """The backend does not take it, or not yet."""
        if refused.code == messages.HELLO_FIRST and self.asked and not self.listed:
            self.state, self.pending = "starting", "generate"  # to be told again after the next Welcome
        elif refused.code != messages.HELLO_FIRST and not self.ended:
            self.fail(CycloramaError(refused.code, refused.sentence, refused.hint))

    def miss(self) -> bool:
        """The backend does not have it on its list; whether it is to be kept on ours."""
        if self.ended or self.pending == "generate":
            return not self.listed
        self.listed = False
        if self.cancelling:
            self.state, self.cancelling = "cancelled", False
        elif self.asked:
            self.state, self.pending = "starting", "generate"  # our request was lost, or its journal was
        elif self.blender_scene:
            self.fail(unknown())
        return bool(self.asked or self.blender_scene)


def lost(sentence: str) -> CycloramaError:
    """The error of a job whose backend is no more."""
    return CycloramaError("backend-lost", sentence, "Click Retry: the backend is then started anew.")


def unknown() -> CycloramaError:
    """The error of a job that a .blend remembers and no backend does."""
    return CycloramaError("job-unknown", "The backend does not know this job any more.", "Generate it again.")
