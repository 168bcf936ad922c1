"""A backend process with a toy worker, and what a test asks of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cyclorama.backend.server.guests import Guests
from cyclorama.bridge import messages
from cyclorama.bridge.address import Address
from cyclorama.bridge.client import Client
from cyclorama.bridge.settings import PanoramaTo4D
from cyclorama.bridge.whole_folder import partial_path

SERVE = """
import sys
from pathlib import Path
from cyclorama.backend.server.device import Seat
from cyclorama.backend.server.serve import serve
folder, port, listen, worker, seats = sys.argv[1:]
command = [sys.executable, worker] if worker else ["/no such program"]
seats = [Seat(number) for number in range(int(seats))]
serve(Path(folder), int(port), watch_stdin=True, listen=listen, worker_command=command, seats=seats)
"""
TOY_WORKER = Path(__file__).with_name("toy_worker.py")


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()  # of no parent that reaps in a container


class Backend:
    """A server process, its folder, and a client of it. ``seats``: pretended devices."""

    def __init__(self, folder: Path, port: int = 0, worker: Path | str = TOY_WORKER, listen: str = "", seats: int = 1):
        self.folder = folder
        command = (sys.executable, "-c", SERVE, str(folder), str(port), listen, str(worker), str(seats))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout
        self.line = self.process.stdout.readline()
        self.guests_line = self.process.stdout.readline() if port or listen else ""

    @property
    def port(self) -> int:
        """By which guests come."""
        return int(self.guests_line.partition(";")[0].rpartition(" ")[2])

    def workers(self) -> list[int]:
        listed = self.folder / "workers"
        return [int(line) for line in listed.read_text().split()] if listed.exists() else []

    def runs(self) -> list[str]:
        listed = self.folder / "runs"
        return listed.read_text().split() if listed.exists() else []

    def log(self) -> str:
        return (self.folder / "backend.log").read_text()

    def end(self, how=signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(30)

    def wait_for_workers(self) -> None:
        """Until none is left."""
        until(lambda: not any(alive(worker) for worker in self.workers()))


class Asker:
    """A client that remembers all it heard, and names files in ``place``."""

    def __init__(self, folder: Path, place: Path, address: Address | None = None):
        self.client = Client(folder, address=address, silence=2)
        self.place = place
        self.heard: list = []

    def output(self, job: str) -> Path:
        return self.place / f"{job}.cyclorama"

    def partial(self, job: str) -> Path:
        return partial_path(self.output(job))

    def task(self, toy: str, job: str) -> messages.Generate:
        return messages.Generate(
            job=job, panorama=f"/toys/{toy}", output=str(self.output(job)), settings=PanoramaTo4D()
        )

    def request(self, message: messages.Request, seconds: float = 30) -> Any:
        return self.client.request(message, seconds)

    def generate(self, toy: str, job: str = "job") -> Any:
        return self.request(self.task(toy, job))

    def cancel(self, job: str = "job") -> Any:
        return self.request(messages.Cancel(job=job))

    def lines(self) -> dict[str, messages.JobState]:
        return {line.job: line for line in self.request(messages.Status()).jobs}

    def states(self) -> dict[str, str]:
        return {name: line.state for name, line in self.lines().items()}

    def told_states(self, job: str = "job") -> list[str]:
        """Of the job's events ``Changed``."""
        changes = [message.state for message in self.listen() if isinstance(message, messages.Changed)]
        return [state.state for state in changes if state.job == job]

    def listen(self) -> list:
        self.heard += self.client.drain()
        return self.heard

    def events(self, kind, job: str = "job") -> list:
        return [message for message in self.listen() if isinstance(message, kind) and message.job == job]

    def ending(self, job: str = "job"):
        """Wait for the event that ends a job."""
        kinds = (messages.Done, messages.Failed, messages.Cancelled)
        until(lambda: self.events(kinds, job))
        return self.events(kinds, job)[0]

    def wait_until_it_runs(self, job: str = "job") -> None:
        until(lambda: self.events(messages.Progress, job))
        assert self.partial(job).exists()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backend"


@pytest.fixture
def start(folder):
    """Starts backends in ``folder``; all are ended after the test, and no process is left."""
    started: list[Backend] = []

    def start(*args, **more) -> Backend:
        started.append(Backend(folder, *args, **more))
        return started[-1]

    yield start
    for backend in started:
        with backend.process:  # closes its pipes
            backend.end()
    for backend in started:
        backend.wait_for_workers()


@pytest.fixture
def backend(start):
    return start()


@pytest.fixture
def host(start):
    """A backend to which guests can come."""
    return start(listen="127.0.0.1")


@pytest.fixture
def invite(folder):
    """The address that a new guest of that name is given."""
    return lambda name, port: Guests(folder).invite(name, "127.0.0.1", port)


@pytest.fixture
def asker(folder, tmp_path):
    asker = Asker(folder, tmp_path)
    yield asker
    asker.client.close()
