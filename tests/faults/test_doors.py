"""Nobody gets in who was not let in: from strangers no message reaches what works for others, who notice nothing."""

import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import psutil
import pytest
import zmq

from cyclorama.backend.server.guests import Guests
from cyclorama.bridge import messages, wire
from cyclorama.bridge.address import Address
from cyclorama.bridge.client import Client
from cyclorama.bridge.door import MOST_CONNECTIONS
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import frames_of, reply_in

from ..bridge.wire_host import Host, guest_address, raw_socket, until
from .backends import TOY_WORKER, Artist
from .hand_made_guest import HandMadeGuest

FORBIDDEN = messages.Cancel(job="forbidden")
PATIENCE_MS = 300


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backend"


@pytest.fixture
def invited():
    """Names by public key."""
    return {}


@pytest.fixture
def host(folder, invited):
    with closing(Host(folder, host="127.0.0.1", guest_of=invited.get)) as host:
        yield host


@pytest.fixture
def anna(host, invited, tmp_path):
    """A guest that was let in and is served."""
    address = guest_address(host)
    invited[address.client_public] = "anna"
    with Client(tmp_path / "none", address=address, silence=3) as client:
        client.request(messages.Status(), 20)
        yield client


def others_are_served(*clients):
    for client in clients:
        assert isinstance(client.request(messages.Status(), 20), messages.Jobs)


def forbidden_heard(host):
    return [request for request in host.heard if getattr(request, "job", "") == FORBIDDEN.job]


def strangers():
    public, secret = (key.decode() for key in zmq.curve_keypair())
    return {
        "a key nobody knows": {"client_public": public, "client_secret": secret},
        "a known key without its secret": {"client_secret": secret},
        "for another server": {"server_public": public},
    }


@pytest.mark.parametrize("keys", strangers().values(), ids=strangers())
@pytest.mark.parametrize("where", ["guests", "own"])
def test_with_wrong_keys_nothing_is_heard(host, anna, folder, keys, where):
    endpoint = f"tcp://127.0.0.1:{host.server.port}" if where == "guests" else host.address.endpoint
    known = replace(host.address if where == "own" else anna._fixed, endpoint=endpoint)
    dealer, context = raw_socket(known, **keys)
    for _ in range(10):
        dealer.send_multipart(frames_of(FORBIDDEN))
    with Client(folder) as own:
        others_are_served(anna, own)
    assert not dealer.poll(PATIENCE_MS)
    assert not forbidden_heard(host)
    context.destroy(0)


OTHER_MECHANISMS = {
    "none": {},
    "password": {zmq.PLAIN_USERNAME: b"anna", zmq.PLAIN_PASSWORD: b"anna"},
    "as a server": {zmq.PLAIN_SERVER: 1},
}


@pytest.mark.parametrize("options", OTHER_MECHANISMS.values(), ids=OTHER_MECHANISMS)
@pytest.mark.parametrize("where", ["guests", "own"])
def test_without_a_key_nothing_is_heard(host, anna, options, where):
    endpoint = f"tcp://127.0.0.1:{host.server.port}" if where == "guests" else host.address.endpoint
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    for option, value in options.items():
        dealer.setsockopt(option, value)
    dealer.connect(endpoint)
    dealer.send_multipart(frames_of(FORBIDDEN))
    others_are_served(anna)
    assert not dealer.poll(PATIENCE_MS)
    assert not forbidden_heard(host)
    context.destroy(0)


def test_our_own_key_does_not_open_the_door_of_guests(host, anna):
    dealer, context = raw_socket(replace(host.address, endpoint=f"tcp://127.0.0.1:{host.server.port}"))
    dealer.send_multipart(frames_of(FORBIDDEN))
    others_are_served(anna)
    assert not dealer.poll(PATIENCE_MS)
    assert not forbidden_heard(host)
    context.destroy(0)


def test_the_key_of_a_guest_does_not_open_our_own_door(host, anna):
    dealer, context = raw_socket(replace(anna._fixed, endpoint=host.address.endpoint))
    dealer.send_multipart(frames_of(FORBIDDEN))
    others_are_served(anna)
    assert not dealer.poll(PATIENCE_MS)
    assert not forbidden_heard(host)
    context.destroy(0)


def test_a_key_that_is_taken_away_counts_no_longer_in_either_direction(host, anna, invited, folder):
    address = guest_address(host)
    invited[address.client_public] = "bert"
    dealer, context = raw_socket(address)
    dealer.send_multipart(frames_of(messages.Ping()))
    assert reply_in(dealer.recv_multipart()) == messages.Pong()
    bert = next(peer for peer in host.peers if peer.guest == "bert")
    del invited[address.client_public]
    host.tell(bert, messages.Forgotten(job="a secret"))
    until(lambda: host.outcomes[-1] == "gone")
    for _ in range(5):
        wire.send_now(dealer, frames_of(FORBIDDEN))
        assert not dealer.poll(100)
    with Client(folder) as own:
        others_are_served(anna, own)
    assert not forbidden_heard(host)
    context.destroy(0)


class Recorder:
    """A TCP proxy that keeps what clients send, and may send a part of it twice."""

    def __init__(self, port):
        self._to = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.recorded = b""
        self.twice = False
        """Whether what comes now is passed on two times."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source, target, record):
        with source, target:
            try:
                while piece := source.recv(1 << 16):
                    if record:
                        self.recorded += piece
                    target.sendall(piece * (2 if record and self.twice else 1))
            except OSError:
                return

    def close(self):
        self._door.close()


@pytest.fixture
def recorder(host):
    with closing(Recorder(host.server.port)) as recorder:
        yield recorder


def listened_to(host, invited, recorder):
    """A guest whose line is tapped, and its context."""
    address = guest_address(host, endpoint=f"tcp://127.0.0.1:{recorder.port}")
    invited[address.client_public] = "bert"
    return raw_socket(address)


def test_what_was_recorded_on_the_line_opens_nothing_when_it_is_played_back(host, anna, invited, recorder):
    dealer, context = listened_to(host, invited, recorder)
    dealer.send_multipart(frames_of(FORBIDDEN))
    dealer.recv_multipart()
    assert len(forbidden_heard(host)) == 1
    context.destroy(0)
    tape = recorder.recorded
    assert FORBIDDEN.job.encode() not in tape
    for start in (0, 64, len(tape) // 2):
        with socket.create_connection(("127.0.0.1", host.server.port), timeout=10) as played:
            played.sendall(tape[start:])
            played.settimeout(PATIENCE_MS / 1000)
            try:
                while played.recv(1 << 16):
                    pass
            except OSError:
                continue  # it waits for more
    others_are_served(anna)
    assert len(forbidden_heard(host)) == 1


def test_a_frame_that_comes_twice_on_its_own_line_is_heard_once(host, anna, invited, recorder):
    dealer, context = listened_to(host, invited, recorder)
    dealer.send_multipart(frames_of(messages.Ping()))
    dealer.recv_multipart()
    recorder.twice = True
    dealer.send_multipart(frames_of(FORBIDDEN))
    until(lambda: forbidden_heard(host))
    recorder.twice = False
    others_are_served(anna)
    assert len(forbidden_heard(host)) == 1
    context.destroy(0)


def noises():
    """What port scanners and lost programs send."""
    tls = bytes.fromhex("16030100c8010000c40303") + secrets.token_bytes(190)
    old = b"\xff" + bytes(8) + b"\x7f\x00"  # ZMTP 1, which knows no keys
    plain = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    return [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        tls,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        secrets.token_bytes(10_000),
        bytes(10_000),
        b"\xff" * 10_000,
        b"\x01\x00" + frames_of(FORBIDDEN)[0],
        old + b"\x01\x00" + b"\x00" + bytes([len(frames_of(FORBIDDEN)[0])]) + frames_of(FORBIDDEN)[0],
        plain + ready + b"\x00" + bytes([len(frames_of(FORBIDDEN)[0])]) + frames_of(FORBIDDEN)[0],
    ]


def test_scanners_and_noise_are_not_heard(host, anna, folder, times):
    own_port = int(host.address.endpoint.rpartition(":")[2])
    heard = len(host.heard)
    with Client(folder) as own:
        for _ in range(times(100)):
            for noise in noises():
                for port in (host.server.port, own_port):
                    with socket.create_connection(("127.0.0.1", port), timeout=10) as scanner:
                        scanner.sendall(noise)
            others_are_served(anna, own)
    others_are_served(anna)
    kinds = {type(request) for request in host.heard[heard:]}
    assert kinds <= {messages.Status, messages.Ping, messages.Hello, messages.Goodbye}
    assert not forbidden_heard(host)


@contextmanager
def slowly(port, greeting):
    """Somebody who sends a byte now and then and never comes to the point."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        going = threading.Event()

        def drip():
            for byte in greeting:
                if going.wait(0.5):
                    return
                try:
                    line.send(bytes([byte]))
                except OSError:
                    return

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        yield line
        going.set()
        dripping.join()


def test_who_does_not_come_to_the_point_is_hung_up_on(host, anna):
    with slowly(host.server.port, b"\xff" + bytes(100)) as line:
        others_are_served(anna)
        try:
            while line.recv(100):
                pass  # its own greeting
        except ConnectionResetError:
            pass
        others_are_served(anna)


def test_of_too_many_connections_none_stays_and_those_who_may_come_back(host, anna, folder, figures):
    with ExitStack() as stack, Client(folder) as own:
        others_are_served(own)
        own.drain()
        welcomes = len(host.asked(messages.Hello))
        for _ in range(2 * MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", host.server.port), timeout=10))
        until(lambda: len(host.asked(messages.Hello)) > welcomes)
        others_are_served(anna, own)
        assert not own.drain()  # no new Welcome: it was never cut
    figures(f"{2 * MOST_CONNECTIONS} connections at once; guests were welcomed again")


def test_a_guest_that_never_ends_its_message_does_not_fill_the_memory(folder, invited, tmp_path, monkeypatch, figures):
    limit = 64 << 20
    monkeypatch.setattr(wire, "MAX_GUEST_BYTES", limit)
    taken = []

    def memory():
        taken.append(psutil.Process().memory_info().rss)
        return taken[-1]

    with closing(Host(folder, host="127.0.0.1", guest_of=invited.get, memory=memory)) as host:
        good, evil = guest_address(host), guest_address(host)
        invited |= {good.client_public: "anna", evil.client_public: "bert"}
        endless = subprocess.Popen([sys.executable, "-c", ENDLESS, *endless_arguments(evil)])
        with Client(folder) as own, Client(tmp_path / "none", address=good) as guest, endless:
            before, waits = memory(), []
            while endless.poll() is None:
                asked = time.monotonic()
                others_are_served(own)
                waits.append(time.monotonic() - asked)
            own.drain()
            others_are_served(own, guest)
            assert not [message for message in own.drain() if isinstance(message, messages.Welcome)]
        assert endless.returncode == 0
        host.do(host.server.drop_guests)
        until(lambda: memory() - before < limit)
    assert not forbidden_heard(host)
    figures(
        f"1 GB of messages without end, limit {limit >> 20} MB: at most {(max(taken) - before) >> 20} MB more, "
        f"{(taken[-1] - before) >> 20} MB in the end; own requests waited {1000 * max(waits):.0f} ms at most"
    )
    assert max(taken) - before < 6 * limit  # it is looked at four times a second, on a machine that may be busy


ENDLESS = """
import sys, importlib.util
path, total, *address = sys.argv[1:]
found = importlib.util.spec_from_file_location("hand_made_guest", path)
module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
from cyclorama.bridge.address import Address
sent = cuts = 0
while sent < int(total):
    try:
        guest = module.HandMadeGuest(Address(*address))
        while sent < int(total):
            guest.send(bytes(1 << 20), more=True)
            sent += 1 << 20
    except (OSError, AssertionError):
        cuts += 1
    guest.close()
sys.exit(not cuts)
"""


def endless_arguments(address):
    keys = (address.endpoint, address.server_public, address.client_public, address.client_secret)
    HandMadeGuest(address).close()  # skips the test where it cannot be done
    path = sys.modules[HandMadeGuest.__module__].__file__
    assert path
    return path, str(1 << 30), *keys


def test_the_socket_file_is_for_this_user_only(start, folder):
    start((str(TOY_WORKER),))
    endpoint = Address.load(folder).endpoint
    if not endpoint.startswith("ipc:"):
        pytest.skip("no socket file here")
    path = endpoint.removeprefix("ipc://")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116
    if os.geteuid() == 0:  # so that we can be somebody else
        knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        command = ["/usr/bin/env", "python3", "-c", knock, path]
        refused = subprocess.run(command, user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True)
        assert refused.returncode and b"PermissionError" in refused.stderr, refused.stderr


def test_a_guest_whose_key_is_revoked_is_out_of_a_backend_that_runs(start, artist, folder, place, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    backend = start((str(TOY_WORKER),), listen="127.0.0.1", port=port)
    invitation = Guests(folder).invite("anna", "127.0.0.1", port)
    with Artist(tmp_path / "none", place, invitation) as guest:
        assert isinstance(guest.client.request(messages.Status(), 20), messages.Jobs)
        guest.client.drain()
        Guests(folder).revoke("anna")
        until(lambda: guest.client.trouble and guest.client.trouble.code == "key-not-known")
        with pytest.raises(CycloramaError):
            guest.client.request(messages.Status(), 1)
    assert artist.jobs() == {}
    log = (folder / "backend.log").read_text()
    assert "Guests are cut (anna)" in log
    assert invitation.client_secret not in log
    assert backend.process.poll() is None
