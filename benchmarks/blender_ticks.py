"""How long Blender's main thread is held by the add-on's timer, with nothing to hear and with 1000 messages waiting.

    .venv-blender/bin/python benchmarks/blender_ticks.py

A stand-in backend in another thread knows 200 jobs, all that a backend remembers. Printed, in milliseconds, median and
longest of many calls of ``link.drain``:

    nothing       connected, nothing was said
    progress      of a job that runs, one step
    1000 messages jobs that change, all at once
    silent        the backend does not answer any more
    leave         the add-on is switched off, connected
    start         another backend is started as a process (which ends at once: it is not installed)
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the tests' stand-in

ROUNDS = 200
JOBS = 200
MESSAGES = 1000
BATCH = 200


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp())
    os.environ["CYCLORAMA_FOLDER"] = str(folder / "backend")
    os.environ.setdefault("CYCLORAMA_BACKEND_PYTHON", sys.executable)  # it fails to start, which is not measured

    import cyclorama
    from cyclorama.addon import link
    from cyclorama.addon.link import session
    from cyclorama.bridge import messages
    from tests.addon.stand_in import StandIn

    bpy.ops.wm.read_factory_settings(use_empty=True)
    cyclorama.register()
    jobs = [messages.JobState(job=f"j{number}", state="done", asked_at=number + 1.0) for number in range(JOBS)]
    backend = StandIn(folder / "backend", *jobs)
    link.start_backend()
    while len(link.jobs()) < JOBS:
        link.drain()
    backend.put("busy", "running")

    def calls(prepare=lambda number: None, rounds=ROUNDS) -> list[float]:
        taken = []
        for number in range(rounds):
            prepare(number)
            started = time.perf_counter()
            link.drain()
            taken.append((time.perf_counter() - started) * 1e3)
        return taken

    def progress(number: int) -> None:
        backend.tell(
            messages.Progress(job="busy", stage="animate", step=number, total=ROUNDS, fraction=number / ROUNDS)
        )
        time.sleep(0.01)

    def many(_number: int) -> None:
        inbox = session._backend.client._inbox  # pyright: ignore[reportOptionalMemberAccess]
        for sent in range(0, MESSAGES, BATCH):  # more at once than ZeroMQ queues would be dropped
            backend.tell(*(messages.Changed(state=jobs[number % JOBS]) for number in range(BATCH)))
            while len(inbox) < sent + BATCH:
                time.sleep(0.01)

    print_row("nothing", calls())
    print_row("progress", calls(progress))
    print_row(f"{MESSAGES} messages", calls(many, 10))
    leave = timed(cyclorama.unregister)
    cyclorama.register()
    link.start_backend()
    while link.backend_state() != "running":
        link.drain()
    backend.close(leave_address=True)
    print_row("silent", calls(lambda _number: time.sleep(0.01)))
    print_row("leave", [leave])
    cyclorama.unregister()
    os.environ["CYCLORAMA_FOLDER"] = str(folder / "another")
    cyclorama.register()
    link.start_backend()
    print_row("start", calls(lambda _number: time.sleep(0.01), 50))
    cyclorama.unregister()


def timed(call) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def print_row(name: str, taken: list[float]) -> None:
    """One line."""
    print(f"{name:14} {median(taken):8.3f} {max(taken):8.3f} ms")


if __name__ == "__main__":
    main()
