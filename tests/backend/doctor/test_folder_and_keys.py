"""The folder and the keys: what is wrong with them is told, with the command that mends it."""

import json
import os
import shutil
from collections import namedtuple

import psutil
import pytest

from cyclorama.backend.doctor.checks import folder as folder_checks
from cyclorama.backend.doctor.checks import keys as key_checks
from cyclorama.backend.doctor.situation import Situation
from cyclorama.backend.server.guests import GUESTS_FILE, Guests
from cyclorama.bridge.address import ADDRESS_FILE, KEYS_FILE

from ..status.stand_in import StandIn

not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")


def folder(situation):
    return list(folder_checks.folder(situation))


def keys(situation):
    return list(key_checks.keys(situation))


def test_a_folder_as_it_should_be(situation, levels):
    assert levels(folder(situation)) == ["ok"]


def test_a_folder_that_is_not_there_yet(tmp_path, levels):
    (found,) = folder(Situation(tmp_path / "a" / "b"))
    assert found.level == "ok" and "is made when" in found.sentence
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("mode, level", [(0o755, "warning"), (0o777, "fault"), (0o770, "fault")])
def test_a_folder_that_others_may_open(situation, mode, level):
    situation.folder.chmod(mode)
    (found,) = folder(situation)
    assert found.level == level and f"{mode:04o}" in found.sentence
    assert found.hint.startswith(f"chmod 700 {situation.folder}")


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    (found,) = folder(Situation(tmp_path / "file"))
    assert found.level == "fault" and "is no folder" in found.sentence


def test_a_folder_of_somebody_else(situation, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert any("another user" in each.sentence for each in folder(situation) if each.level == "fault")


def test_a_folder_that_cannot_be_written(situation, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)
    (found,) = folder(situation)
    assert found.level == "fault" and "cannot be written" in found.sentence


def test_a_network_drive_is_warned_of(situation, monkeypatch):
    mount = namedtuple("mount", "mountpoint fstype")
    mounts = [mount("/", "ext4"), mount(str(situation.folder.parent), "nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert [each.level for each in folder(situation)] == ["ok", "warning"]
    assert "network drive (nfs4)" in folder(situation)[1].sentence


@pytest.mark.parametrize("free, level", [(100_000_000, "fault"), (5_000_000_000, "warning"), (50_000_000_000, "ok")])
def test_how_much_room_there_is(situation, monkeypatch, free, level):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**12, 0, free))
    found = list(folder_checks.disk(situation))
    assert found[0].level == level and "for the backend" in found[0].sentence


def test_a_cache_limit_that_is_no_number(situation, monkeypatch):
    assert [each.level for each in folder_checks.cache(situation)] == ["ok"]
    monkeypatch.setenv("CYCLORAMA_CACHE_GB", "much")
    (found,) = folder_checks.cache(situation)
    assert found.level == "fault" and "CYCLORAMA_CACHE_GB" in found.sentence + found.hint


# Keys


def test_keys_as_they_should_be(situation, levels):
    assert levels(keys(situation)) == ["ok"]


def test_no_keys_yet(tmp_path, levels):
    assert levels(keys(Situation(tmp_path))) == ["ok"]
    assert not list(tmp_path.iterdir())


def test_keys_that_others_can_read(situation):
    path = situation.folder / KEYS_FILE
    path.chmod(0o644)
    (found,) = keys(situation)
    assert found.level == "fault" and "0644" in found.sentence and f"chmod 600 {path}" in found.hint
    assert path.stat().st_mode & 0o777 == 0o644  # told, not changed


@pytest.mark.parametrize("name", [ADDRESS_FILE, GUESTS_FILE])
def test_other_files_that_let_one_in_and_that_others_can_read(situation, name):
    with StandIn(situation.folder):
        Guests(situation.folder).invite("anna", "gpu-room.local")
        (situation.folder / name).chmod(0o640)
        assert situation.reached.welcome
        found = [*keys(situation), *key_checks.guests(situation)]
        assert [each.level for each in found if name in each.sentence] == ["fault"]
        assert (situation.folder / name).stat().st_mode & 0o777 == 0o640


def change(path, **changed):
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize("damage", ["cut", "no text", "short key", "another key", "missing key"])
def test_damaged_keys(situation, damage):
    path = situation.folder / KEYS_FILE
    secret = json.loads(path.read_text())["server_secret"]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "no text":
        path.write_bytes(b"\xff\x00")
    elif damage == "short key":
        change(path, server_secret=secret[:-1])
    elif damage == "another key":
        change(path, server_secret=json.loads(path.read_text())["client_secret"])
    else:
        path.write_text("{}")
    (found,) = keys(situation)
    assert found.level == "fault" and "damaged" in found.sentence and "Delete it" in found.hint
    assert secret[:10] not in found.sentence


def test_who_is_invited(situation):
    assert [each.sentence for each in key_checks.guests(situation)] == ["nobody is invited from other computers"]
    for name in ("anna", "ben"):
        Guests(situation.folder).invite(name, "gpu-room.local")
    (found,) = key_checks.guests(situation)
    assert found.level == "ok" and found.sentence == "2 invited: anna, ben"


def test_a_damaged_list_of_guests(situation):
    (situation.folder / GUESTS_FILE).write_text('{"anna": {"public": "x", "invited_at": 0}}')
    (situation.folder / GUESTS_FILE).chmod(0o600)
    (found,) = key_checks.guests(situation)
    assert found.level == "fault" and "Delete it" in found.hint
