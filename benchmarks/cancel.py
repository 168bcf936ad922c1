"""How soon a job stops that is cancelled: from Cancel sent to Cancelled received, at a random moment of each stage.

    .venv/bin/python benchmarks/cancel.py [PANORAMA] [--width 1024] [--lifts direct fast] [--rounds 5] [--seed 0]

Starts a backend of its own, without a stage cache, in a temporary folder, lets one job run to its end to learn how long
each stage takes, and then cancels others in every stage. "start" is before the first stage; "deaf" is a job that never
looks whether it shall stop, so that its worker process is killed. Promised are 0.5 s on the processor.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

from cyclorama.bridge import messages
from cyclorama.bridge.client import Client
from cyclorama.bridge.settings import PanoramaTo4D
from cyclorama.bridge.whole_folder import partial_path

PROMISED_SECONDS = 0.5

_CITY = Path(__file__).parents[1] / "presets" / "panoramas" / "city.exr"
_PATIENCE_SECONDS = 600.0
_SERVE = """
import sys
from pathlib import Path
from cyclorama.backend.server.serve import serve
serve(Path(sys.argv[1]), watch_stdin=True, worker_command=sys.argv[2:], cache_gb=0)
"""
_DEAF = """
import time
from cyclorama.backend.server import worker
from cyclorama.bridge.settings import PanoramaTo4D
def play(panorama, output, settings, report, **_):
    report("deaf", 0, 1)
    while True:
        time.sleep(1)
worker.main({PanoramaTo4D: lambda: worker.Recipe(play, lambda settings: {"deaf": 1.0})})
"""
_REAL = "from cyclorama.backend.server.worker import main; main()"

Ended = messages.Done | messages.Failed | messages.Cancelled


class Jobs:
    """A client that starts jobs and stops them."""

    def __init__(self, client: Client, panorama: Path, folder: Path):
        self._client, self._panorama, self._folder = client, panorama, folder
        self._count = 0

    def start(self, settings: PanoramaTo4D) -> str:
        """Its name."""
        self._count += 1
        job = f"job{self._count}"
        output = self.output(job)
        self._client.request(
            messages.Generate(job=job, panorama=str(self._panorama), output=str(output), settings=settings), 60
        )
        return job

    def output(self, job: str) -> Path:
        """Where its scene is made."""
        return self._folder / f"{job}.cyclorama"

    def until(self, job: str, true: Callable[[messages.AnyEvent], bool]) -> messages.AnyEvent:
        """The first event of the job for which it is true."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for event in self._client.drain():
                of = event.state.job if isinstance(event, messages.Changed) else getattr(event, "job", "")
                if of == job and isinstance(event, messages.Event) and true(event):
                    return event  # pyright: ignore[reportReturnType]
            time.sleep(0.001)
        raise SystemExit(f"{job} did not get on for {_PATIENCE_SECONDS:.0f} s")

    def cancelled_within(self, job: str) -> float | None:
        """Seconds; None where the job had ended already."""
        sent = time.monotonic()
        self._client.send(messages.Cancel(job=job))
        ended = self.until(job, lambda event: isinstance(event, Ended))
        took = time.monotonic() - sent
        if isinstance(ended, messages.Cancelled) and (
            self.output(job).exists() or partial_path(self.output(job)).exists()
        ):
            raise SystemExit(f"{job} was cancelled and left something")
        return took if isinstance(ended, messages.Cancelled) else None


def main() -> None:
    """Print a line for each stage."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("panorama", type=Path, nargs="?", default=_CITY)
    asked.add_argument("--width", type=int, default=1024)
    asked.add_argument("--lifts", nargs="+", choices=("direct", "fast"), default=["direct", "fast"])
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    moments = random.Random(options.seed)
    print(f"{'stage':22}{'rounds':>8}{'median s':>10}{'longest s':>11}   (promised: {PROMISED_SECONDS} s)")
    with backend(_DEAF) as (client, folder):
        jobs = Jobs(client, options.panorama.absolute(), folder)
        tell("deaf", [cancelled_in(jobs, PanoramaTo4D(), "deaf", 0.0) for _ in range(options.rounds)])
    with backend(_REAL) as (client, folder):
        jobs = Jobs(client, options.panorama.absolute(), folder)
        for lift in options.lifts:
            settings = PanoramaTo4D(width=options.width, estimator="skyline", lift=lift)
            job = jobs.start(settings)
            done = jobs.until(job, lambda event: isinstance(event, Ended))
            if not isinstance(done, messages.Done):
                raise SystemExit(f"{job} did not end well: {done}")
            for stage, seconds in {"start": 0.0, **done.seconds}.items():
                waits = [moments.uniform(0, seconds) for _ in range(options.rounds)]
                tell(f"{lift}: {stage}", [cancelled_in(jobs, settings, stage, wait) for wait in waits])


def cancelled_in(jobs: Jobs, settings: PanoramaTo4D, stage: str, wait: float) -> float | None:
    """Cancel a new job ``wait`` seconds after the stage began. Seconds it took; None where it had ended already."""
    job = jobs.start(settings)
    if stage == "start":
        jobs.until(job, lambda event: isinstance(event, messages.Changed) and event.state.state == "running")
    else:
        jobs.until(job, lambda event: isinstance(event, messages.Progress) and event.stage == stage)
    time.sleep(wait)
    return jobs.cancelled_within(job)


def tell(stage: str, took: Sequence[float | None]) -> None:
    """A line of the table."""
    counted = [seconds for seconds in took if seconds is not None]
    if not counted:
        print(f"{stage:22}{0:8}   (always over before it could be cancelled)", flush=True)
        return
    note = "   TOO LONG" if max(counted) > PROMISED_SECONDS else ""
    print(f"{stage:22}{len(counted):8}{statistics.median(counted):10.3f}{max(counted):11.3f}{note}", flush=True)


@contextmanager
def backend(worker: str):
    """A client of a backend with such a worker, and a folder for scenes."""
    with tempfile.TemporaryDirectory(prefix="cyclorama-cancel-") as place:
        folder, scenes = Path(place) / "backend", Path(place) / "scenes"
        scenes.mkdir()
        command = [sys.executable, "-P", "-c", _SERVE, str(folder), sys.executable, "-P", "-c", worker]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            try:
                with Client(folder, name="benchmark") as client:
                    client.request(messages.Status(), 60)
                    yield client, scenes
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
