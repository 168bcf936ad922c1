"""The journal survives what happens to files, and never takes the server down with it."""

import logging
import sqlite3
import stat
import sys

import pytest

from cyclorama.backend.server.job import Job
from cyclorama.backend.server.journal import JOURNAL_FILE, SCHEMA, Journal
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region, Stroke

SETTINGS = PanoramaTo4D(
    frames=8,
    prompt="Wölkchen",
    strokes=(Stroke(1, 2, 3, 4, 5),),
    regions=(Region(box=Box(170, 80, 40, 30), strength=1.5), Region(mask="/m.png")),
)
ASKED = messages.Generate(job="job", panorama="/pänorama.exr", output="/o", settings=SETTINGS, files={"/p": "a" * 64})


def written(folder, *names):
    journal = Journal(folder)
    for name in names:
        journal.add(Job(messages.Generate(job=name, panorama="/p", output="/o", settings=PanoramaTo4D())))
    journal.close()
    return folder / JOURNAL_FILE


def names(journal):
    return [job.name for job in journal.jobs()]


def test_what_was_asked_is_there_again_to_the_last_stroke(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Job(ASKED, "anna", asked_at=12.5))
    (job,) = Journal(tmp_path).jobs()  # the first was not closed
    assert (job.asked, job.guest, job.asked_at, job.state) == (ASKED, "anna", 12.5, "waiting")
    journal.close()


def test_it_is_for_this_user_only(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Job(ASKED))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("journal*")} == {0o600}
    journal.close()


def damages():
    def noise(path):
        path.write_bytes(bytes(range(256)) * 100)

    def cut_short(path):
        path.write_bytes(path.read_bytes()[:5000])

    def hole(path):
        content = path.read_bytes()
        path.write_bytes(content[:4096] + bytes(4096) + content[8192:])

    def another_table(path):
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE jobs")

    def newer(path):
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")

    def no_seconds(path):
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE jobs SET seconds = 'many'")

    return [noise, cut_short, hole, another_table, newer, no_seconds]


@pytest.mark.parametrize("damage", damages(), ids=lambda damage: damage.__name__)
def test_a_journal_that_cannot_be_read_is_put_aside_and_told(tmp_path, caplog, damage):
    path = written(tmp_path, "a", "b")
    damage(path)
    damaged = path.read_bytes()
    with caplog.at_level(logging.ERROR):
        journal = Journal(tmp_path)
    assert names(journal) == []
    (aside,) = tmp_path.glob("journal-*.sqlite")
    assert aside.read_bytes() == damaged or damage.__name__ in ("another_table", "newer")
    assert len(journal.notes) == 1 and aside.name in journal.notes[0] and aside.name in caplog.text
    journal.add(Job(ASKED))
    journal.close()
    after = Journal(tmp_path)
    assert names(after) == ["job"] and after.notes == ()
    after.close()


def test_cut_at_any_place_it_opens_with_less_or_is_put_aside(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    journal = Journal(source)
    for number in range(5):
        journal.add(Job(messages.Generate(job=f"j{number}", panorama="/p", output="/o", settings=PanoramaTo4D())))
    main, ahead = (source / name for name in (JOURNAL_FILE, f"{JOURNAL_FILE}-wal"))
    whole = [f"j{number}" for number in range(5)]
    for place in range(0, ahead.stat().st_size, 1777):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / JOURNAL_FILE).write_bytes(main.read_bytes())
        (folder / f"{JOURNAL_FILE}-wal").write_bytes(ahead.read_bytes()[:place])
        cut = Journal(folder)
        assert names(cut) == whole[: len(names(cut))]  # never others, and none in between is lacking
        cut.close()
    journal.close()


def test_a_job_of_another_protocol_that_is_not_understood_is_dropped_with_a_line(tmp_path, caplog):
    path = written(tmp_path, "old", "new")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE jobs SET asked = ?, protocol = 4 WHERE name = 'old'", (b"\x81\xa4type\xa4Mime",))
    with caplog.at_level(logging.WARNING):
        journal = Journal(tmp_path)
    assert names(journal) == ["new"] and journal.notes == ()
    assert "Job old of protocol 4 is forgotten" in caplog.text
    journal.close()
    assert names(Journal(tmp_path)) == ["new"]


def test_a_folder_that_is_no_place_for_it_is_named(tmp_path):
    (tmp_path / JOURNAL_FILE).mkdir()
    with pytest.raises(CycloramaError, match="journal") as caught:
        Journal(tmp_path)
    assert caught.value.code == "folder-not-usable"


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
def test_on_a_full_disk_a_job_is_refused_and_running_ones_go_on(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Job(ASKED))
    (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")  # as a full disk: SQLITE_FULL
    large = messages.Generate(job="big", panorama="/p", output="/o", settings=PanoramaTo4D(prompt="x" * 1000))
    with pytest.raises(CycloramaError) as caught:
        for number in range(20):
            journal.add(Job(messages.Generate(job=f"b{number}", panorama="/p", output="/o", settings=large.settings)))
    assert caught.value.code == "journal-not-writable"
    (job,) = [job for job in Journal(tmp_path).jobs() if job.name == "job"]
    job.sentence = "y" * 100_000
    journal.update(job)  # is logged
    journal.close()
