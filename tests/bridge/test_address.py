"""An invitation is read as it was written, and what is none is refused in a sentence."""

import msgspec
import pytest
import zmq

from cyclorama.bridge.address import Address
from cyclorama.bridge.errors import CycloramaError

PUBLIC, SECRET = (key.decode() for key in zmq.curve_keypair())
INVITATION = Address("tcp://gpu-room.local:47860", PUBLIC, PUBLIC, SECRET, guest="anna")


def written(tmp_path, **other):
    path = tmp_path / "invitation.json"
    path.write_bytes(msgspec.json.encode(msgspec.to_builtins(INVITATION) | other))
    return path


@pytest.mark.parametrize("endpoint", ["tcp://192.168.1.4:1", "tcp://[fe80::1]:47860", "tcp://gpu-room.local:47860"])
def test_it_is_read_as_it_was_written(tmp_path, endpoint):
    read = Address.from_invitation(written(tmp_path, endpoint=endpoint))
    assert read.endpoint == endpoint
    assert (read.guest, read.client_secret, read.remote) == ("anna", SECRET, True)


def test_the_address_of_our_own_backend_is_not_remote_and_no_invitation(tmp_path):
    assert not Address("tcp://127.0.0.1:1", PUBLIC, PUBLIC, SECRET, "instance").remote
    with pytest.raises(CycloramaError, match="it invites nobody"):
        Address.from_invitation(written(tmp_path, guest=""))


FAULTS = {
    "another protocol": {"endpoint": "ipc:///tmp/socket"},
    "no port": {"endpoint": "tcp://gpu-room.local"},
    "more than an address": {"endpoint": "tcp://a:1;tcp://b:1"},
    "short key": {"server_public": "abc"},
    "key with a sign that is none": {"client_public": "~" * 40},
    "key with an accent": {"client_secret": "é" * 40},
    "no key": {"client_secret": None},
    "a path as a name": {"guest": "../anna"},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_it_is_told(tmp_path, fault):
    with pytest.raises(CycloramaError, match=r"invitation\.json") as caught:
        Address.from_invitation(written(tmp_path, **fault))
    assert caught.value.code == "invitation-unreadable"
    assert "cyclorama keys invite" in caught.value.hint


NO_INVITATIONS = {
    "empty": b"",
    "a picture": b"\x89PNG\r\n",
    "a list": b"[]",
    "nested deeply": b"[" * 4000,
    "far too long": b" " * 5000,
    "not UTF-8": b'{"endpoint": "\xff"}',
}


@pytest.mark.parametrize("content", NO_INVITATIONS.values(), ids=NO_INVITATIONS)
def test_another_file_is_told(tmp_path, content):
    path = tmp_path / "invitation.json"
    path.write_bytes(content)
    with pytest.raises(CycloramaError) as caught:
        Address.from_invitation(path)
    assert caught.value.code == "invitation-unreadable"


def test_no_file_is_told(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(CycloramaError) as caught:
            Address.from_invitation(path)
        assert caught.value.code == "invitation-missing"
