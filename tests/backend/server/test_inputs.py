"""What guests may fill a disk with, and what of it stays."""

import hashlib
import os
import shutil
import threading
import time
from types import SimpleNamespace

import pytest

from cyclorama.backend.server import inputs as inputs_module
from cyclorama.backend.server.errands import Errands
from cyclorama.backend.server.guest_folders import folder_name
from cyclorama.backend.server.inputs import Inputs
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import checksum


class Desk:
    """Inputs with a thread for the disk, asked as the server asks."""

    def __init__(self, folder):
        self.rung = threading.Semaphore(0)
        self.errands = Errands(self.rung.release)
        self.in_use: set[str] = set()
        self.inputs = Inputs(folder, self.errands, lambda guest: self.in_use)
        self.folder = folder / "inputs"

    def offer(self, name, size, guest="anna"):
        return self._answer(lambda reply: self.inputs.offer(guest, name, size, reply))

    def write(self, name, offset, content, guest="anna"):
        piece = messages.Piece(file=name, offset=offset, checksum=checksum(content), content=content)
        return self._answer(lambda reply: self.inputs.write(guest, piece, reply))

    def upload(self, content, guest="anna"):
        name = hashlib.sha256(content).hexdigest()
        if not self.offer(name, len(content), guest).whole:
            assert self.write(name, 0, content, guest).whole
        return name

    def names(self, guest="anna"):
        return {path.name for path in (self.folder / guest).glob("*")}

    def end(self):
        self.inputs.end()
        self.errands.end()

    def _answer(self, ask):
        answers = []
        ask(answers.append)
        while not answers:
            assert self.rung.acquire(timeout=20)
            self.errands.come_back()
        if isinstance(answers[0], CycloramaError):
            raise answers[0]
        return answers[0]


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.end()


def refused(do, *arguments) -> str:
    with pytest.raises(CycloramaError) as caught:
        do(*arguments)
    assert caught.value.hint
    return caught.value.code


def age(desk, name, seconds=7200.0):
    path = desk.folder / "anna" / name
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_what_is_there_is_not_sent_again_and_one_guest_gains_nothing_by_knowing_anothers_checksum(desk):
    name = desk.upload(b"a panorama")
    assert desk.offer(name, 10).whole
    assert not desk.offer(name, 10, guest="bert").whole


def test_an_upload_goes_on_in_the_next_server_and_is_checked_from_its_first_byte(desk, tmp_path):
    content = os.urandom(300_000)
    name = hashlib.sha256(content).hexdigest()
    desk.offer(name, len(content))
    desk.write(name, 0, content[:200_000])
    desk.end()
    again = Desk(tmp_path)
    assert again.offer(name, len(content)).size == 200_000
    assert again.write(name, 200_000, content[200_000:]).whole
    assert again.inputs.place("anna", name).read_bytes() == content
    again.end()


def test_what_a_power_cut_has_damaged_is_found_at_the_end_and_sent_anew(desk, tmp_path):
    content = os.urandom(300_000)
    name = hashlib.sha256(content).hexdigest()
    (desk.folder / "anna").mkdir(parents=True)
    (desk.folder / "anna" / f"{name}.partial").write_bytes(bytes(200_000))
    assert desk.offer(name, len(content)).size == 200_000
    assert refused(desk.write, name, 200_000, content[200_000:]) == "upload-damaged"
    assert desk.upload(content) == name


def test_a_piece_that_comes_twice_counts_once(desk):
    content = os.urandom(1000)
    name = hashlib.sha256(content).hexdigest()
    desk.offer(name, 1000)
    desk.write(name, 0, content[:600])
    assert desk.write(name, 0, content[:600]).size == 600
    assert desk.write(name, 300, content[300:]).whole
    assert desk.write(name, 300, content[300:]).whole


def test_the_server_does_not_wait_for_a_slow_disk_and_holds_only_so_much(desk, monkeypatch):
    go_on = threading.Event()
    append = inputs_module._append
    monkeypatch.setattr(inputs_module, "_append", lambda *given: (go_on.wait(20), append(*given)))
    name, answers = "0" * 64, []
    desk.offer(name, 1 << 20)
    pieces = [messages.Piece(file=name, offset=at, checksum=0, content=b"x") for at in range(100)]
    taken = 0
    with pytest.raises(CycloramaError) as caught:
        for taken, piece in enumerate(pieces):  # noqa: B007
            desk.inputs.write("anna", piece, answers.append)
    assert caught.value.code == "upload-too-fast"
    assert 0 < taken <= messages.MOST_PIECES and not answers
    go_on.set()
    while len(answers) < taken:
        assert desk.rung.acquire(timeout=20)
        desk.errands.come_back()
    assert desk.offer(name, 1 << 20).size == taken


def test_beyond_a_guests_limit_the_longest_unused_goes_but_not_what_a_job_still_needs(desk, monkeypatch):
    monkeypatch.setattr(inputs_module, "MOST_BYTES", 3000)
    needed, old, newer = (desk.upload(bytes([number]) * 1000) for number in range(3))
    desk.in_use = {needed}
    for name in (needed, old, newer):
        age(desk, name)
    age(desk, needed, 9000)
    age(desk, old, 8000)
    fresh = desk.upload(b"fresh" * 200)
    assert desk.names() == {needed, newer, fresh}


def test_what_was_uploaded_just_now_is_not_pushed_out_by_more(desk, monkeypatch):
    monkeypatch.setattr(inputs_module, "MOST_FILES", 2)
    names = {desk.upload(b"one"), desk.upload(b"two")}
    assert refused(desk.upload, b"three") == "inputs-full"
    assert desk.names() == names
    desk.upload(b"three", guest="bert")


def test_what_is_still_to_come_of_other_uploads_counts_against_the_limit_and_the_disk(desk, monkeypatch):
    monkeypatch.setattr(inputs_module, "MOST_BYTES", 3000)
    desk.offer("1" * 64, 2000)
    assert refused(desk.offer, "2" * 64, 2000) == "inputs-full"
    free = SimpleNamespace(free=(1 << 30) + 4000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    assert refused(desk.offer, "2" * 64, 2500, "bert") == "disk-full"
    assert desk.offer("2" * 64, 1500, "bert").size == 0


def test_one_guest_that_begins_uploads_without_end_ends_only_its_own(desk):
    desk.offer("9" * 64, 10, "bert")
    for number in range(40):
        desk.offer(f"{number:064d}", 10)
    assert desk.write("9" * 64, 0, b"x", "bert").size == 1
    assert refused(desk.write, f"{0:064d}", 0, b"x") == "upload-unknown"


def test_at_the_start_of_a_server_what_no_job_names_goes_if_it_is_not_fresh(desk, tmp_path):
    kept, gone, fresh = (desk.upload(text) for text in (b"kept", b"gone", b"fresh"))
    age(desk, kept)
    age(desk, gone)
    (desk.folder / "stray").write_text("of an older version")
    desk.inputs.sweep({("anna", kept)})
    assert desk.names() == {kept, fresh}
    assert not (desk.folder / "stray").exists()


def test_no_two_guests_share_a_folder_on_any_system():
    names = ["anna", "Anna", "ANNA", "nul", "NUL", "com1", "a-b", "a_b"]
    assert len({folder_name(name).lower() for name in names}) == len(names)
    assert folder_name("anna") == "anna"
    assert not any(folder_name(name).split(".")[0].lower() in ("nul", "com1") for name in names)
