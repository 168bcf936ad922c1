"""A backend to measure, with a stand-in for its worker, and clients of it in processes of their own.

For ``wire.py`` and ``wire_answers.py``; does nothing by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cyclorama.backend.server.guests import Guests, write_invitation
from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Address
from cyclorama.bridge.client import Client
from cyclorama.bridge.gaussians import COLUMNS, Gaussians
from cyclorama.bridge.scene import Generator, Scene
from cyclorama.bridge.scene_writer import SceneWriter
from cyclorama.bridge.settings import PanoramaTo4D

SERVE = """
import sys
from pathlib import Path
from cyclorama.backend.server.serve import serve
folder, port, script = sys.argv[1:]
command = [sys.executable, script, "worker"]
serve(Path(folder), int(port), watch_stdin=True, listen="127.0.0.1", worker_command=command)
"""
FILES = 100
"""The scene consists of."""

PATIENCE_SECONDS = 300

spawned = multiprocessing.get_context("spawn")


class Backend:
    """A server process with a guest; its memory is looked at all the time."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-c", SERVE, str(folder), str(port), __file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout and self.process.stdout.readline(), "the server does not start"
        self.invitation = folder / "invitation.json"
        write_invitation(self.invitation, Guests(folder).invite("anna", "127.0.0.1", port))
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        watched = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            self.peak = max(self.peak, self.memory(watched))
            time.sleep(0.01)

    def memory(self, watched: psutil.Process | None = None) -> int:
        """Bytes it takes now."""
        try:
            return (watched or psutil.Process(self.process.pid)).memory_info().rss
        except psutil.Error:
            return 0

    def work(self) -> float:
        """CPU seconds it has taken."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def client(self, guest: bool = False) -> Client:
        """A new one, by our own door or as the guest."""
        return open_client(self.folder, self.invitation if guest else None)

    def end(self) -> None:
        """Wait until it has."""
        self.process.terminate()
        self.process.wait()


def open_client(folder: Path, invitation: Path | None) -> Client:
    """By our own door, or by the guests'."""
    if invitation is None:
        return Client(folder)
    return Client(folder / "none", address=Address.from_invitation(invitation))


@contextmanager
def served(folder: Path) -> Iterator[Backend]:
    """As long as the context lasts."""
    backend = Backend(folder)
    try:
        yield backend
    finally:
        backend.end()


def write_scene(output: Path, size: int) -> None:
    """Of ``FILES`` files of random bytes."""
    block = os.urandom(1 << 24)

    def fill(path: Path) -> None:
        left = size // FILES
        with path.open("wb") as file:
            while left:
                left -= file.write(block[:left])

    with SceneWriter(output) as writer:
        writer.static(Gaussians(*(np.full((1, count), 0.5, np.float32) for count in COLUMNS.values())))
        for index in range(FILES):
            writer.file(f"video/{index:06d}.exr", fill)
        writer.file("preview.webp", lambda path: path.touch())
        generator = Generator("benchmark", "0", "none", {})
        writer.finish(generator=generator, seed=0, frame_rate=25.0, frame_count=FILES, loops=True)


def make(backend: Backend, folder: Path, made: Path, guest: bool) -> None:
    """Let the stand-in for the worker make a scene out of the one that was made: by links, so it takes no room."""
    job = name_of(guest)
    with backend.client(guest) as client:
        panorama = folder / f"{job}.exr"
        panorama.write_text(str(made))
        asked = messages.Generate(
            job=job, panorama=str(panorama), output=str(folder / f"{job}.cyclorama"), settings=PanoramaTo4D()
        )
        client.request(transfer.upload(client, asked) if guest else asked)
        until(lambda: state_of(client, job) == "done")


def state_of(client: Client, job: str) -> str:
    """Of a job; "" where it is not known."""
    reply = client.request(messages.Status(job=job))
    return reply.jobs[0].state if isinstance(reply, messages.Jobs) and reply.jobs else ""


def name_of(guest: bool) -> str:
    """Of the job that makes the scene."""
    return "guest" if guest else "own"


@contextmanager
def busy(do: Callable, *arguments) -> Iterator[None]:
    """While a process does something for ever."""
    ready = spawned.Event()
    process = spawned.Process(target=do, args=(ready, *arguments))
    process.start()
    try:
        assert ready.wait(60), "it does not get ready"
        yield
    finally:
        process.kill()
        process.join()


def in_process(do: Callable, *arguments) -> Any:
    """What ``do`` returns in a process of its own, whose memory nothing else has used; None if it was killed."""
    answers = spawned.Queue()
    process = spawned.Process(target=answered, args=(answers, do, arguments))
    process.start()
    process.join(PATIENCE_SECONDS)
    return answers.get() if process.exitcode == 0 else None


def answered(answers: multiprocessing.Queue, do: Callable, arguments: tuple) -> None:
    """In the process: hand back what ``do`` returns."""
    answers.put(do(*arguments))


def until(true: Callable[[], object]) -> None:
    """Look again and again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


def link_scene(panorama: Path, output: Path, settings, report, **_) -> None:
    """The worker's recipe: the scene whose path the panorama holds; or nothing, for ever."""
    for step in range(1 << 30):
        report("write", step, 1 << 30)
        if panorama.is_file():
            break
        time.sleep(0.05)
    made = Path(panorama.read_text())
    for path in made.rglob("*"):
        if path.is_file():
            (output / path.relative_to(made)).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, output / path.relative_to(made))
    Scene(output)


if __name__ == "__main__" and sys.argv[1:] == ["worker"]:
    from cyclorama.backend.server import worker

    worker.main({PanoramaTo4D: lambda: worker.Recipe(link_scene, lambda settings: {"write": 1.0})})
