"""How much is tried, the figures that were measured, and a scene that nothing disturbed."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.settings import PanoramaTo4D

from .backends import Artist, Backend, empty_cache, until

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def times(request):
    """``times(50)``: so many of the 50 of a full run as ``--faults`` asks for, at least one."""
    share = request.config.getoption("--faults")
    return lambda full: max(1, math.ceil(full * share))


@pytest.fixture
def figures(request):
    """``figures("p99 3 ms")``: a line about this test, at the end of the run."""
    told = request.config.stash.setdefault(_FIGURES, [])
    return lambda line: told.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter, config):
    told = config.stash.get(_FIGURES, [])
    if told:
        terminalreporter.section("figures")
        for line in told:
            terminalreporter.write_line(line)


@dataclass(frozen=True)
class Undisturbed:
    """A job that nothing happened to.

    Attributes:
        scene: what it made.
        seconds: from asking to its end, of a warm worker whose cache was empty.
    """

    panorama: Path
    settings: PanoramaTo4D
    scene: Path
    seconds: float


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> tuple[Undisturbed, ...]:
    """The jobs of these tests, each different in how it lifts."""
    place = tmp_path_factory.mktemp("undisturbed")
    panorama = place / "panorama.png"
    write_panorama(panorama)
    backend = Backend(place / "backend")
    made = []
    with Artist(backend.folder, place) as artist:
        until(lambda: artist.client.welcome and artist.client.welcome.device)
        for lift in ("direct", "fast"):
            settings = PanoramaTo4D(frames=2, lift=lift, compression="small" if lift == "fast" else "none")
            for job in (f"{lift}-cold", lift):
                empty_cache(backend.folder)
                began = time.monotonic()
                artist.request(artist.task(job, panorama, settings))
                ending = artist.ending(job)
                assert isinstance(ending, messages.Done), ending
            made.append(Undisturbed(panorama, settings, artist.output(lift), time.monotonic() - began))
    backend.stop()
    return tuple(made)


def write_panorama(path: Path, seed: int = 0) -> None:
    """Sky, horizon and ground, 128 x 64."""
    noise = np.random.default_rng(seed).integers(-20, 20, (64, 128, 3))
    picture = np.where(np.arange(64)[:, None, None] < 32, (230, 160, 90), (40, 90, 60))
    cv2.imwrite(str(path), np.clip(picture + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    """The backend's."""
    return tmp_path / "backend"


@pytest.fixture
def place(tmp_path):
    """Where scenes go."""
    place = tmp_path / "scenes"
    place.mkdir()
    return place


@pytest.fixture
def start(folder):
    """Starts backends in ``folder``, and waits until clients can come; those that still run are stopped in the end."""
    started: list[Backend] = []

    def start(*args, **more) -> Backend:
        started.append(Backend(folder, *args, **more))
        assert started[-1].line, started[-1].errors.read_text()
        return started[-1]

    yield start
    for backend in started:
        if backend.process.poll() is None:
            backend.stop()


@pytest.fixture
def artist(folder, place):
    """A client on the backend's own computer."""
    with Artist(folder, place) as artist:
        yield artist
