"""A backend on another computer: files travel, the connection is tried for ever, and nothing is started here."""

import shutil
from pathlib import Path

import bpy
import msgspec
import pytest
import zmq

from cyclorama.addon import link, preferences
from cyclorama.addon.link import session
from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Address
from cyclorama.bridge.errors import CycloramaError

from .conftest import drain_until
from .packages import write_package
from .stand_in import StandIn, until_heard
from .test_jobs import ask


@pytest.fixture
def elsewhere(addon, tmp_path, monkeypatch) -> Path:
    """The folder of the other computer; to go there is set and allowed."""
    folder = tmp_path / "elsewhere"
    monkeypatch.setattr(preferences, "location", lambda: "ELSEWHERE")
    monkeypatch.setattr(preferences, "invitation", lambda: tmp_path / "invitation.json")
    monkeypatch.setattr(session, "_may_go_online", lambda: True)
    return folder


@pytest.fixture
def backend(elsewhere, tmp_path):
    backend = StandIn(elsewhere, guest="anna")
    invitation = vars(Address.load(elsewhere)) | {"guest": "anna"}
    (tmp_path / "invitation.json").write_bytes(msgspec.json.encode(invitation))
    yield backend
    backend.close()


@pytest.fixture
def carried(monkeypatch, tmp_path):
    """What travels, without a network: names of files that went up, and a scene that comes down."""
    went = []
    scene = write_package(tmp_path / "made there.cyclorama", video=False)

    def upload(_client, asked, told=transfer.untold):
        told(1, 2)
        went.append(asked.panorama)
        return msgspec.structs.replace(asked, files={asked.panorama: "0" * 64 + ".exr"})

    def download(_client, _job, output, *, overwrite=False, told=transfer.untold):
        told(1, 2)
        shutil.copytree(scene, output)
        return output

    monkeypatch.setattr(transfer, "upload", upload)
    monkeypatch.setattr(transfer, "download", download)
    return went


def test_files_go_up_the_scene_comes_down_and_is_imported(backend, carried, tmp_path):
    job = ask("mine", tmp_path)
    (asked,) = until_heard(backend, messages.Generate)
    assert carried == [asked.panorama] == list(asked.files)
    drain_until(lambda: job.listed)
    backend.put("mine", "done")
    drain_until(lambda: job.imported)
    assert job.package == tmp_path / "scenes" / "mine.cyclorama"
    assert job.imported in bpy.context.scene.collection.children


def test_nothing_is_started_here(backend):
    link.start_backend()
    drain_until(link.device)
    assert link.backend_pid() is None
    link.stop_backend()
    assert link.backend_state() == "off"
    link.drain()
    assert not backend.asked_for(messages.Shutdown), "it serves others too"


def test_a_scene_that_cannot_be_fetched_says_why(backend, carried, tmp_path, monkeypatch):
    def full(*_given, **_named):
        raise CycloramaError("disk-full", "The disk is full.", "Make room.")

    monkeypatch.setattr(transfer, "download", full)
    job = ask("mine", tmp_path)
    drain_until(lambda: job.listed)
    backend.put("mine", "done")
    drain_until(lambda: job.error)
    assert (job.state, job.error.sentence) == ("failed", "The disk is full.")


def test_an_upload_that_was_cut_is_taken_up_again(backend, carried, tmp_path, monkeypatch):
    upload, tries = transfer.upload, []

    def flaky(client, asked, told=transfer.untold):
        tries.append(asked.job)
        if len(tries) == 1:
            raise CycloramaError("backend-silent", "Nobody answers.")
        return upload(client, asked, told)

    monkeypatch.setattr(transfer, "upload", flaky)
    job = ask("mine", tmp_path)
    drain_until(lambda: job.listed)
    assert tries == ["mine", "mine"]


def test_cancelled_while_its_files_travel_a_job_is_never_asked_for(backend, tmp_path, monkeypatch):
    def slow(_client, _asked, told=transfer.untold):
        while True:
            told(1, 100)

    monkeypatch.setattr(transfer, "upload", slow)
    job = ask("mine", tmp_path)
    drain_until(lambda: job.state == "sending")
    bpy.ops.cyclorama.cancel(job="mine")
    assert job.state == "cancelled"
    for _ in range(3):
        link.drain()
    assert not backend.asked_for(messages.Generate)


def test_while_the_other_computer_is_off_the_job_waits_and_the_panel_says_why(elsewhere, backend, carried, tmp_path):
    backend.close(leave_address=True)
    job = ask("mine", tmp_path)
    drain_until(lambda: link.trouble())
    assert "tried again and again" in link.trouble().sentence
    assert (job.state, link.backend_state()) == ("starting", "starting")


def test_a_key_that_counts_no_longer_is_named_and_the_job_waits(elsewhere, backend, tmp_path):
    public, secret = (key.decode() for key in zmq.curve_keypair())
    invitation = vars(Address.load(elsewhere)) | {"guest": "anna", "client_public": public, "client_secret": secret}
    (tmp_path / "invitation.json").write_bytes(msgspec.json.encode(invitation))
    job = ask("mine", tmp_path)
    drain_until(link.trouble)
    assert (link.trouble().code, job.state) == ("key-not-known", "starting")
    assert "new invitation" in link.trouble().hint
    assert not backend.heard


def test_a_backend_of_another_version_elsewhere_is_named(elsewhere, tmp_path):
    backend = StandIn(elsewhere, guest="anna", protocol=messages.PROTOCOL + 1)
    invitation = vars(Address.load(elsewhere)) | {"guest": "anna"}
    (tmp_path / "invitation.json").write_bytes(msgspec.json.encode(invitation))
    link.start_backend()
    drain_until(link.trouble)
    assert (link.trouble().code, link.trouble().hint) == ("protocol-mismatch", "Update it.")
    backend.close()


@pytest.mark.parametrize(("content", "code"), [(None, "invitation-missing"), ("{", "invitation-unreadable")])
def test_a_bad_invitation_is_named(elsewhere, tmp_path, content, code):
    if content:
        (tmp_path / "invitation.json").write_text(content)
    job = ask("mine", tmp_path)
    link.drain()
    assert (job.state, job.error.code) == ("failed", code)


def test_offline_blender_does_not_go_there(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "_may_go_online", lambda: False)
    job = ask("mine", tmp_path)
    link.drain()
    assert "Allow Online Access" in job.error.hint
