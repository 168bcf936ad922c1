"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .situation import Situation

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        subject: a word or two: "Disk".
        level: "warning": it works, but not as well as it could, or not for long; "fault": it does not work.
        sentence: what was found.
        hint: how to fix it; "" where there is nothing to fix.
    """

    subject: str
    level: Level
    sentence: str
    hint: str = ""


Check = Callable[["Situation"], Iterable[Finding]]


def ok(subject: str, sentence: str, hint: str = "") -> Finding:
    """All is well."""
    return Finding(subject, "ok", sentence, hint)


def warning(subject: str, sentence: str, hint: str) -> Finding:
    """It works, but."""
    return Finding(subject, "warning", sentence, hint)


def fault(subject: str, sentence: str, hint: str) -> Finding:
    """It does not work."""
    return Finding(subject, "fault", sentence, hint)
