"""The two ends of the wire find each other, keep strangers out, and survive each other's end."""

import socket
import stat
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import replace

import msgspec
import pytest
import zmq

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address, Keys, backend_folder, open_folder
from cyclorama.bridge.client import Client
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.wire import Peer, Server, no_guest


class Host:
    """A server in a thread that welcomes, and knows no jobs."""

    def __init__(self, folder, port=0, host="", guest_of=no_guest):
        open_folder(folder)
        keys = Keys.load_or_make(folder)
        self.server = Server(keys, port, host, guest_of)
        self.peers: list[Peer] = []
        self.address = Address.of(self.server.endpoint, keys)
        self.address.save(folder)
        self.heard: list[messages.Request] = []
        self.mute = False
        self._outbox: deque[tuple[Peer, messages.Event]] = deque()
        self._open = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while self._open:
            received = self.server.receive(5)
            if received and not self.mute:
                self._answer(*received)
            while self._outbox:
                self.server.send(*self._outbox.popleft())
        self.server.close()

    def tell(self, client, *events):
        """From any thread: a socket belongs to one."""
        self._outbox.extend((client, event) for event in events)
        self.server.wake()

    def _answer(self, client, request):
        self.heard.append(request)
        self.peers.append(client)
        reply = messages.Pong(request=request.request)
        if isinstance(request, messages.Hello):
            reply = messages.Welcome(request=request.request, protocol=1, version="0", device="D", recipes=())
        if isinstance(request, messages.Status):
            reply = messages.Jobs(request=request.request, jobs=())
        self.server.send(client, reply)

    def close(self):
        self._open = False
        self.server.wake()
        self._thread.join()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backend"


@pytest.fixture
def host(folder):
    host = Host(folder)
    yield host
    host.close()


@pytest.fixture
def client(folder, host):
    with Client(folder, silence=2) as client:
        yield client


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


def raw_socket(address, **other):
    """A DEALER with the address's keys, or others; and its context."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.rcvtimeo = 10_000
    keys = replace(address, **other)
    dealer.curve_serverkey = keys.server_public.encode()
    dealer.curve_publickey = keys.client_public.encode()
    dealer.curve_secretkey = keys.client_secret.encode()
    dealer.connect(address.endpoint)
    return dealer, context


def test_a_client_is_welcomed_and_answered(client):
    assert isinstance(client.request(messages.Status()), messages.Jobs)
    assert client.state == "connected"
    assert client.welcome.device == "D"
    assert client.trouble is None


def test_what_is_sent_before_there_is_a_backend_arrives_when_there_is_one(folder):
    with Client(folder) as client:
        client.send(messages.Cancel(job="j", request="r"))
        until(lambda: client.trouble and client.trouble.code == "backend-not-running")
        assert client.state == "connecting"
        host = Host(folder)
        until(lambda: messages.Cancel(job="j", request="r") in host.heard)
        host.close()


def test_a_client_keeps_pinging(client, host):
    until(lambda: sum(isinstance(request, messages.Ping) for request in host.heard) >= 2)
    assert client.state == "connected"
    assert [type(message) for message in client.drain()] == [messages.Welcome]


def test_a_silent_backend_is_noticed_and_found_again(client, host):
    client.request(messages.Status())
    host.mute = True
    until(lambda: client.state == "lost")
    assert client.trouble.code == "backend-silent"
    host.mute = False
    until(lambda: client.state == "connected")


def test_a_backend_started_anew_at_another_port_is_found(folder):
    first = Host(folder)
    with Client(folder) as client:
        client.request(messages.Status())
        first.close()
        second = Host(folder)
        until(lambda: any(isinstance(request, messages.Hello) for request in second.heard))
        assert client.request(messages.Status(), timeout=20)
        second.close()


def test_asking_where_no_backend_runs_says_so_and_is_not_asked_later(folder):
    with Client(folder) as client:
        with pytest.raises(CycloramaError) as caught:
            client.request(messages.Shutdown(), timeout=0.5)
        assert caught.value.code == "backend-not-running"
        host = Host(folder)
        client.request(messages.Status(), timeout=20)
        assert not any(isinstance(request, messages.Shutdown) for request in host.heard)
        host.close()


def test_a_refusal_is_raised_with_its_code(client):
    absurd = messages.Generate(job="no such name", panorama="/p", output="/o", settings=None)  # pyright: ignore
    with pytest.raises(CycloramaError) as caught:
        client.request(absurd)
    assert caught.value.code == "message-not-understood"


def test_text_that_is_not_unicode_is_refused_before_it_is_sent(client):
    with pytest.raises(CycloramaError) as caught:
        client.send(messages.Hello(client="\udc80"))
    assert caught.value.code == "text-not-unicode"


def test_of_unread_progress_and_previews_only_the_newest_are_kept(client, host):
    client.request(messages.Status())
    client.drain()
    events: list[messages.Event] = []
    for step in range(100):
        events.append(messages.Progress(job="j", stage="lift", step=step, total=100, fraction=0))
        events.append(messages.Preview(job="j", step=step, total=100, picture=b"w" * 10_000))
    host.tell(Peer(client._identity), *events, messages.Preview(job="other", step=7, total=100, picture=b"w"))
    until(lambda: client._inbox and client._inbox[-1].job == "other")
    assert [(type(message), message.job, message.step) for message in client.drain()] == [
        (messages.Progress, "j", 99),
        (messages.Preview, "j", 99),
        (messages.Preview, "other", 7),
    ]


NO_MESSAGES = {
    "no frame": [b""],
    "noise": [b"\xc1\xff\x00"],
    "many frames": [b"a"] * 1000,
    "unknown": [msgspec.msgpack.encode({"type": "Dance", "request": "r"})],
    "long": [b"\0" * (messages.MAX_HEADER_BYTES + 1)],
}


@pytest.mark.parametrize("frames", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_is_no_message_is_refused_and_the_next_is_answered(host, frames):
    dealer, context = raw_socket(host.address)
    dealer.send_multipart(frames)
    refused = messages.decode_reply(dealer.recv())
    assert isinstance(refused, messages.Refused)
    assert refused.code == ("message-too-long" if len(frames[0]) > 10_000 else "message-not-understood")
    dealer.send(messages.encode(messages.Ping()))
    assert messages.decode_reply(dealer.recv()) == messages.Pong()
    context.destroy(0)


def test_a_frame_beyond_all_measure_does_not_disturb_others(host, client):
    dealer, context = raw_socket(host.address)
    dealer.send(bytes(1 << 25))
    assert client.request(messages.Status())
    context.destroy(0)


def strange_keys():
    public, secret = (key.decode() for key in zmq.curve_keypair())
    return {
        "unknown client": {"client_public": public, "client_secret": secret},
        "secret that does not fit": {"client_secret": secret},
        "wrong server": {"server_public": public},
    }


@pytest.mark.parametrize("other", strange_keys().values(), ids=strange_keys())
def test_wrong_keys_get_no_answer(host, client, other):
    dealer, context = raw_socket(host.address, **other)
    dealer.send(messages.encode(messages.Hello(client="stranger")))
    assert client.request(messages.Status())  # in the meantime
    assert not dealer.poll(500)
    assert not any(isinstance(request, messages.Hello) and request.client == "stranger" for request in host.heard)
    context.destroy(0)


def test_no_keys_get_no_answer(host):
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(host.address.endpoint)
    dealer.send(messages.encode(messages.Hello(client="stranger")))
    assert not dealer.poll(500)
    assert not host.heard
    context.destroy(0)


def test_a_program_that_speaks_no_zeromq_is_ignored(host, client):
    port = int(host.address.endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        assert client.request(messages.Status())


def test_a_port_in_use_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CycloramaError) as caught:
            Server(keys_in(folder), port)
    assert caught.value.code == "port-in-use"
    assert str(port) in caught.value.sentence
    assert "--port" in caught.value.hint


def keys_in(folder):
    open_folder(folder)
    return Keys.load_or_make(folder)


def test_a_port_that_is_none_is_named(folder):
    with pytest.raises(CycloramaError) as caught:
        Server(keys_in(folder), 70_000)
    assert caught.value.code == "port-not-usable"


def test_keys_and_address_are_for_this_user_only(host, folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"keys.json", "address.json"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_keys_are_made_once(folder):
    assert keys_in(folder) == keys_in(folder)


def test_damaged_keys_are_named(folder):
    keys_in(folder)
    (folder / "keys.json").write_text("{")
    with pytest.raises(CycloramaError, match=r"keys\.json"):
        keys_in(folder)


def test_a_damaged_address_is_told(folder):
    open_folder(folder)
    (folder / "address.json").write_text('{"endpoint": 3}')
    with Client(folder) as client:
        until(lambda: client.trouble and client.trouble.code == "address-unreadable")


def test_an_address_that_leads_nowhere_is_told(folder):
    keys = keys_in(folder)
    Address.of("nowhere", keys).save(folder)
    with Client(folder) as client:
        until(lambda: client.trouble and client.trouble.code == "backend-unreachable")
        Address.of("tcp://127.0.0.1:1", replace(keys, server_public="short")).save(folder)
        until(lambda: client.trouble.sentence.startswith("tcp://127.0.0.1:1"))


def test_the_folder_is_that_of_the_argument_or_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CYCLORAMA_FOLDER", str(tmp_path))
    assert backend_folder() == tmp_path
    assert backend_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("CYCLORAMA_FOLDER")
    assert backend_folder().name == "backend"


def test_a_program_that_forgets_to_close_its_client_still_ends(host, folder):
    program = (
        "import sys; from pathlib import Path; from cyclorama.bridge import client, messages\n"
        "c = client.Client(Path(sys.argv[1])); c.request(messages.Status())"
    )
    subprocess.run([sys.executable, "-c", program, folder], check=True, timeout=60)


def test_a_client_that_closes_says_goodbye(host, folder):
    with Client(folder) as client:
        client.request(messages.Status())
    until(lambda: any(isinstance(request, messages.Goodbye) for request in host.heard))


def test_a_question_that_went_down_with_a_backend_is_asked_again_but_no_shutdown(folder):
    first = Host(folder)
    with Client(folder, silence=2) as client:
        client.request(messages.Status())
        first.mute = True
        answer, shutdown = client.ask(messages.Status()), client.ask(messages.Shutdown())
        until(lambda: not client._outbox)
        first.close()
        second = Host(folder)
        assert isinstance(answer.wait(20), messages.Jobs)
        shutdown.drop()
        assert not any(isinstance(request, messages.Shutdown) for request in second.heard)
        second.close()


def guest_address(host, **other):
    public, secret = (key.decode() for key in zmq.curve_keypair())
    address = replace(host.address, client_public=public, client_secret=secret, instance="", guest="anna")
    return replace(address, **other)


@pytest.fixture
def guests():
    """Names by public key."""
    return {}


@pytest.fixture
def open_host(folder, guests):
    host = Host(folder, host="0.0.0.0", guest_of=guests.get)
    yield host
    host.close()


def test_a_guest_is_let_in_by_its_key_and_known_by_its_name(open_host, guests, tmp_path):
    address = guest_address(open_host)
    guests[address.client_public] = "anna"
    with Client(tmp_path / "no backend", address=address) as client:
        assert client.remote
        client.request(messages.Status())
    assert {peer.guest for peer in open_host.peers} == {"anna"}


def test_a_guest_that_is_taken_off_the_list_is_not_heard_though_it_stays_connected(open_host, guests, tmp_path):
    address = guest_address(open_host)
    guests[address.client_public] = "anna"
    dealer, context = raw_socket(address)
    dealer.send(messages.encode(messages.Ping()))
    assert messages.decode_reply(dealer.recv()) == messages.Pong()
    guests.clear()
    dealer.send(messages.encode(messages.Cancel(job="late")))
    assert not dealer.poll(500)
    assert messages.Cancel(job="late") not in open_host.heard
    context.destroy(0)


def own_addresses():
    """Of this machine, beside loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return [probe.getsockname()[0]]
        except OSError:
            return []


@pytest.mark.skipif(not own_addresses(), reason="no network")
def test_the_key_of_the_computer_itself_counts_only_there(open_host):
    elsewhere = f"tcp://{own_addresses()[0]}:{open_host.server.port}"
    dealer, context = raw_socket(replace(open_host.address, endpoint=elsewhere))
    dealer.send(messages.encode(messages.Ping()))
    assert not dealer.poll(500)
    assert not open_host.heard
    context.destroy(0)


@pytest.mark.parametrize("address", ["no address", "203.0.113.7", "999.1.1.1"])
def test_an_address_that_is_not_ours_is_named(folder, address):
    with pytest.raises(CycloramaError) as caught:
        Server(keys_in(folder), 0, address)
    assert caught.value.code == "host-not-usable"
    assert address in caught.value.sentence


def test_where_no_guest_is_expected_it_listens_to_loopback_only(host):
    assert host.server.endpoint.startswith("tcp://127.0.0.1:")
    for address in own_addresses():
        with pytest.raises(OSError), socket.create_connection((address, host.server.port), timeout=2):
            pass


def test_it_listens_on_one_address_and_loopback(folder):
    for address in own_addresses():
        host = Host(folder, host=address)
        for each in (address, "127.0.0.1"):
            socket.create_connection((each, host.server.port), timeout=2).close()
        host.close()
