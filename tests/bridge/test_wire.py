"""The backend lets in whom it knows, keeps strangers out, and holds no more than it must."""

import socket
import stat
from dataclasses import replace

import msgspec
import pytest
import zmq

from cyclorama.bridge import messages
from cyclorama.bridge.address import Keys, open_folder
from cyclorama.bridge.client import Client
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import frames_of, reply_in
from cyclorama.bridge.wire import Server

from .wire_host import Host, guest_address, raw_socket, until


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
    refused = reply_in(dealer.recv_multipart())
    assert isinstance(refused, messages.Refused)
    assert refused.code == ("message-too-long" if len(frames[0]) > 10_000 else "message-not-understood")
    dealer.send_multipart(frames_of(messages.Ping()))
    assert reply_in(dealer.recv_multipart()) == messages.Pong()
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
    dealer.send_multipart(frames_of(messages.Hello(client="stranger")))
    assert client.request(messages.Status())  # in the meantime
    assert not dealer.poll(500)
    assert not any(isinstance(request, messages.Hello) and request.client == "stranger" for request in host.heard)
    context.destroy(0)


def test_no_keys_get_no_answer(host):
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(host.address.endpoint)
    dealer.send_multipart(frames_of(messages.Hello(client="stranger")))
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
    dealer.send_multipart(frames_of(messages.Ping()))
    assert reply_in(dealer.recv_multipart()) == messages.Pong()
    guests.clear()
    dealer.send_multipart(frames_of(messages.Cancel(job="late")))
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


def test_the_key_of_the_computer_itself_counts_only_at_its_own_door(open_host):
    for address in ("127.0.0.1", *own_addresses()):
        by_the_guests_door = f"tcp://{address}:{open_host.server.port}"
        dealer, context = raw_socket(replace(open_host.address, endpoint=by_the_guests_door))
        dealer.send_multipart(frames_of(messages.Ping()))
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
    assert (host.server.port, host.server.listens_at) == (0, "")
    port = int(host.server.endpoint.rpartition(":")[2])
    for address in own_addresses():
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass


def test_it_listens_on_the_address_it_was_given_only(folder):
    for address in own_addresses():
        host = Host(folder, host=address)
        socket.create_connection((address, host.server.port), timeout=2).close()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", host.server.port), timeout=2)
        host.close()


def test_programs_on_this_computer_come_by_a_socket_file_that_is_theirs_only(folder):
    host = Host(folder, socket=socket_file(folder))
    assert host.server.endpoint == f"ipc://{socket_file(folder)}"
    assert stat.S_IMODE(socket_file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with Client(folder) as client:
        assert isinstance(client.request(messages.Status()), messages.Jobs)
    host.close()
    assert not socket_file(folder).exists()


def socket_file(folder):
    """Short enough on every system."""
    if not zmq.has("ipc"):
        pytest.skip("no socket files on this system")
    if len(str(folder / "s")) > zmq.IPC_PATH_MAX_LEN:
        pytest.skip("the temporary folder has too long a name")
    return folder / "s"


def test_a_socket_file_that_a_killed_server_left_is_replaced(folder):
    open_folder(folder)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_file(folder)))
    host = Host(folder, socket=socket_file(folder))
    with Client(folder) as client:
        assert client.request(messages.Status())
    host.close()


def long_name(folder):
    return folder / ("s" * 120)


def open_to_others(folder):
    folder.chmod(0o755)
    return folder / "s"


def a_file(folder):
    (folder / "s").write_text("mine")
    return folder / "s"


def a_link(folder):
    (folder / "elsewhere").write_text("mine")
    (folder / "s").symlink_to(folder / "elsewhere")
    return folder / "s"


@pytest.mark.parametrize("fault", [long_name, open_to_others, a_file, a_link])
def test_where_no_socket_file_can_be_they_come_by_a_port_with_a_key(folder, fault):
    open_folder(folder)
    path = fault(folder)
    server = Server(Keys.load_or_make(folder), socket=path)
    assert server.endpoint.startswith("tcp://127.0.0.1:")
    server.close()
    assert not path.exists() or path.read_text() == "mine"


def test_a_client_that_reads_nothing_fills_up_and_one_that_left_is_gone(host, client):
    assert client.request(messages.Status())
    others = set(host.peers)
    dealer, context = raw_socket(host.address, takes=1)
    dealer.send_multipart(frames_of(messages.Ping()))
    dealer.recv_multipart()
    deaf, outcomes = next(peer for peer in host.peers if peer not in others), []
    large = messages.Log(text="x" * (1 << 18))

    def fill():
        outcomes.append("sent")
        while len(outcomes) < 1000 and outcomes[-1] == "sent":
            outcomes.append(host.server.send(deaf, large))

    host.do(fill)
    until(lambda: "full" in outcomes)
    assert len(outcomes) < 200  # some 4 MB, and what the system's own queues hold
    assert client.request(messages.Status())
    context.destroy(0)
    host.do(lambda: outcomes.append(host.server.send(deaf, messages.Pong())))
    until(lambda: outcomes[-1] == "gone" or host.do(lambda: outcomes.append(host.server.send(deaf, messages.Pong()))))


def test_a_guest_whose_key_is_taken_away_is_gone_at_the_next_send(open_host, guests):
    address = guest_address(open_host)
    guests[address.client_public] = "anna"
    dealer, context = raw_socket(address)
    dealer.send_multipart(frames_of(messages.Ping()))
    dealer.recv_multipart()
    anna = open_host.peers[-1]
    assert anna.guest == "anna"
    guests.clear()
    open_host.tell(anna, messages.Forgotten(job="j"))
    until(lambda: open_host.outcomes[-1:] == ["gone"])
    assert not dealer.poll(200)
    context.destroy(0)


def test_guests_that_are_cut_come_back_to_the_same_port_and_our_own_programs_notice_nothing(
    open_host, guests, tmp_path, folder
):
    address = guest_address(open_host)
    guests[address.client_public] = "anna"
    port = open_host.server.port
    with Client(tmp_path / "none", address=address) as guest, Client(folder) as own:
        for _ in range(3):
            assert guest.request(messages.Status(), 20) and own.request(messages.Status())
            own.drain()
            open_host.do(open_host.server.drop_guests)
            assert guest.request(messages.Status(), 20)
            assert open_host.server.port == port
        until(lambda: sum(isinstance(message, messages.Welcome) for message in guest.drain()))
        assert own.state == "connected" and not own.drain()


def test_with_a_port_and_no_address_guests_come_from_this_computer_as_through_a_tunnel(folder, guests, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host = Host(folder, port, guest_of=guests.get)
    assert (host.server.port, host.server.listens_at) == (port, f"tcp://127.0.0.1:{port}")
    address = guest_address(host)
    guests[address.client_public] = "anna"
    with Client(tmp_path / "none", address=address) as guest:
        assert guest.request(messages.Status(), 20)
    assert {peer.guest for peer in host.peers} == {"anna"}
    host.close()


def test_keys_that_others_could_read_are_closed_to_them(folder, caplog):
    keys = keys_in(folder)
    (folder / "keys.json").chmod(0o644)
    assert keys_in(folder) == keys
    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600
    assert "keys.json" in caplog.text
    assert keys.server_secret not in caplog.text


@pytest.mark.parametrize("field", ["server_secret", "client_public"])
def test_a_key_that_does_not_fit_its_pair_is_damage(folder, field):
    keys = keys_in(folder)
    other = zmq.curve_keypair()[0].decode()
    (folder / "keys.json").write_bytes(msgspec.json.encode(replace(keys, **{field: other})))
    with pytest.raises(CycloramaError, match=r"keys\.json") as caught:
        keys_in(folder)
    assert caught.value.code == "address-unreadable"
    assert other not in str(caught.value)


def test_no_secret_is_shown_where_keys_or_addresses_are(host, folder):
    keys = Keys.load_or_make(folder)
    shown = repr(keys) + str(host.address)
    assert keys.server_secret not in shown and keys.client_secret not in shown
