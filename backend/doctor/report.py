"""The report on the terminal, or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...bridge.address import backend_folder
from ...bridge.log_lines import plain
from .examination import findings
from .finding import Finding, Level
from .situation import Situation

_MARKS: dict[Level, tuple[str, str, str]] = {
    "ok": ("✓", "ok", "green"),
    "warning": ("!", "! ", "yellow"),
    "fault": ("✗", "X ", "bold red"),
}
"""Sign, the same where the terminal has only ASCII, colour."""

_SUBJECT_COLUMNS = 9


def examine(folder: Path | None = None, blender: str = "", *, as_json: bool = False) -> int:
    """Run all checks and print what they found. Returns the exit code: 1 where there is a fault."""
    found = findings(Situation(backend_folder(folder), blender))
    return _as_json(found) if as_json else show(found, Console())


def show(found: Iterable[Finding], console: Console) -> int:
    """One after the other, as they come, and what there is to do. Returns the exit code."""
    counts: Counter[Level] = Counter()
    for finding in found:
        counts[finding.level] += 1
        console.print(_line(finding, console))
    console.print()
    console.print(_sum(counts))
    return 1 if counts["fault"] else 0


def _line(finding: Finding, console: Console) -> Table:
    sign, ascii_sign, colour = _MARKS[finding.level]
    fits = (console.encoding or "").lower().startswith("utf")
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1 if fits else 2)
    table.add_column(width=_SUBJECT_COLUMNS)
    table.add_column(overflow="fold")
    said = Text(plain(finding.sentence))
    if finding.hint:
        said.append(f"\n{'→' if fits else '->'} {plain(finding.hint)}", "cyan")
    table.add_row(Text(sign if fits else ascii_sign, colour), Text(finding.subject), said)
    return table


def _sum(counts: Counter[Level]) -> Text:
    if not counts["fault"] and not counts["warning"]:
        return Text("All is well.", "green")
    words = [f"{counts[level]} {level}{'s' if counts[level] > 1 else ''}" for level in ("fault", "warning")]
    listed = " and ".join(word for word in words if not word.startswith("0 "))
    rest = "" if counts["fault"] else ": scenes can be generated"
    return Text(f"{listed}{rest}.", "bold red" if counts["fault"] else "yellow")


def _as_json(found: Iterable[Finding]) -> int:
    listed = list(found)
    levels = {each.level for each in listed}
    worst: Level = "fault" if "fault" in levels else "warning" if "warning" in levels else "ok"
    told = {"worst": worst, "findings": [asdict(each) for each in listed]}
    print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode("utf-8"))
    return 1 if worst == "fault" else 0
