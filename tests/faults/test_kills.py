"""Whatever is killed, and whenever: every job that was accepted ends, with the scene of an undisturbed run."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
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

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc"),
    pytest.mark.timeout(1200),
]

TWICE = 5
"""Every so many kills the next follows while the job is being recovered."""


class Tally:
    """What was killed when, and what became of it."""

    def __init__(self):
        self.stages = Counter()
        self.endings = Counter()
        self.seconds: list[float] = []

    def __str__(self):
        stages = ", ".join(f"{stage} {count}" for stage, count in self.stages.most_common())
        endings = ", ".join(f"{ending} {count}" for ending, count in self.endings.most_common())
        return (
            f"{self.stages.total()} kills ({stages}); jobs: {endings}; "
            f"from kill to end {max(self.seconds):.1f} s at most"
        )


def wait_until_warm(artist: Artist) -> None:
    """Until the worker process of this run is there."""
    until(lambda: artist.client.state == "connected" and artist.client.welcome and artist.client.welcome.device)


def ended(artist: Artist, job: str, tally: Tally, undisturbed, killed_at: float, may_fail: tuple[str, ...] = ()):
    """It ends done and right, or with a reason that is allowed here."""
    ending = artist.ending(job)
    tally.seconds.append(time.monotonic() - killed_at)
    if isinstance(ending, messages.Failed):
        assert ending.code in may_fail, ending
        assert ending.sentence and ending.hint
        assert not artist.output(job).exists()
        tally.endings[f"failed ({ending.code})"] += 1
    else:
        assert isinstance(ending, messages.Done), ending
        assert_same_scene(artist.output(job), undisturbed.scene)
        tally.endings["done"] += 1


def test_the_worker_is_killed(times, figures, start, artist, folder, place, undisturbed):
    moments, tally = Random(1), Tally()
    backend = start()
    jobs = [f"job{number}" for number in range(times(50))]
    for number, job in enumerate(jobs):
        task = undisturbed[number % len(undisturbed)]
        wait_until_warm(artist)
        empty_cache(folder)
        answer = artist.client.ask(artist.task(job, task.panorama, task.settings))
        time.sleep(moments.uniform(0, task.seconds))
        tally.stages[artist.stage(job)] += 1
        killed_at = time.monotonic()
        backend.kill_worker()
        if number % TWICE == TWICE - 1:
            time.sleep(moments.uniform(0, 2 * task.seconds))
            tally.stages[f"again in {artist.stage(job)}"] += 1
            backend.kill_worker()
        answer.wait(120)
        may_fail = ("worker-died",) if number % TWICE == TWICE - 1 else ()
        ended(artist, job, tally, task, killed_at, may_fail)
    backend.stop()
    assert_nothing_is_left(folder, place, jobs)
    figures(tally)


def test_the_server_is_killed(times, figures, start, artist, folder, place, undisturbed):
    moments, tally = Random(2), Tally()
    backend = start()
    jobs = [f"job{number}" for number in range(times(50))]
    for number, job in enumerate(jobs):
        task = undisturbed[number % len(undisturbed)]
        wait_until_warm(artist)
        empty_cache(folder)
        answer = artist.client.ask(artist.task(job, task.panorama, task.settings))
        time.sleep(moments.uniform(0, task.seconds))
        tally.stages[artist.stage(job)] += 1
        killed_at = time.monotonic()
        backend.kill()
        backend = start()
        if number % TWICE == TWICE - 1:
            time.sleep(moments.uniform(0, 3 * task.seconds))
            tally.stages[f"again in {artist.stage(job)}"] += 1
            backend.kill()
            backend = start()
        answer.wait(120)
        ended(artist, job, tally, task, killed_at)
    backend.stop()
    assert_nothing_is_left(folder, place, jobs)
    figures(tally)


def test_the_client_is_killed(times, figures, start, artist, folder, place, undisturbed, tmp_path):
    """Its jobs go on. When it asks again under the same names, it is given the same jobs and their ends."""
    moments, tally = Random(3), Tally()
    backend = start()
    wait_until_warm(artist)
    rounds = times(50)
    seconds = 1.0 + 2 * undisturbed[0].seconds  # Python's start too
    for number in range(rounds):
        empty_cache(folder)
        jobs = {f"job{number}-{each}": task for each, task in enumerate(undisturbed)}
        asked = [artist.task(job, task.panorama, task.settings) for job, task in jobs.items()]
        requests = tmp_path / "requests.json"
        requests.write_bytes(msgspec.json.encode(asked))
        said = kill_client(folder, requests, moments.uniform(0, seconds))
        tally.stages[said[-1].split()[0] if said else "before anything was accepted"] += 1
        killed_at = time.monotonic()
        accepted = {line.split()[1] for line in said if line.startswith("accepted")}
        known = artist.jobs()
        assert accepted <= set(known)
        with Artist(folder, place) as next_one:
            for job, task in jobs.items():
                next_one.request(next_one.task(job, task.panorama, task.settings))
            for job, task in jobs.items():
                ended(next_one, job, tally, task, killed_at)
    backend.stop()
    names = [row["name"] for row in journal_rows(folder)]
    assert len(names) == len(set(names)) == rounds * len(undisturbed)
    log = backend.log()
    assert [name for name in names if log.count(f"Job {name} starts") != 1] == []  # none was made twice
    assert_nothing_is_left(folder, place, names)
    figures(tally)


def kill_client(folder: Path, requests: Path, seconds: float) -> list[str]:
    """Let it run for so long; returns what it said until then."""
    command = [sys.executable, str(HERE / "client_process.py"), str(folder), str(requests)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        time.sleep(seconds)
        client.kill()
        assert client.stdout
        return client.stdout.read().splitlines()
