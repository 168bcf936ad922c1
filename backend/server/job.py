"""One job: what was asked, by whom, how far it is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...bridge import messages

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Ending = messages.Done | messages.Failed | messages.Cancelled

ENDED = ("done", "failed", "cancelled")

_LONGEST_WORDS = 2000
"""Characters of what is told of a failure: it may quote what a guest wrote, and all jobs are told in one message."""


@dataclass
class Job:
    """Times are seconds since 1970; 0 where it has not happened yet.

    Args:
        asked: as the client asked for it.
        guest: the name its client was invited under; "" on our own computer.
        priority: see ``messages.PRIORITIES``; at first as it was asked for.
    """

    asked: messages.Generate
    guest: str = ""
    priority: int = 0
    state: State = "waiting"
    stage: str = ""
    """The stage it is in, or was in last; "" before the first."""
    fraction: float = 0.0
    seconds_left: float = -1.0
    code: str = ""
    sentence: str = ""
    hint: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    asked_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    starts: int = 0
    """How often it was started, and neither ended nor was stopped in good order."""
    deaths: int = 0
    """How many worker processes have ended under it."""
    scene_before: str = ""
    """What lay at its output when it started; see ``recovery.scene_digest``."""
    device: str = ""
    """What it runs on, or ran on last, in words."""
    remark: str = ""
    """What happened to it that is no fault, in a sentence."""
    reused: tuple[str, ...] = ()
    """Stages whose results were there from earlier jobs."""
    cancelling: bool = False
    """A client wants it to stop."""

    @property
    def name(self) -> str:
        """The name its client gave it."""
        return self.asked.job

    @property
    def ending(self) -> Ending | None:
        """The event that ended it; None as long as it has not."""
        match self.state:
            case "done":
                return messages.Done(
                    job=self.name,
                    scene=self.asked.output,
                    seconds=self.seconds,
                    peak_bytes=self.peak_bytes,
                    reused=self.reused,
                )
            case "failed":
                return messages.Failed(job=self.name, code=self.code, sentence=self.sentence, hint=self.hint)
            case "cancelled":
                return messages.Cancelled(job=self.name)
        return None

    def hear(self, progress: messages.Progress) -> None:
        """It has come so far."""
        self.stage, self.fraction, self.seconds_left = progress.stage, progress.fraction, progress.seconds_left

    def end(self, ending: Ending, now: float) -> None:
        """It is over, one way or another."""
        self.ended_at, self.seconds_left, self.cancelling = now, -1.0, False
        self.starts = self.deaths = 0
        match ending:
            case messages.Done():
                self.state, self.fraction = "done", 1.0
                self.seconds, self.peak_bytes = dict(ending.seconds), ending.peak_bytes
                self.reused = tuple(ending.reused)
            case messages.Failed():
                self.state = "failed"
                self.code = ending.code
                self.sentence, self.hint = ending.sentence[:_LONGEST_WORDS], ending.hint[:_LONGEST_WORDS]
            case messages.Cancelled():
                self.state = "cancelled"

    def start(self, now: float, device: str, scene_before: str) -> None:
        """A worker is given it."""
        self.state, self.started_at, self.device, self.scene_before = "running", now, device, scene_before
        self.starts += 1

    def wait(self, remark: str = "") -> None:
        """It waits (again), as if it had never run; ``remark``: why."""
        self.state, self.stage, self.fraction, self.seconds_left = "waiting", "", 0.0, -1.0
        self.code = self.sentence = self.hint = self.device = ""
        self.remark = remark
        self.seconds, self.peak_bytes, self.started_at, self.ended_at = {}, 0, 0.0, 0.0
        self.cancelling = False

    def described(self, place: int = 0) -> messages.JobState:
        """As a line of ``Jobs``. ``place``: in the queue, from 1 on; 0 when it does not wait."""
        return messages.JobState(
            job=self.name,
            state=self.state,
            stage=self.stage,
            fraction=self.fraction,
            seconds_left=self.seconds_left,
            code=self.code,
            sentence=self.sentence,
            hint=self.hint,
            panorama=self.asked.panorama,
            output=self.asked.output,
            asked_at=self.asked_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            seconds=self.seconds,
            peak_bytes=self.peak_bytes,
            guest=self.guest,
            priority=self.priority,
            place=place,
            device=self.device,
            remark=self.remark,
            reused=self.reused,
        )
