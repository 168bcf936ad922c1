"""The power goes: files of the backend's folder then end early, or in zeros. What is told afterwards is true."""

import os
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from cyclorama.backend.server.guests import Guests
from cyclorama.backend.server.job import Job
from cyclorama.backend.server.journal import Journal
from cyclorama.bridge import messages
from cyclorama.bridge.settings import PanoramaTo4D

from .backends import Artist, Backend, assert_nothing_is_left, assert_same_scene, empty_cache, is_alive, until

JOURNAL = ("journal.sqlite", "journal.sqlite-wal")
NOT_HARMED = ("backend.log", "server.lock", "worker.lock", "journal.sqlite-shm", "keys.json", "address.json")
"""What holds nothing, is made anew by whoever opens the journal first, or has a test of its own."""


def harm(path: Path, random: Random) -> None:
    """What was written last is missing, or zeros."""
    size = path.stat().st_size
    kept = random.randint(0, size)
    with path.open("r+b") as file:
        file.truncate(kept)
        if random.random() < 0.5:
            file.truncate(size)  # the rest is zeros now


def told(journal: Journal) -> list[tuple]:
    """What it knows, in its order."""
    return [(job.name, job.state, job.starts, job.sentence) for job in journal.jobs()]


def filled_journal(folder: Path, random: Random) -> list[list[tuple]]:
    """A journal that nobody closed, of which a part is in its one file and the rest in the other.

    Returns all that it said after each change.
    """
    folder.mkdir()
    journal, jobs, history = Journal(folder), [], [[]]
    for number in range(60):
        if jobs and random.random() < 0.5:
            job = random.choice(jobs)
            match job.state:
                case "waiting":
                    job.state, job.starts = "running", job.starts + 1
                case "running":
                    job.end(messages.Failed(job=job.name, code="c", sentence="s" * random.randint(1, 2000)), 1.0)
                case _:
                    job.wait()
            journal.update(job)
        else:
            settings = PanoramaTo4D(prompt="p" * random.randint(0, 900))
            asked = messages.Generate(job=f"job{number}", panorama="/p", output=f"/o{number}", settings=settings)
            jobs.append(Job(asked, asked_at=1.0))
            journal.add(jobs[-1])
        history.append([(job.name, job.state, job.starts, job.sentence) for job in jobs])
        if number == 30:
            journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    history.append(journal)  # so that it stays open
    return history


def test_a_journal_that_was_cut_anywhere_tells_what_it_knew_once_or_that_it_is_damaged(tmp_path, times, figures):
    random, found = Random(4), Counter()
    *history, _open = filled_journal(tmp_path / "whole", random)
    for number in range(times(1000)):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        for name in JOURNAL:
            shutil.copy(tmp_path / "whole" / name, folder)
        harmed = random.choice(JOURNAL) if number % 4 else JOURNAL[1]
        harm(folder / harmed, random)
        journal = Journal(folder)
        if journal.notes:
            assert harmed == JOURNAL[0]  # what was not synced is only ever in the other
            assert journal.jobs() == [] and "could not be read" in journal.notes[0]
            assert list(folder.glob("journal-*.sqlite"))
            found["put aside, with a note"] += 1
        else:
            assert told(journal) in history
            found["all" if told(journal) == history[-1] else "all up to some change"] += 1
        journal.close()
        shutil.rmtree(folder)
    figures(", ".join(f"{how}: {count}" for how, count in found.most_common()))


def cut_power(backend: Backend) -> None:
    """Everything ends at once."""
    worker = backend.worker()
    for process in (backend.pid, worker):
        if process:
            os.kill(process, signal.SIGSTOP)
    if worker:
        os.kill(worker, signal.SIGKILL)
    backend.kill()
    until(lambda: not (worker and is_alive(worker)))


def harm_some(folder: Path, random: Random) -> set[str]:
    """Some of its files, in the kinds that were harmed (the first part of their path)."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_HARMED]
    files = [path for path in files if path.name != JOURNAL[0] or random.random() < 0.3]
    unlucky = random.sample(files, random.randint(1, len(files)))
    for path in unlucky:
        harm(path, random)
    return {path.relative_to(folder).parts[0] for path in unlucky}


@pytest.mark.timeout(1200)
def test_after_a_power_cut_no_job_is_lost_and_no_scene_is_wrong(
    times, figures, start, artist, folder, place, undisturbed
):
    """Whatever was not synced is harmed: stages that were kept, uploads, and sometimes the journal."""
    random, harmed, endings, recovered = Random(5), Counter(), Counter(), []
    backend = start()
    names = []
    for number in range(times(25)):
        jobs = {f"job{number}-{each}": task for each, task in enumerate(undisturbed)}
        names += jobs
        until(lambda: artist.client.state == "connected" and artist.client.welcome.device)
        empty_cache(folder)
        for job, task in jobs.items():
            artist.request(artist.task(job, task.panorama, task.settings))
        time.sleep(random.uniform(0, sum(task.seconds for task in undisturbed)))
        cut_power(backend)
        kinds = harm_some(folder, random)
        harmed.update(kinds)
        began = time.monotonic()
        backend = start()
        known = artist.jobs()
        if not kinds & set(JOURNAL):
            assert set(names) <= set(known)
        else:  # those that are lost are lost for good, but for the last, which are asked for again
            names = [*(set(names) & set(known) - set(jobs)), *jobs]
        with Artist(folder, place) as again:
            for job, task in jobs.items():  # of a journal that was lost they are new
                again.request(again.task(job, task.panorama, task.settings))
                ending = again.ending(job)
                assert_same_scene(again.output(job), task.scene)
                if isinstance(ending, messages.Failed):
                    assert kinds & set(JOURNAL) and ending.code == "output-exists", ending
                    endings["made before, and so not overwritten"] += 1
                else:
                    endings[type(ending).__name__] += 1
        recovered.append(time.monotonic() - began)
    backend.stop()
    assert_nothing_is_left(folder, place)
    many = ", ".join(f"{kind} {count}" for kind, count in harmed.most_common())
    figures(
        f"{times(25)} cuts (harmed: {many}); jobs: {dict(endings)}; from start to their end {max(recovered):.1f} s "
        "at most"
    )


@pytest.mark.parametrize("name", ["keys.json", "address.json", "allowed-keys.json"])
def test_a_damaged_file_of_keys_is_told_or_made_anew(name, start, artist, folder):
    start().stop()
    Guests(folder).invite("anna", "127.0.0.1", 1)
    (folder / name).write_bytes(b'{"server_pub')
    with suppress(AssertionError):
        start()
        assert artist.jobs() == {}
        return
    said = (folder.with_name("backend.stderr")).read_text()
    assert said.startswith("address-unreadable: ") and "Delete it" in said
    (folder / name).unlink()
    start()
    assert artist.jobs() == {}
