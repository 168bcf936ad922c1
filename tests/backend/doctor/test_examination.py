"""Whatever happens to one check, the others are not harmed; the report is read by people and programs."""

import io
import json
import os
import subprocess
import sys
import time

import pytest
from rich.console import Console

from cyclorama.backend.doctor import examination
from cyclorama.backend.doctor.examination import CHECKS, Entry, findings
from cyclorama.backend.doctor.finding import fault, ok, warning
from cyclorama.backend.doctor.report import show
from cyclorama.bridge.address import KEYS_FILE
from cyclorama.bridge.log_lines import plain

COMMAND = (sys.executable, "-m", "cyclorama.backend.cli", "doctor")


@pytest.fixture
def checks(monkeypatch):
    """Entries of these functions, by name."""

    def entries(seconds=5.0, **functions):
        monkeypatch.setattr(Entry, "load", lambda entry: functions[entry.function])
        return [Entry(name.title(), "", name, seconds) for name in functions]

    return entries


def test_every_check_that_is_listed_is_there():
    assert all(callable(entry.load()) for entry in CHECKS)


def test_a_check_that_fails_is_a_fault_and_the_others_count(situation, checks):
    def broken(_situation):
        yield ok("Broken", "so far")
        raise KeyError("surprise")

    found = list(findings(situation, checks(broken=broken, fine=lambda _: [ok("Fine", "fine")])))
    assert [(each.subject, each.level) for each in found] == [("Broken", "fault"), ("Fine", "ok")]
    assert "surprise" in found[0].sentence


def test_a_check_whose_imports_fail_is_a_fault_and_the_others_count(situation):
    found = list(findings(situation, [Entry("Gone", "no_such_module", "x"), Entry("Python", "computer", "python")]))
    assert [(each.subject, each.level) for each in found] == [("Gone", "fault"), ("Python", "ok")]


def test_a_slow_check_is_not_waited_for(situation, checks):
    begin = time.monotonic()
    slow = checks(0.2, slow=lambda _: time.sleep(60), fine=lambda _: [ok("Fine", "fine")])
    found = list(findings(situation, slow))
    assert [(each.subject, each.level) for each in found] == [("Slow", "warning"), ("Fine", "ok")]
    assert time.monotonic() - begin < 30


def test_all_checks_run_at_the_same_time(situation, checks, monkeypatch):
    meeting = examination.threading.Barrier(3)

    def meet(_situation):
        meeting.wait(20)
        return [ok("Met", "met")]

    found = list(findings(situation, checks(30.0, a=meet, b=meet, c=meet)))
    assert [each.level for each in found] == ["ok"] * 3


# The report

FOUND = [
    ok("Python", "3.11.7"),
    warning("Disk", "2.1 GB free", "Make room."),
    fault("Keys", "a file \x1b[2J of " + "many words " * 20, "chmod 600 /a/file [bold]"),
]


def shown(found, **console) -> tuple[int, str]:
    to = io.StringIO()
    return show(found, Console(file=to, **console)), to.getvalue()


def test_each_finding_has_a_mark_a_subject_and_what_to_do():
    code, text = shown(FOUND, width=80)
    assert code == 1 and "\x1b" not in text
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["✓", "Python", "3.11.7"]
    assert lines[1].startswith("! Disk") and lines[2].strip() == "→ Make room."
    assert lines[3].startswith("✗ Keys") and r"\x1b[2J" in text and "chmod 600 /a/file [bold]" in text
    assert lines[-1] == "1 fault and 1 warning."


@pytest.mark.parametrize(
    "found, code, last",
    [(FOUND[:1], 0, "All is well."), (FOUND[:2], 0, "1 warning: scenes can be generated."), (FOUND, 1, "1 fault and")],
)
def test_only_a_fault_is_a_failure(found, code, last):
    told, text = shown(found, width=80)
    assert told == code and text.splitlines()[-1].startswith(last)


def test_a_terminal_without_unicode_gets_words(monkeypatch):
    to = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(FOUND, Console(file=to, width=80))
    to.seek(0)
    assert [line[:2] for line in to.read().splitlines() if line[:2].strip()][:3] == ["ok", "! ", "X "]


def tree(folder) -> dict:
    return {path: (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


def test_the_whole_command_ends_changes_nothing_and_tells_no_secret(folder, tmp_path):
    (tmp_path / "home").mkdir()
    before = tree(tmp_path)
    environment = os.environ | {
        "HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_" + "s3cret" * 6,
        "OMP_NUM_THREADS": "1",
    }
    begin = time.monotonic()
    ended = subprocess.run(
        [*COMMAND, "--folder", str(folder), "--json"], capture_output=True, text=True, timeout=240, env=environment
    )
    print(f"cyclorama doctor: {time.monotonic() - begin:.1f} s")
    assert ended.returncode in (0, 1) and "Traceback" not in ended.stderr
    told = json.loads(ended.stdout)
    assert {entry.subject for entry in CHECKS} <= {each["subject"] for each in told["findings"]}
    assert (told["worst"] == "fault") == (ended.returncode == 1)
    assert not [each for each in told["findings"] if "itself failed" in each["sentence"]]
    assert "s3cret" not in ended.stdout
    keys = json.loads((folder / KEYS_FILE).read_text())
    assert not any(key in ended.stdout or plain(key) in ended.stdout for key in keys.values())
    assert {path: kept for path, kept in tree(tmp_path).items() if "home" not in path.parts} == {
        path: kept for path, kept in before.items() if "home" not in path.parts
    }
    assert not (tmp_path / "home" / ".local").exists()


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_command(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    folder = tmp_path / "Ölbilder \U0001f5bc"
    program = (
        "import sys; from cyclorama.backend import cli; from cyclorama.backend.doctor import examination;"
        "examination.CHECKS = [e for e in examination.CHECKS if e.subject == 'Folder'];"
        "cli.main(['doctor', '--folder', sys.argv[1]])"
    )
    told = subprocess.run((sys.executable, "-c", program, str(folder)), capture_output=True, text=True, env=environment)
    assert r"\xd6lbilder" in told.stdout and told.stdout.startswith("ok Folder")
