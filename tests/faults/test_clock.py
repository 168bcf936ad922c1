"""The clock jumps by ten years, back or forth: jobs keep their order and their ends, and kept stages count."""

import time
from random import Random

import pytest

from cyclorama.bridge import messages

from .backends import (
    HERE,
    Artist,
    assert_nothing_is_left,
    assert_same_scene,
    empty_cache,
    journal_rows,
    until,
)

WORKER = (str(HERE / "worker_with_wrong_clock.py"),)
TEN_YEARS = 10 * 365.25 * 24 * 3600.0


@pytest.fixture
def clock(tmp_path):
    """Sets by how many seconds it is wrong."""
    file = tmp_path / "wrong by"
    file.write_text("0")

    def set_to(seconds: float) -> None:
        new = file.with_name("new")
        new.write_text(str(seconds))
        new.replace(file)

    set_to.file = file
    return set_to


def asked(artist: Artist, names: list[str], undisturbed) -> None:
    for name in names:
        artist.request(artist.task(name, undisturbed.panorama, undisturbed.settings))


def is_warm(artist: Artist) -> bool:
    return artist.client.state == "connected" and bool(artist.client.welcome and artist.client.welcome.device)


@pytest.mark.timeout(600)
def test_jobs_end_right_and_in_their_order_whatever_the_clock_says(
    times, figures, start, artist, folder, place, clock, undisturbed
):
    """It jumps while a job runs, while others wait, and while nobody runs because all was killed."""
    random, jumps, years, killed = Random(6), 0, [], 0
    task = undisturbed[0]
    backend = start(WORKER, clock=clock.file)
    names: list[str] = []
    for number in range(max(2, times(24))):
        until(lambda: is_warm(artist))
        new = [f"job{number}-{each}" for each in range(2)]
        empty_cache(folder)
        asked(artist, new, task)
        names += new
        time.sleep(random.uniform(0, 1.5 * task.seconds))
        jump = (TEN_YEARS, -TEN_YEARS, 0.0)[number % 3]
        if number % 2:
            backend.kill()
            killed += 1
        clock(jump)
        jumps, years = jumps + 1, [*years, jump]
        if number % 2:
            backend = start(WORKER, clock=clock.file)
        endings = [artist.ending(name) for name in new]
        assert all(isinstance(ending, messages.Done) for ending in endings), endings
        for name in new:
            assert_same_scene(artist.output(name), task.scene)
        assert list(artist.jobs()) == names
    backend.stop()
    made = sorted(names, key=lambda name: artist.output(name).stat().st_mtime_ns)  # by the clock that is right
    assert made == names
    assert [row["name"] for row in journal_rows(folder)] == names
    assert_nothing_is_left(folder, place, names)
    figures(f"{jumps} jumps by ten years, at {killed} of them the server was killed; {len(names)} jobs done, in order")


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS], ids=["forth", "back"])
def test_stages_that_were_kept_are_found_in_another_year(jump, start, artist, clock, undisturbed):
    task = undisturbed[0]
    backend = start(WORKER, clock=clock.file)
    asked(artist, ["before"], task)
    assert isinstance(artist.ending("before"), messages.Done)
    clock(jump)
    asked(artist, ["after"], task)
    while_running = artist.ending("after")
    backend.stop()
    start(WORKER, clock=clock.file)
    asked(artist, ["later"], task)
    later = artist.ending("later")
    assert while_running.reused == later.reused != ()
    assert_same_scene(artist.output("later"), task.scene)
