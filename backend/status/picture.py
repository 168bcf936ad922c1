"""How a backend looks on a terminal: itself, its workers, its clients, and its jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...bridge import messages
from ...bridge.log_lines import plain
from ..words import duration, file_name, size
from .seen import Seen

NARROW = 72
"""Columns of a terminal that has no room for bars."""

_MOST_WORKERS, _MOST_CLIENTS, _MOST_ENDED = 4, 6, 5
_ENDED_COLOURS = {"done": "green", "failed": "red", "cancelled": "yellow"}
_HEADING = "bold"
_ASIDE = "bright_black"


def picture(seen: Seen, width: int, height: int, lost: str = "", *, with_log: bool = True) -> RenderableType:
    """All of it in at most ``height`` lines, the log's each cut off at the edge.

    Args:
        width: columns.
        lost: why there is no connection, a sentence; "" where there is one.
    """
    parts: list[RenderableType] = [*_banner(lost), *_itself(seen)]
    used = 2 * bool(lost) + _lines_of_itself(seen)
    if seen.survey:
        shown_workers = min(len(seen.survey.workers), _MOST_WORKERS)
        shown_clients = min(len(seen.survey.clients), _MOST_CLIENTS if height > 24 else 2)
        parts += [Text(), _workers(seen), Text(), _clients(seen.survey.clients, shown_clients)]
        used += 4 + shown_workers + shown_clients + (len(seen.survey.clients) > shown_clients)
    log = plain(seen.log).splitlines()[-max(height - used - 12, 3) :] if with_log else []
    rows = height - used - 3 - (len(log) + 2 if log else 0)
    parts += [Text(), _count(seen), _jobs(seen, width, max(rows, 3))]
    if log:
        parts += [Text(), Text("Log", _HEADING), *(Text(line, no_wrap=True, overflow="ellipsis") for line in log)]
    return Group(*parts)


def _banner(lost: str) -> Iterator[Text]:
    if lost:
        yield _line(("Lost: ", "bold red"), (lost, "red"), (" Trying again.", "red"))
        yield Text()


def _itself(seen: Seen) -> Iterator[Text]:
    welcome, survey = seen.welcome, seen.survey
    if welcome is None:
        return
    device = plain(welcome.device) or "the worker starts"
    running = f"   running {duration(time.time() - survey.started_at)}" if survey else ""
    yield _line((f"Cyclorama {plain(welcome.version)}", _HEADING), (f"   {device}{running}", ""))
    if survey:
        cache = f"cache {size(survey.cache_bytes)}"
        if survey.cache_limit_bytes:
            cache += f" of {size(survey.cache_limit_bytes)}"
        process = f"process {survey.pid}, {size(survey.memory_bytes)}"
        yield _line((f"{process}   disk {size(survey.disk_free_bytes)} free   {cache}", ""))
        yield _line((plain(survey.folder), _ASIDE))
        if survey.listens_at:
            yield _line((f"guests reach it at {plain(survey.listens_at)}", ""))
    elif welcome.guest:
        yield _line((f"you are its guest {plain(welcome.guest)}", ""))
    for note in welcome.notes:
        yield _line((plain(note), "yellow"))


def _lines_of_itself(seen: Seen) -> int:
    return len(list(_itself(seen)))


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=any(headings), header_style=_HEADING, expand=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    return table


def _workers(seen: Seen) -> RenderableType:
    workers = seen.survey.workers if seen.survey else ()
    if not workers:
        return Text("No worker runs", _ASIDE)
    table = _table("Worker", "process", "memory", "job")
    for worker in workers[:_MOST_WORKERS]:
        table.add_row(
            Text(plain(worker.device) or "starts"),
            Text(str(worker.pid)),
            Text(size(worker.memory_bytes)),
            Text(_job_of(worker, seen)),
        )
    return table


def _job_of(worker: messages.WorkerState, seen: Seen) -> str:
    known = (seen.jobs or {}).get(worker.job)
    return _name(known) if known else plain(worker.job)[:8] or "-"


def _clients(clients: Sequence[messages.ClientState], most: int) -> RenderableType:
    if not clients:
        return Text("No client is connected", _ASIDE)
    table = _table("Client", "guest", "last heard")
    for client in clients[:most]:
        heard = "now" if client.silent_seconds < 3 else f"{duration(client.silent_seconds)} ago"
        table.add_row(Text(plain(client.name) or "-"), Text(plain(client.guest) or "-"), Text(heard))
    more = len(clients) - most
    return Group(table, Text(f"and {more} more", _ASIDE)) if more > 0 else table


def _count(seen: Seen) -> Text:
    if seen.jobs is None:
        return Text("Jobs", _HEADING)
    states = ("running", "waiting", "done", "failed", "cancelled")
    counted = [(state, sum(job.state == state for job in seen.jobs.values())) for state in states]
    words = ", ".join(f"{count:,} {state}" for state, count in counted if count)
    return _line(("Jobs", _HEADING), (f"   {words or 'none'}", ""))


def _jobs(seen: Seen, width: int, rows: int) -> RenderableType:
    """Those that run; of those that wait and have ended as many as there is room for."""
    running, waiting = seen.of_state("running"), seen.of_state("waiting")
    ended = seen.of_state(*_ENDED_COLOURS)
    shown_running = running[: max(rows - 2, 1)]
    left = max(rows - sum(1 + bool(job.remark) for job in shown_running), 0)
    shown_ended = ended[: max(min(_MOST_ENDED, left), left - len(waiting) - 1)]
    shown_waiting = waiting[: max(left - len(shown_ended) - 1, 0)]
    table = _JobTable(width, [*shown_running, *shown_waiting, *shown_ended])
    for job in shown_running:
        table.add(Text(">", "bold green"), job, _progress(job, width < NARROW))
    for number, job in enumerate(shown_waiting, 1):
        table.add(Text(str(job.place or number)), job, _wait(job))
    if len(waiting) > len(shown_waiting):
        table.add(Text(), None, Text(f"and {len(waiting) - len(shown_waiting):,} more wait", _ASIDE))
    for job in shown_ended:
        table.add(Text(), job, _end(job))
    return table.grid


class _JobTable:
    """Place, name, guest where there are any and room for them, and how it stands: the rest of the line."""

    def __init__(self, width: int, jobs: Sequence[messages.JobState]):
        names = max((len(_name(job)) for job in jobs), default=0)
        guests = max((len(job.guest) for job in jobs), default=0)
        self._with_guests = guests > 0 and width >= NARROW
        self.grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        self.grid.add_column(justify="right", no_wrap=True, width=4 if len(jobs) > 99 else 2)
        self.grid.add_column(no_wrap=True, overflow="ellipsis", width=min(max(names, 4), width // 3))
        if self._with_guests:
            self.grid.add_column(no_wrap=True, overflow="ellipsis", width=min(guests, 16))
        self.grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)

    def add(self, mark: Text, job: messages.JobState | None, state: RenderableType) -> None:
        guest = [Text(plain(job.guest) if job else "", "cyan")] if self._with_guests else []
        self.grid.add_row(mark, Text(_name(job) if job else ""), *guest, state)


def _name(job: messages.JobState) -> str:
    return file_name(job.output) or file_name(job.panorama) or job.job[:8]


def _progress(job: messages.JobState, narrow: bool) -> RenderableType:
    left = f"{duration(job.seconds_left)} left" if job.seconds_left >= 0 else ""
    told = _line((f"{job.fraction:4.0%}  {plain(job.stage) or 'starts'}  {left}", ""))
    if narrow:
        return told
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(ProgressBar(total=1.0, completed=min(max(job.fraction, 0.0), 1.0), width=16), told)
    remark = plain(job.remark)
    return Group(table, _line((remark, "yellow"))) if remark else table


def _wait(job: messages.JobState) -> Text:
    asked = f"waiting {duration(time.time() - job.asked_at)}" if job.asked_at else "waiting"
    return _line((asked, ""), (f"   priority {job.priority:+d}" if job.priority else "", "cyan"))


def _end(job: messages.JobState) -> Text:
    ago = f" {duration(time.time() - job.ended_at)} ago" if job.ended_at else ""
    took = ""
    if job.state == "done" and job.ended_at > job.started_at > 0:
        took = f", took {duration(job.ended_at - job.started_at)}"
    why = f": {plain(job.sentence)}" if job.sentence else ""
    return _line((job.state, _ENDED_COLOURS[job.state]), (f"{ago}{took}{why}", ""))
