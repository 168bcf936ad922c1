"""The journal survives what happens to files, and never takes the server down with it."""

import logging
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from cyclorama.backend.server import journal as journal_module
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


def test_scenes_that_guests_did_not_fetch_are_put_aside_with_their_list(tmp_path):
    """No job names them any more, so a server that starts would take them for rubbish."""
    damages()[0](written(tmp_path, "a"))
    scene = tmp_path / "outputs" / "anna" / "a" / "scene.cyclorama"
    scene.mkdir(parents=True)
    journal = Journal(tmp_path)
    (aside,) = tmp_path.glob("outputs-journal-*")
    assert (aside / "anna" / "a" / "scene.cyclorama").is_dir() and not scene.exists()
    assert str(aside) in journal.notes[1]
    journal.close()


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
    assert names(journal) == ["new"]
    assert journal.notes == ("One job of an earlier version could not be understood and left the list.",)
    assert "Job old of protocol 4 is forgotten" in caplog.text
    journal.close()
    after = Journal(tmp_path)
    assert names(after) == ["new"] and after.notes == ()
    after.close()


def test_a_journal_of_the_first_schema_goes_on(tmp_path):
    dump = Path(__file__).with_name("journal_of_schema_1.sql").read_text("utf-8")
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as connection:
        connection.executescript(dump)
    connection.close()
    for _ in range(2):  # the second time it is of this schema
        journal = Journal(tmp_path)
        done, ran, waits = journal.jobs()
        assert (done.state, done.asked_at, done.ended_at, done.peak_bytes) == ("done", 12.5, 20.0, 1 << 40)
        assert (done.asked.settings, done.seconds) == (SETTINGS, {"lift": 2.5})
        assert (ran.state, ran.guest, ran.starts, ran.asked.files) == ("running", "anna", 1, {"/p": "a" * 64})
        for job in (done, ran, waits):
            assert (job.priority, job.asked.priority, job.deaths, job.scene_before, job.reused) == (0, 0, 0, "", ())
        assert journal.notes == ()
        journal.close()


def test_a_migration_that_is_cut_off_has_not_happened(tmp_path, monkeypatch):
    dump = Path(__file__).with_name("journal_of_schema_1.sql").read_text("utf-8")
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as connection:
        connection.executescript(dump)
    connection.close()
    steps = journal_module._FROM_1_TO_2
    monkeypatch.setitem(journal_module._STEPS, 1, (*steps[:3], "ALTER TABLE nothing ADD COLUMN x"))
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as connection, pytest.raises(sqlite3.Error):
        journal_module._bring_up_to_date(connection, 1)
    connection.close()
    monkeypatch.undo()
    journal = Journal(tmp_path)
    assert names(journal) == ["done", "ran", "waits"] and journal.notes == ()
    journal.close()


def test_all_of_a_job_is_there_again(tmp_path):
    journal = Journal(tmp_path)
    job = Job(ASKED, "anna", -3)
    journal.add(job)
    job.start(7.0, "NVIDIA H200", "a" * 64)
    job.deaths, job.remark, job.reused = 1, "It goes on.", ("depth", "animate")
    journal.update(job)
    (again,) = Journal(tmp_path).jobs()
    assert again == job
    journal.close()


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
    with pytest.raises(CycloramaError):
        journal.write(job)
    journal.catch_up(pause=0)
    (now,) = [job for job in Journal(tmp_path).jobs() if job.name == "job"]
    assert now.sentence == ""
    journal._connection.execute("PRAGMA max_page_count = 100000")  # there is room again
    journal.catch_up(pause=0)
    (now,) = [job for job in Journal(tmp_path).jobs() if job.name == "job"]
    assert now.sentence == job.sentence
    journal.close()
