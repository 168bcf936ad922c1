"""Disks that are full or closed to us: a sentence that says so, and all is well once there is room."""

import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError

from .backends import (
    TOY_WORKER,
    Artist,
    Backend,
    assert_nothing_is_left,
    assert_same_scene,
    journal_rows,
    temporary_files,
    until,
)

KB, MB = 1 << 10, 1 << 20
OUT_OF_ROOM = ("disk-full", "output-not-writable")


def mounted(*arguments: str | Path) -> None:
    """Skips where that cannot be done."""
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"NO DISK CAN BE MOUNTED ({done.stderr.strip()}); as root, or under `unshare -Urm`, it can")


@pytest.fixture
def disk():
    """``disk(path, size)``: ``path`` is a disk of its own that holds so many bytes; another size: it is changed."""
    disks: list[Path] = []

    def disk(path: Path, size: int) -> Path:
        path.mkdir(exist_ok=True)
        again = ("-o", f"remount,size={size}") if path in disks else ("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
        mounted(*again, path)
        disks.append(path)
        return path

    yield disk
    for path in set(disks):
        subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def start(disk, start):
    """Backends end before their disks do."""
    return start


@contextmanager
def closed(folder: Path):
    """Nobody can write there, not even root."""
    mounted("--bind", folder, folder)
    try:
        mounted("-o", "remount,bind,ro", folder)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Leaves no byte; returns the file that takes them."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(KB))
    return ballast


def failure(artist: Artist, job: str) -> messages.Failed:
    """It fails, and says why and what to do."""
    ending = artist.ending(job)
    assert isinstance(ending, messages.Failed), ending
    assert ending.sentence and ending.hint
    return ending


@pytest.mark.parametrize("room", [64 * KB, 200 * KB, 400 * KB])
@pytest.mark.parametrize("when", ["before it starts", "while it runs"])
def test_the_output_s_disk_is_full(when, room, start, artist, folder, place, disk, undisturbed, figures):
    """So much is left of it: found at the start, or anywhere in writing."""
    task = undisturbed[0]
    disk(place, room if when == "before it starts" else 20 * MB)
    backend = start()
    artist.request(artist.task("job", task.panorama, task.settings))
    if when == "while it runs":
        until(lambda: artist.events(messages.Progress, "job"))
        disk(place, room)
    failed = failure(artist, "job")
    assert failed.code in OUT_OF_ROOM
    assert list(place.iterdir()) == []
    disk(place, 20 * MB)
    artist.heard.clear()
    artist.request(messages.Retry(job="job"))
    assert isinstance(artist.ending("job"), messages.Done)
    assert_same_scene(artist.output("job"), task.scene)
    backend.stop()
    assert_nothing_is_left(folder, place, ["job"])
    figures(f"{failed.code}: {failed.sentence} {failed.hint}")


@pytest.mark.parametrize("size", [16 * KB, 128 * KB])
def test_the_cache_s_disk_is_full(size, start, artist, folder, place, disk, undisturbed):
    """The job goes on without."""
    task = undisturbed[0]
    folder.mkdir()
    disk(folder / "cache", size)
    backend = start()
    for job in ("job", "another"):
        artist.request(artist.task(job, task.panorama, task.settings))
        assert isinstance(artist.ending(job), messages.Done)
        assert_same_scene(artist.output(job), task.scene)
    backend.stop()
    assert_nothing_is_left(folder, place, ["job", "another"])


def test_the_backend_s_own_disk_is_full(start, artist, folder, place, disk, undisturbed, figures):
    """What it cannot write down it does not accept; what it has accepted is there after the next start."""
    task = undisturbed[0]
    disk(folder, 8 * MB)
    backend = start((str(TOY_WORKER),))
    artist.request(artist.task("running", "/toys/patient"))
    until(lambda: artist.events(messages.Progress, "running"))
    ballast = fill(folder)
    accepted, refused = [], []
    for number in range(100):
        try:
            artist.request(artist.task(f"job{number}", task.panorama, task.settings))
            accepted.append(f"job{number}")
        except CycloramaError as error:
            refused.append(error)
    assert refused and {error.code for error in refused} <= {"journal-not-writable", "disk-full"}
    (place / "go on").touch()
    assert isinstance(artist.ending("running"), messages.Done)
    assert set(artist.jobs()) == {"running", *accepted}
    backend.kill()
    ballast.unlink()
    backend = start()
    assert {"running", *accepted} == set(artist.jobs())
    artist.request(artist.task("with-room", task.panorama, task.settings))
    for job in ("with-room", *accepted):
        assert isinstance(artist.ending(job), messages.Done)
        assert_same_scene(artist.output(job), task.scene)
    backend.stop()
    (place / "go on").unlink()
    assert_nothing_is_left(folder, place, ["running", "with-room", *accepted])
    figures(f"{len(accepted)} jobs accepted, {len(refused)} refused: {refused[0].sentence} {refused[0].hint}")


def test_a_job_that_runs_when_the_backend_s_disk_gets_full_is_done_and_others_wait_for_room(
    start, artist, folder, place, disk, undisturbed, figures
):
    """Neither what it would keep nor what it would log stops it; what waits, goes on by itself."""
    task = undisturbed[0]
    disk(folder, 8 * MB)
    backend = start()
    for job in ("running", "waiting"):
        artist.request(artist.task(job, task.panorama, task.settings))
    until(lambda: artist.events(messages.Progress, "running"))
    ballast = fill(folder)
    ending = artist.ending("running")
    assert isinstance(ending, messages.Done), ending
    waits = until(lambda: artist.jobs()["waiting"])
    ballast.unlink()
    assert isinstance(artist.ending("waiting"), messages.Done)
    for job in ("running", "waiting"):
        assert_same_scene(artist.output(job), task.scene)
    backend.stop()
    assert_nothing_is_left(folder, place, ["running", "waiting"])
    figures(f"the other one meanwhile: {waits.state}. {waits.remark}")


def test_a_backend_is_not_started_on_a_full_disk_or_says_so(folder, place, disk, figures):
    disk(folder, 256 * KB)
    ballast = fill(folder)
    backend = Backend(folder, (str(TOY_WORKER),))
    if backend.line:
        backend.stop()
    else:
        backend.process.wait(30)
        said = backend.errors.read_text()
        assert said.startswith("folder-not-usable: ") and "Traceback" not in said
        figures(said.strip())
    ballast.unlink()
    backend = Backend(folder, (str(TOY_WORKER),))
    assert backend.line
    with Artist(folder, place) as artist:
        artist.request(artist.task("job", "/toys/quick"))
        assert isinstance(artist.ending("job"), messages.Done)
    backend.stop()
    assert_nothing_is_left(folder, place, ["job"])


def test_a_backend_says_that_its_folder_is_read_only(folder, start, figures):
    start((str(TOY_WORKER),)).stop()
    before = journal_rows(folder)
    with closed(folder):
        backend = Backend(folder, (str(TOY_WORKER),))
        assert not backend.line
        backend.process.wait(30)
    said = backend.errors.read_text()
    assert said.startswith("folder-not-usable: ") and "Traceback" not in said
    assert journal_rows(folder) == before
    figures(said.strip())


def test_an_output_s_folder_is_read_only(start, artist, folder, place, undisturbed):
    task = undisturbed[0]
    start()
    with closed(place):
        artist.request(artist.task("job", task.panorama, task.settings))
        assert failure(artist, "job").code == "output-not-writable"
    artist.heard.clear()
    artist.request(messages.Retry(job="job"))
    assert isinstance(artist.ending("job"), messages.Done)
    assert temporary_files(folder, place) == []
