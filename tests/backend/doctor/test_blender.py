"""Blender is found where people have it, asked for its version, and the add-on in it is compared with the backend."""

import sys
from pathlib import Path

import pytest

from cyclorama.backend import __version__
from cyclorama.backend.doctor.checks import blender as checks
from cyclorama.backend.doctor.situation import Situation


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No Blender is found but those that a test makes."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable in (checks.BLENDER_VARIABLE, "XDG_CONFIG_HOME", "BLENDER_USER_RESOURCES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(checks, "_usual_places", lambda: [f"{home}/blender*/blender"])
    return home


def program(path: Path, says: str, then: str = "") -> Path:
    """An executable that prints so, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport sys, time\nprint({says!r}, flush=True)\n{then}\n")
    path.chmod(0o755)
    return path


def found(blender=""):
    return list(checks.blender(Situation(Path("/nowhere"), str(blender))))


@pytest.mark.parametrize(
    "says, level, words",
    [
        ("Blender 5.2.0 LTS\n\tbuild date: 2026-07-01", "ok", "5.2.0 LTS"),
        ("Blender 4.5.3 LTS", "ok", "4.5.3 LTS"),
        ("Blender 5.3.0 Alpha", "ok", "5.3.0"),
        ("Color management: using fallback mode\nBlender 5.2.1", "ok", "5.2.1"),
        ("Blender 5.0.1", "warning", "not tested"),
        ("Blender 4.2.9 LTS", "fault", "too old"),
        ("Blender 3.6.0", "fault", "too old"),
        ("GNU bash, version 5.2", "fault", "does not say that it is a Blender"),
        ("", "fault", "does not say that it is a Blender"),
    ],
)
def test_the_one_that_is_named_is_asked_for_its_version(tmp_path, says, level, words):
    path = program(tmp_path / "my blender", says)
    (told,) = found(path)
    assert told.level == level and words in told.sentence and str(path) in told.sentence
    assert level == "ok" or "4.5 LTS" in told.hint


def test_a_python_with_blender_as_a_module_counts(tmp_path):
    then = "if '-c' in sys.argv: print('Blender 5.2.0 LTS')"
    (told,) = found(program(tmp_path / "python", "Python 3.13.1", then))
    assert told.level == "ok" and "5.2.0 LTS" in told.sentence


def test_one_that_does_not_answer_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_PATIENCE_SECONDS", 1.0)
    (told,) = found(program(tmp_path / "blender", "", "time.sleep(60)"))
    assert told.level == "fault" and "did not tell its version" in told.sentence


@pytest.mark.parametrize("name", ["no-such-blender", "/no/such/blender"])
def test_one_that_is_not_there(name):
    (told,) = found(name)
    assert told.level == "fault" and f"{name} is no program" in told.sentence


def test_a_file_that_cannot_be_run(tmp_path):
    path = tmp_path / "blender"
    path.write_bytes(b"\x7fELFnonsense")
    path.chmod(0o755)
    (told,) = found(path)
    assert told.level == "fault" and "cannot be started" in told.sentence


def test_the_variable_names_one_too(tmp_path, monkeypatch):
    monkeypatch.setenv("BLENDER", str(program(tmp_path / "blender", "Blender 4.5.0")))
    assert [told.level for told in found()] == ["ok"]


def test_those_in_the_usual_places_and_on_the_path_are_found_once_each(nowhere, monkeypatch):
    newer = program(nowhere / "blender-5.2" / "blender", "Blender 5.2.0 LTS")
    program(nowhere / "blender-4.2" / "blender", "Blender 4.2.0 LTS")
    (nowhere / "bin").mkdir()
    (nowhere / "bin" / "blender").symlink_to(newer)
    monkeypatch.setenv("PATH", str(nowhere / "bin"))
    assert [told.level for told in found()] == ["ok", "warning"]  # an old one beside it harms nothing


def test_none_is_a_warning_for_the_backend_may_serve_other_computers():
    (told,) = found()
    assert told.level == "warning" and "--blender" in told.hint


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_the_usual_places_of_every_system_are_patterns(monkeypatch, system):
    monkeypatch.undo()
    monkeypatch.setattr(checks.sys, "platform", system)
    monkeypatch.setenv("ProgramFiles", r"C:\Program Files")
    places = list(checks._usual_places())
    assert places and all("lender" in place for place in places)
    assert checks._user_folders() == [] or all(path.is_dir() for path in checks._user_folders())


# The add-on


def install(home: Path, blender: str, version: str, repository: str = "user_default") -> Path:
    folder = home / ".config" / "blender" / blender / "extensions" / repository / "cyclorama"
    folder.mkdir(parents=True)
    (folder / "blender_manifest.toml").write_text(f'id = "cyclorama"\nversion = "{version}"\n')
    return folder


def add_on():
    return list(checks.add_on(Situation(Path("/nowhere"))))


def test_an_add_on_of_the_same_version(nowhere):
    install(nowhere, "5.2", __version__)
    install(nowhere, "4.5", __version__, "studio")
    assert [(told.level, told.sentence) for told in add_on()] == [
        ("ok", f"{__version__} is installed in Blender 4.5"),
        ("ok", f"{__version__} is installed in Blender 5.2"),
    ]


def test_an_add_on_of_another_version(nowhere):
    install(nowhere, "5.2", "99.0.0")
    (told,) = add_on()
    assert told.level == "warning" and "99.0.0" in told.sentence and __version__ in told.sentence


@pytest.mark.parametrize("content", [None, b"version = ", b"\xff\xfe", b""])
def test_an_add_on_that_is_damaged(nowhere, content):
    manifest = install(nowhere, "5.2", __version__) / "blender_manifest.toml"
    manifest.unlink() if content is None else manifest.write_bytes(content)
    (told,) = add_on()
    assert told.level == "warning" and "damaged" in told.sentence


def test_no_add_on(nowhere):
    (told,) = add_on()
    assert told.level == "warning" and "Install from Disk" in told.hint


def test_a_folder_that_the_user_chose_for_blender(tmp_path, monkeypatch):
    (tmp_path / "resources" / "extensions" / "user_default" / "cyclorama").mkdir(parents=True)
    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "resources"))
    assert [told.level for told in add_on()] == ["warning"]
