"""What is kept of unfinished work is whole or not there, and is forgotten when it is done or nobody comes back."""

import os
import stat
import time

import numpy as np
import pytest
import torch

from cyclorama.backend.digests import digest
from cyclorama.backend.keepsake import Keepsake

TENSORS = {"colours": torch.arange(12.0).reshape(4, 3), "step": torch.tensor(7)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "unfinished"


def same(one, other) -> bool:
    return one is not None and one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_kept_is_found_again_by_the_same_name(folder):
    Keepsake("fit-a", folder).keep("static", TENSORS)
    assert same(Keepsake("fit-a", folder).part("static"), TENSORS)


def test_parts_and_names_do_not_mix(folder):
    Keepsake("fit-a", folder).keep("static", TENSORS)
    assert Keepsake("fit-a", folder).part("frame000000") is None
    assert Keepsake("fit-b", folder).part("static") is None


def test_a_part_is_replaced_whole(folder):
    keepsake = Keepsake("fit-a", folder)
    keepsake.keep("static", TENSORS)
    keepsake.keep("static", {"other": torch.ones(2)})
    assert same(keepsake.part("static"), {"other": torch.ones(2)})
    assert len(list(folder.iterdir())) == 1


def test_slices_and_transposed_tensors_are_kept_as_they_are(folder):
    keepsake = Keepsake("fit-a", folder)
    turned = torch.arange(6.0).reshape(2, 3).T
    keepsake.keep("static", {"turned": turned, "slice": turned[:, 0]})
    assert same(keepsake.part("static"), {"turned": turned, "slice": turned[:, 0]})


def test_nothing_is_left_when_it_is_forgotten_and_others_stay(folder):
    one, other = Keepsake("fit-a", folder), Keepsake("fit-b", folder)
    for part in ("static", "frame000000", "frame000001"):
        one.keep(part, TENSORS)
    other.keep("static", TENSORS)
    one.forget()
    assert [path.name for path in folder.iterdir()] == ["fit-b.static.safetensors"]
    one.forget()  # once more does no harm


def test_without_anything_kept_nothing_is_made(folder):
    keepsake = Keepsake("fit-a", folder)
    assert keepsake.part("static") is None
    keepsake.forget()
    assert not folder.exists()


@pytest.mark.parametrize("harm", ["cut short", "empty", "no safetensors", "a folder"])
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(folder, harm):
    keepsake = Keepsake("fit-a", folder)
    keepsake.keep("static", TENSORS)
    (path,) = folder.iterdir()
    if harm == "a folder":
        path.unlink()
        path.mkdir()
    else:
        whole = path.read_bytes()
        path.write_bytes({"cut short": whole[:-5], "empty": b"", "no safetensors": b"x" * len(whole)}[harm])
    assert keepsake.part("static") is None
    if harm != "a folder":
        keepsake.keep("static", TENSORS)
        assert same(keepsake.part("static"), TENSORS)


def test_the_folder_is_closed_to_other_users(folder):
    Keepsake("fit-a", folder).keep("static", TENSORS)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_cannot_be_kept_stops_nobody(tmp_path):
    """Below a file there can be no folder."""
    (tmp_path / "file").touch()
    keepsake = Keepsake("fit-a", tmp_path / "file" / "unfinished")
    keepsake.keep("static", TENSORS)
    assert keepsake.part("static") is None
    keepsake.forget()


def test_a_full_disk_stops_nobody_and_keeps_what_was_there(folder, monkeypatch):
    keepsake = Keepsake("fit-a", folder)
    keepsake.keep("static", TENSORS)

    def full(_tensors, path):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cyclorama.backend.keepsake.save_file", full)
    keepsake.keep("static", {"colours": torch.zeros(3)})
    assert same(keepsake.part("static"), TENSORS)
    assert len(list(folder.iterdir())) == 1


def test_work_that_nobody_went_on_with_for_weeks_is_forgotten(folder):
    Keepsake("fit-old", folder).keep("static", TENSORS)
    Keepsake("fit-new", folder).keep("static", TENSORS)
    weeks_ago = time.time() - 15 * 24 * 3600
    os.utime(folder / "fit-old.static.safetensors", (weeks_ago, weeks_ago))
    (folder / "a.folder").mkdir()
    os.utime(folder / "a.folder", (weeks_ago, weeks_ago))
    (folder / "a.link").symlink_to(folder / "nowhere")
    Keepsake("fit-b", folder)
    assert (folder / "fit-new.static.safetensors").exists()
    assert not (folder / "fit-old.static.safetensors").exists()


def test_left_out_the_folder_is_that_of_the_backend(tmp_path, monkeypatch):
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(tmp_path))
    Keepsake("fit-a").keep("static", TENSORS)
    assert (tmp_path / "unfinished" / "fit-a.static.safetensors").exists()


def test_a_digest_depends_on_every_byte_and_on_where_parts_end():
    picture = np.arange(6, dtype=np.float32).reshape(2, 3)
    changed = picture.copy()
    changed[1, 2] = np.nextafter(changed[1, 2], 9, dtype=np.float32)
    names = [
        digest(["a", "b"]),
        digest(["ab"]),
        digest(["ab", ""]),
        digest(["b", "a"]),
        digest([picture.data.cast("B")]),
        digest([changed.data.cast("B")]),
    ]
    assert len(set(names)) == len(names)
    assert digest(["a", "b"]) == names[0]
