"""Guests on other computers, which share no disk: let in by invitation, served with files, kept from all else."""

import os
import signal
import socket
import stat
import threading
import time
from dataclasses import replace

import msgspec
import pytest

from cyclorama.backend.server.guests import Guests, write_invitation
from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Address
from cyclorama.bridge.errors import Cancelled, CycloramaError
from cyclorama.bridge.frames import checksum
from cyclorama.bridge.scene import Scene
from cyclorama.bridge.settings import PanoramaTo4D, Region

from .conftest import Asker, until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def host(start):
    return start(free_port(), listen="0.0.0.0")


@pytest.fixture
def invite(folder, tmp_path):
    """Invitations as an artist gets them: read from their files."""

    def invite(name: str, port: int) -> Address:
        file = tmp_path / f"{name}.json"
        write_invitation(file, Guests(folder).invite(name, "127.0.0.1", port))
        return Address.from_invitation(file)

    return invite


@pytest.fixture
def guest(host, invite, tmp_path):
    """On a computer of its own: nothing that it names is there for the backend."""
    place = tmp_path / "guest"
    place.mkdir()
    guest = Asker(tmp_path / "no backend", place, invite("anna", host.port))
    yield guest
    guest.client.close()


def piece(file: str, offset: int, content: bytes) -> messages.Piece:
    return messages.Piece(file=file, offset=offset, checksum=checksum(content), content=content)


def made_for(guest, toy="scene", job="job", **settings) -> messages.Generate:
    """Ask for a job as the add-on does: upload, then ask."""
    panorama = guest.place / f"{job}.EXR"
    panorama.write_text(toy)
    asked = guest.task(toy, job)
    asked = msgspec.structs.replace(asked, panorama=str(panorama), settings=replace(asked.settings, **settings))
    asked = transfer.upload(guest.client, asked)
    guest.request(asked, 30)
    return asked


def test_a_guest_knows_that_it_is_one(guest):
    guest.states()
    assert guest.client.remote and guest.client.welcome.guest == "anna"


def test_files_go_up_and_the_scene_comes_down(host, guest, folder):
    made_for(guest)
    assert guest.ending().scene == str(guest.output("job"))  # where the guest wants it
    assert not guest.output("job").exists()
    told = []
    transfer.download(guest.client, "job", guest.output("job"), told=lambda done, total: told.append((done, total)))
    Scene(guest.output("job")).validate()
    assert told == sorted(told) and told[-1][0] == told[-1][1] > 1 << 20
    assert {path.name for path in guest.place.iterdir()} == {"job.EXR", "job.cyclorama"}
    line = guest.lines()["job"]
    assert (line.guest, line.output, line.panorama) == ("anna", str(guest.output("job")), str(guest.place / "job.EXR"))
    guest.request(messages.Forget(job="job"))
    until(lambda: not list((folder / "outputs").iterdir()))


def test_on_the_backends_own_computer_a_scene_can_be_fetched_too_and_is_known_to_lie_there(asker, backend, tmp_path):
    (tmp_path / "own.exr").write_text("scene")
    asker.request(msgspec.structs.replace(asker.task("", "job"), panorama=str(tmp_path / "own.exr")))
    asker.ending()
    assert asker.request(messages.Browse(job="job")).scene == str(asker.output("job"))
    transfer.download(asker.client, "job", tmp_path / "copy.cyclorama")
    assert (tmp_path / "copy.cyclorama/scene.json").read_bytes() == (asker.output("job") / "scene.json").read_bytes()
    Scene(tmp_path / "copy.cyclorama").validate()


def test_where_a_guests_scene_lies_is_not_told_and_files_are_not_sent_on_one_computer(host, guest, asker):
    made_for(guest)
    guest.ending()
    assert guest.request(messages.Browse(job="job")).scene == ""
    with pytest.raises(CycloramaError) as caught:
        asker.request(messages.Upload(file="0" * 64, size=1))
    assert caught.value.code == "guests-only" and caught.value.hint


def test_masks_and_depth_go_up_too_each_content_once(host, guest, folder):
    (guest.place / "mask.png").write_bytes(b"white" * 300_000)
    (guest.place / "other.png").write_bytes(b"white" * 300_000)
    (guest.place / "depth.exr").touch()
    mask, other, depth = (str(guest.place / name) for name in ("mask.png", "other.png", "depth.exr"))
    regions = (Region(mask=mask), Region(mask=other))
    asked = made_for(guest, mask=mask, depth_file=depth, estimator="file", regions=regions)
    assert isinstance(guest.ending(), messages.Done)
    assert set(asked.files) == {str(guest.place / "job.EXR"), mask, other, depth}
    assert len(list((folder / "inputs" / "anna").iterdir())) == 3
    log = host.log()
    assert mask not in log.partition("Job job: ")[2] and asked.files[mask] in log  # the worker is given our copies


def test_a_file_that_was_not_uploaded_is_refused(host, guest):
    with pytest.raises(CycloramaError) as caught:
        guest.generate("quick")
    assert caught.value.code == "file-not-uploaded"
    asked = msgspec.structs.replace(guest.task("quick", "job"), files={"/toys/quick": "0" * 64 + ".exr"})
    with pytest.raises(CycloramaError) as caught:
        guest.request(asked)
    assert caught.value.code == "file-not-uploaded"
    assert guest.states() == {}


def test_an_upload_that_was_cut_goes_on_in_the_next_server(start, invite, tmp_path, folder):
    content = os.urandom(3 * messages.PIECE_BYTES + 7)
    (tmp_path / "big.exr").write_bytes(content)
    first = start(free_port(), listen="0.0.0.0")
    guest = Asker(tmp_path, tmp_path, invite("anna", first.port))
    asked = messages.Generate(job="j", panorama=str(tmp_path / "big.exr"), output="/o", settings=PanoramaTo4D())
    name = transfer._stored_name(tmp_path / "big.exr")
    size = len(content)
    assert guest.request(messages.Upload(file=name, size=size)).size == 0
    assert guest.request(piece(name, 0, content[: messages.PIECE_BYTES])).size == messages.PIECE_BYTES
    first.end(signal.SIGKILL)
    start(first.port, listen="0.0.0.0")
    told = []
    transfer.upload(guest.client, asked, lambda done, total: told.append(done))
    assert told[0] == 0 and told[-1] == size
    assert (folder / "inputs" / "anna" / name).read_bytes() == content
    assert guest.request(messages.Upload(file=name, size=size)).whole
    guest.client.close()


def test_what_is_not_what_it_says_is_not_kept(host, guest, folder):
    content = b"something else"
    name = "0" * 64 + ".exr"
    guest.request(messages.Upload(file=name, size=len(content)))
    with pytest.raises(CycloramaError) as caught:
        guest.request(piece(name, 0, content))
    assert caught.value.code == "upload-damaged"
    assert list((folder / "inputs" / "anna").iterdir()) == []


PIECES = {
    "upload-unknown": ("1" * 64, 0, b"x"),
    "upload-out-of-order": ("0" * 64, 5, b"x"),
    "upload-too-long": ("0" * 64, 0, b"x" * 11),
}


@pytest.mark.parametrize(("code", "wrong"), PIECES.items(), ids=PIECES)
def test_a_piece_that_does_not_fit_is_refused(host, guest, code, wrong):
    guest.request(messages.Upload(file="0" * 64, size=10))
    with pytest.raises(CycloramaError) as caught:
        guest.request(piece(*wrong))
    assert caught.value.code == code


def test_a_download_that_was_cut_goes_on_and_one_that_is_cancelled_leaves_nothing(host, guest):
    made_for(guest)
    guest.ending()
    arriving = guest.place / ".job.cyclorama.arriving"

    def cut(done, total):
        if done > total // 2:
            raise ConnectionError

    with pytest.raises(CycloramaError):
        transfer.download(guest.client, "job", guest.output("job"), told=cut)
    had = sum(path.stat().st_size for path in arriving.rglob("[!.]*") if path.is_file())
    assert had > 0 and not guest.output("job").exists()
    asked = count_fetches(guest)
    transfer.download(guest.client, "job", guest.output("job"))
    Scene(guest.output("job")).validate()
    size = sum(path.stat().st_size for path in guest.output("job").rglob("*") if path.is_file())
    assert sum(fetch.length for fetch in asked) == size - had

    def cancel(done, total):
        if done > total // 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        transfer.download(guest.client, "job", guest.output("again"), told=cancel)
    assert {path.name for path in guest.place.iterdir()} == {"job.EXR", "job.cyclorama"}


def count_fetches(guest) -> list[messages.Fetch]:
    asked, ask = [], guest.client.ask

    def counting(message):
        if isinstance(message, messages.Fetch):
            asked.append(message)
        return ask(message)

    guest.client.ask = counting
    return asked


def test_what_arrived_of_another_scene_is_not_mixed_in(host, guest):
    made_for(guest)
    guest.ending()
    arriving = guest.place / ".job.cyclorama.arriving"
    arriving.mkdir()
    (arriving / "static.safetensors").write_bytes(b"another" * 1000)
    (arriving / "scene.json").write_bytes(b"{}" * 100_000)
    transfer.download(guest.client, "job", guest.output("job"))
    Scene(guest.output("job")).validate()


def test_a_download_outlives_a_restart_of_the_server(start, invite, tmp_path):
    first = start(free_port(), listen="0.0.0.0")
    guest = Asker(tmp_path, tmp_path, invite("anna", first.port))
    made_for(guest)
    guest.ending()
    cut = threading.Event()

    def told(done, total):
        if done > total // 2 and not cut.is_set():
            cut.set()
            time.sleep(0.5)

    thread = threading.Thread(
        target=transfer.download, args=(guest.client, "job", guest.output("job")), kwargs={"told": told}
    )
    thread.start()
    assert cut.wait(30)
    first.end(signal.SIGKILL)
    start(first.port, listen="0.0.0.0")
    thread.join(60)
    Scene(guest.output("job")).validate()
    guest.client.close()


@pytest.mark.parametrize("name", ["../job/scene.cyclorama/scene.json", "/etc/passwd", "keys.json", "video", "."])
def test_nothing_but_the_files_of_a_scene_is_given_out(host, guest, name):
    made_for(guest)
    guest.ending()
    with pytest.raises(CycloramaError) as caught:
        guest.request(messages.Fetch(job="job", name=name, offset=0))
    assert caught.value.code == "scene-not-there"


def test_a_link_out_of_a_scene_is_not_followed(host, guest, folder):
    made_for(guest)
    guest.ending()
    file = folder / "outputs" / "anna" / "job" / "scene.cyclorama" / "preview.webp"
    file.unlink()
    file.symlink_to(folder / "keys.json")
    with pytest.raises(CycloramaError) as caught:
        guest.request(messages.Fetch(job="job", name="preview.webp", offset=0))
    assert caught.value.code == "scene-not-there"


def test_a_guest_sees_all_jobs_but_touches_only_its_own(host, guest, asker):
    asker.generate("endless")
    asker.wait_until_it_runs()
    until(lambda: guest.states() == {"job": "running"})
    requests = (messages.Cancel, messages.Retry, messages.Forget, messages.Recall, messages.Browse)
    for request in [kind(job="job") for kind in requests] + [messages.Fetch(job="job", name="scene.json", offset=0)]:
        with pytest.raises(CycloramaError) as caught:
            guest.request(request)
        assert caught.value.code == "job-not-yours"
    with pytest.raises(CycloramaError) as caught:
        guest.request(messages.Shutdown())
    assert caught.value.code == "guests-cannot"
    assert asker.states() == {"job": "running"}
    asker.cancel()


def test_a_guest_that_is_revoked_is_out_at_once_and_the_others_stay(host, guest, asker, invite, folder):
    assert guest.states() == {}
    Guests(folder).revoke("anna")
    with pytest.raises(CycloramaError) as caught:
        guest.request(messages.Status(), 5)
    assert caught.value.code == "key-not-known"
    assert asker.states() == {}
    invite_again = invite("bert", host.port)
    other = Asker(folder, guest.place, invite_again)
    assert other.states() == {}
    other.client.close()


def test_an_invitation_is_for_its_reader_only(host, guest, tmp_path, folder):
    assert guest.states() == {}
    for path in (tmp_path / "anna.json", folder / "allowed-keys.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = Address.from_invitation(tmp_path / "anna.json").client_secret
    assert secret not in (folder / "allowed-keys.json").read_text() + host.log()


def test_a_damaged_list_lets_nobody_in_and_the_computer_itself_stays(host, guest, asker, folder):
    assert guest.states() == {}
    (folder / "allowed-keys.json").write_text("{")
    with pytest.raises(CycloramaError):
        guest.request(messages.Status(), 3)
    assert asker.states() == {}


def test_only_those_who_are_told_to_listen_to_others_do(start, invite, tmp_path):
    port = free_port()
    backend = start(port)
    address = invite("anna", port)
    guest = Asker(tmp_path, tmp_path, address)  # as through a tunnel
    assert guest.states() == {}
    guest.client.close()
    listening = open(f"/proc/{backend.process.pid}/net/tcp").read()  # noqa: PTH123, SIM115
    mine = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[1].endswith(f":{backend.port:04X}")]
    assert set(mine) == {f"0100007F:{backend.port:04X}"}
