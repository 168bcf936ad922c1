"""How long Blender's main thread is held by the add-on's timer, with nothing to hear and with 1000 events waiting.

    .venv-blender/bin/python benchmarks/blender_ticks.py

A stand-in backend in another thread knows 1200 jobs, all that a backend has at most: 1000 that wait and 200 that ended;
the open file remembers 100 of them. Printed, in milliseconds: median and longest turn (a call of ``link.drain``), the
most that a turn computed (what others on this machine do is not in that), and in how many turns all was taken in:

    nothing       connected, nothing was said
    progress      of a job that runs, one step
    list          the backend's list of 1200 jobs, new to us
    1000 events   each of another job, all there before the first turn
    arriving      the same, taken in while they arrive
    silent        the backend does not answer any more
    leave         the add-on is switched off, connected
    start         another backend is started as a process (which ends at once: it is not installed)
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the tests' stand-in

TURNS = 200
ROUNDS = 10
JOBS = 1200
WISHES = 100
EVENTS = 1000
PAUSE_SECONDS = 0.01
"""Between two turns."""


class Turn(NamedTuple):
    """Milliseconds."""

    held: float
    """By the clock."""
    computed: float
    """In Blender's main thread."""


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp())
    os.environ["CYCLORAMA_FOLDER"] = str(folder / "backend")
    os.environ.setdefault("CYCLORAMA_BACKEND_PYTHON", sys.executable)  # it fails to start, which is not measured

    import cyclorama
    from cyclorama.addon import link
    from cyclorama.bridge import messages
    from tests.addon.stand_in import StandIn

    print(f"{'':14} {'median':>8} {'longest':>8} {'computed':>8}    turns")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    jobs = [_state(messages, number, "waiting" if number < EVENTS else "done") for number in range(JOBS)]
    backend = StandIn(folder / "backend", *jobs)

    def fraction_of(job: str) -> float:
        found = link.job_called(job)
        assert found
        return found.fraction

    def turns(until: Callable[[], bool], most: int = 1000) -> list[Turn]:
        taken = []
        while len(taken) < most and (not taken or not until()):
            taken.append(timed(link.drain))
            time.sleep(PAUSE_SECONDS)
        return taken

    lists = []
    for _ in range(ROUNDS):
        cyclorama.register()
        link.start_backend()
        time.sleep(0.5)  # until it is all there
        lists.append(turns(lambda: len(link.jobs()) == JOBS and link.jobs()[0].listed))
        if len(lists) < ROUNDS:
            cyclorama.unregister()
    print_row("list", lists)
    for number in range(WISHES):
        wish = bpy.context.scene.cyclorama_wishes.add()
        wish.name = jobs[number].job
    backend.put("busy", "running")
    turns(lambda: link.job_called("busy") is not None)
    gc.collect()
    print_row("nothing", [turns(lambda: False, TURNS)])

    def progress(number: int) -> list[Turn]:
        backend.tell(messages.Progress(job="busy", stage="animate", step=number, total=TURNS, fraction=number / TURNS))
        return turns(lambda: fraction_of("busy") == number / TURNS)

    print_row("progress", [[max(progress(number)) for number in range(1, TURNS)]])
    for name, wait in (("1000 events", 1.0), ("arriving", 0.0)):
        rounds = []
        for number in range(ROUNDS):
            fraction = (number + 1 + 100 * wait) / 1000
            changed = [_state(messages, job, "waiting", fraction) for job in range(EVENTS)]
            backend.tell(*(messages.Changed(state=state) for state in changed))
            time.sleep(wait)
            rounds.append(turns(lambda at=fraction: all(fraction_of(job.job) == at for job in jobs[:EVENTS])))
        print_row(name, rounds)
    leave = timed(cyclorama.unregister)
    cyclorama.register()
    link.start_backend()
    turns(lambda: link.backend_state() == "running")
    backend.close(leave_address=True)
    print_row("silent", [turns(lambda: False, TURNS)])
    print_row("leave", [[leave]])
    cyclorama.unregister()
    os.environ["CYCLORAMA_FOLDER"] = str(folder / "another")
    cyclorama.register()
    link.start_backend()
    print_row("start", [turns(lambda: False, 50)])
    cyclorama.unregister()


def _state(messages, number: int, state: str, fraction: float = 0.0):
    """A line of the list like a real one."""
    return messages.JobState(
        job=f"{number:032x}",
        state=state,
        fraction=fraction,
        panorama=f"/home/anna/pictures/panoramas/harbour {number}.exr",
        output=f"/home/anna/scenes/harbour {number}.cyclorama",
        asked_at=number + 1.0,
        seconds={"animate": 12.5, "depth": 3.25, "lift": 40.0} if state == "done" else {},
    )


def timed(call: Callable[[], object]) -> Turn:
    """What it took."""
    computed, started = time.thread_time(), time.perf_counter()
    call()
    return Turn((time.perf_counter() - started) * 1e3, (time.thread_time() - computed) * 1e3)


def print_row(name: str, rounds: list[list[Turn]]) -> None:
    """One line."""
    taken = [turn for turns in rounds for turn in turns]
    held = [turn.held for turn in taken]
    computed = max(turn.computed for turn in taken)
    print(f"{name:14} {median(held):8.3f} {max(held):8.3f} {computed:8.3f} ms {median(map(len, rounds)):5.0f}")


if __name__ == "__main__":
    main()
