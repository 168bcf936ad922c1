"""The process in the folder, the port for guests, and the list of jobs: looked at, never touched."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from cyclorama.backend import __version__
from cyclorama.backend.doctor.checks import backend as backend_checks
from cyclorama.backend.doctor.checks import journal as journal_checks
from cyclorama.backend.server.guests import Guests
from cyclorama.backend.server.journal import JOURNAL_FILE, Journal
from cyclorama.backend.server.lock import FileLock
from cyclorama.bridge import messages

from ..status import stand_in
from ..status.stand_in import StandIn


def backend(situation):
    return list(backend_checks.backend(situation))


def jobs(situation):
    return list(journal_checks.journal(situation))


def test_where_none_runs(situation):
    (found,) = backend(situation)
    assert found.level == "ok" and "cyclorama serve" in found.sentence


def test_one_that_runs_and_answers(situation):
    with StandIn(situation.folder):
        (found,) = backend(situation)
    assert found.level == ("ok" if __version__ == "0.1.0" else "warning")
    assert "version 0.1.0 answers (CPU, 2 cores, running 2 h 1" in found.sentence


def test_one_of_another_version(situation, monkeypatch):
    monkeypatch.setattr(backend_checks, "__version__", "9.9.9")
    with StandIn(situation.folder):
        (found,) = backend(situation)
    assert found.level == "warning" and "9.9.9 is installed here" in found.sentence


def test_one_of_another_protocol(situation):
    refused = messages.Refused(code="protocol-mismatch", sentence="It speaks another protocol.")
    with StandIn(situation.folder) as running:
        running.refuses = refused
        (found,) = backend(situation)
    assert found.level == "fault" and "another version" in found.sentence


def test_one_that_was_killed(situation):
    StandIn(situation.folder).close(leave_address=True)
    (found,) = backend(situation)
    assert found.level == "warning" and "was killed" in found.sentence


def test_one_that_hangs(situation):
    StandIn(situation.folder).close(leave_address=True)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from cyclorama.backend.server.lock import FileLock;"
            "lock = FileLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()",
            str(situation.folder / "server.lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout and holder.stdout.readline()
        (found,) = backend(situation)
    assert found.level == "fault" and "has not answered" in found.sentence


def test_a_damaged_address(situation):
    (situation.folder / "address.json").write_text("{")
    (found,) = backend(situation)
    assert found.level == "fault" and found.sentence.endswith("address.json is damaged.")


def test_looking_at_the_lock_leaves_it_free(situation):
    (situation.folder / "server.lock").touch()
    backend(situation)
    FileLock(situation.folder / "server.lock").release()


# The port


@pytest.fixture
def taken(monkeypatch):
    """A port that is taken by this process; the one where guests are expected in this test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(backend_checks, "PORT", server.getsockname()[1])
        yield server


def test_a_port_that_is_free(situation, taken):
    taken.close()
    assert [each.sentence.partition(" ")[2] for each in backend_checks.port(situation)] == ["is free"]


def test_a_port_that_another_program_has_matters_only_to_those_who_invite(situation, taken):
    (found,) = backend_checks.port(situation)
    assert found.level == "ok" and "(process " in found.sentence
    Guests(situation.folder).invite("anna", "gpu-room.local")
    (found,) = backend_checks.port(situation)
    assert found.level == "warning" and "--port" in found.hint


def test_a_port_that_is_our_own_backends(situation, taken, monkeypatch):
    monkeypatch.setattr(stand_in, "SURVEY", stand_in.msgspec.structs.replace(stand_in.SURVEY, pid=os.getpid()))
    with StandIn(situation.folder):
        (found,) = backend_checks.port(situation)
    assert found.level == "ok" and "this backend listens" in found.sentence


def test_where_the_system_does_not_tell_who_listens(situation, taken, monkeypatch):
    def closed(_kind):
        raise backend_checks.psutil.AccessDenied

    monkeypatch.setattr(backend_checks.psutil, "net_connections", closed)
    assert [each.sentence.partition(" ")[2] for each in backend_checks.port(situation)] == ["is in use"]


# The list of jobs


@pytest.fixture
def journal(folder):
    """With three jobs in it, closed."""
    Journal(folder).close()
    with sqlite3.connect(folder / JOURNAL_FILE) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
        for number, state in enumerate(("done", "waiting", "done")):
            row = dict.fromkeys(columns, 0) | {
                "name": f"j{number}",
                "state": state,
                "number": number,
                "asked": b"x" * 3000,
            }
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    connection.close()
    return folder / JOURNAL_FILE


def test_none_yet(situation):
    assert [each.sentence for each in jobs(situation)] == ["none yet"]


def test_jobs_are_counted_and_no_file_is_made_or_changed(situation, journal):
    before = {path.name: path.read_bytes() for path in situation.folder.iterdir()}
    (found,) = jobs(situation)
    assert (found.level, found.sentence) == ("ok", "2 done, 1 waiting")
    assert {path.name: path.read_bytes() for path in situation.folder.iterdir()} == before


def test_jobs_of_a_backend_that_was_killed_are_counted_too(situation, journal):
    """What it wrote is still in the write-ahead log."""
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
        "c.execute(\"UPDATE jobs SET state = 'failed'\"); c.commit(); os._exit(0)"
    )
    subprocess.run((sys.executable, "-c", program, str(journal)), check=True, timeout=60)
    assert journal.with_name(f"{JOURNAL_FILE}-wal").stat().st_size
    assert [each.sentence for each in jobs(situation)] == ["3 failed"]


def test_jobs_of_a_backend_that_runs_are_counted(situation, journal):
    connection = sqlite3.connect(journal)
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("UPDATE jobs SET state = 'failed'")
    with StandIn(situation.folder):
        assert [each.sentence for each in jobs(situation)] == ["3 failed"]
    connection.close()


@pytest.mark.parametrize("length", [0, 10, 100, 4096, 5000, 9000])
def test_a_journal_that_is_cut_short_is_told(situation, journal, length):
    content = journal.read_bytes()
    assert len(content) > 9000
    journal.write_bytes(content[:length])
    (found,) = jobs(situation)
    assert found.level == "fault" and str(journal) in found.sentence
    assert journal.read_bytes() == content[:length]


def test_a_journal_of_a_newer_version_is_told(situation, journal):
    with sqlite3.connect(journal) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    (found,) = jobs(situation)
    assert found.level == "fault" and "newer Cyclorama" in found.sentence


def test_journals_that_were_put_aside_are_told(situation):
    (situation.folder / "journal-20261121-100000-42.sqlite").touch()
    assert [each.level for each in jobs(situation)] == ["ok", "warning"]


def test_json_of_all_that_is_told_here_can_be_made(situation):
    begin = time.monotonic()
    assert json.dumps([vars(each) for each in (*backend(situation), *jobs(situation))])
    assert time.monotonic() - begin < 30
