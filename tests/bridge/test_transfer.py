"""A scene that is fetched arrives as it was made, through cuts; what a backend makes up is written nowhere."""

import hashlib
import os
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Address, Keys, open_folder
from cyclorama.bridge.client import Client
from cyclorama.bridge.errors import Cancelled, CycloramaError
from cyclorama.bridge.frames import checksum, frames_of, reply_in
from cyclorama.bridge.scene import Scene
from cyclorama.bridge.scene_writer import SceneWriter
from cyclorama.bridge.wire import Server
from tests.backend.server.small_scene import fill, write_scene

PIECE = messages.PIECE_BYTES


class StandIn:
    """A server in a thread that gives out files from memory, or tells lies about them.

    Attributes:
        listed: what it says it has.
        content: what it has.
        asked: all ``Fetch`` so far.
        answering: while it is off, questions about bytes are kept waiting.
        damages: so many of the next pieces do not match their checksums.
    """

    def __init__(self, folder: Path, content: dict[str, bytes]):
        open_folder(folder)
        keys = Keys.load_or_make(folder)
        self.server = Server(keys, host="127.0.0.1", guest_of=lambda key: "anna")
        self.give_out(content)
        self.asked: list[messages.Fetch] = []
        self.answering = True
        self.lie = lambda fetch, true: true
        self.most_waiting = 0
        self.damages = 0
        self._folder = folder
        self._waiting: deque = deque()
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.address = Address.of(f"tcp://127.0.0.1:{self.server.port}", keys)

    def give_out(self, content):
        self.content = content
        self.listed = {name: described(text) for name, text in content.items()}

    def _run(self):
        while self._open:
            received = self.server.receive(0.05)
            if received:
                self._hear(*received)
            self.most_waiting = max(self.most_waiting, len(self._waiting))
            while self._waiting and self.answering:
                client, fetch = self._waiting[0]
                if self.server.send(client, self._fetched(fetch)) == "full":
                    break
                self._waiting.popleft()
        self.server.close()

    def _hear(self, client, request):
        reply: messages.Reply = messages.Pong(request=request.request)
        if isinstance(request, messages.Hello):
            reply = messages.Welcome(
                request=request.request, protocol=6, version="0", device="D", recipes=(), guest="a"
            )
        if isinstance(request, messages.Browse):
            reply = messages.Package(request=request.request, job=request.job, files=self.listed)
        if isinstance(request, messages.Fetch):
            self.asked.append(request)
            self._waiting.append((client, request))
            return
        self.server.send(client, reply)

    def _fetched(self, fetch):
        true = self.content[fetch.name][fetch.offset : fetch.offset + fetch.length]
        content = self.lie(fetch, true)
        damage, self.damages = bool(self.damages), max(self.damages - 1, 0)
        return messages.Fetched(request=fetch.request, checksum=checksum(content) ^ damage, content=content)

    def close(self):
        self._open = False
        self.server.wake()
        self._thread.join()


class Cutting:
    """A proxy on the way to a backend, whose connections can be cut."""

    def __init__(self, port: int):
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.cuts = 0
        self.cut_after: int | None = None
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._come = 0
        self._open = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while self._open:
            for ready in select.select([self._listening, *self._pairs], [], [], 0.05)[0]:
                if ready is self._listening:
                    ours, _ = self._listening.accept()
                    theirs = socket.create_connection(("127.0.0.1", self._target))
                    self._pairs |= {ours: theirs, theirs: ours}
                elif ready in self._pairs:
                    self._carry(ready)
        self._cut()
        self._listening.close()

    def _carry(self, ready):
        try:
            content = ready.recv(1 << 16)
            self._pairs[ready].sendall(content)
        except OSError:
            content = b""
        self._come += len(content)
        if not content:
            self._cut()
        elif self.cut_after is not None and self._come > self.cut_after:
            self._come, self.cuts = 0, self.cuts + 1
            self._cut()

    def _cut(self):
        for each in self._pairs:
            each.close()
        self._pairs.clear()

    def close(self):
        self._open = False
        self._thread.join()


def described(content: bytes) -> messages.PackageFile:
    return messages.PackageFile(len(content), hashlib.sha256(content).hexdigest())


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def scene(tmp_path):
    """Some 5 MB in a dozen files."""
    write_scene(tmp_path / "made.cyclorama", 80_000)
    return files_in(tmp_path / "made.cyclorama")


@pytest.fixture
def host(tmp_path, scene):
    host = StandIn(tmp_path / "backend", scene)
    yield host
    host.close()


@pytest.fixture
def client(tmp_path, host):
    with Client(tmp_path / "no backend", address=replace(host.address, guest="anna"), silence=2) as client:
        yield client


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return place


def outside(tmp_path: Path) -> set[Path]:
    return {path for path in tmp_path.rglob("*") if "made.cyclorama" not in path.parts and "backend" not in path.parts}


def refused(client, output, **more) -> str:
    with pytest.raises(CycloramaError) as caught:
        transfer.download(client, "job", output, **more)
    assert caught.value.args[0].endswith(".") and caught.value.hint
    return caught.value.code


def test_a_scene_arrives_as_it_was_made(client, scene, place):
    told = []
    transfer.download(client, "job", place / "s.cyclorama", told=lambda *bytes: told.append(bytes))
    assert files_in(place / "s.cyclorama") == scene
    assert told == sorted(told) and told[-1][0] == told[-1][1] == sum(map(len, scene.values()))
    assert [path.name for path in place.iterdir()] == ["s.cyclorama"]


def test_only_so_much_is_asked_for_ahead_and_through_the_ends_of_files(host, client, scene, place):
    host.answering = False
    thread = threading.Thread(target=transfer.download, args=(client, "job", place / "s.cyclorama"))
    thread.start()
    deadline = time.monotonic() + 20
    while host.most_waiting < 12 and time.monotonic() < deadline:
        time.sleep(0.02)
    ahead = sum(fetch.length for fetch in host.asked)
    assert 12 <= len(host.asked) <= messages.MOST_PIECES // 2
    assert ahead < (8 << 20) + PIECE
    assert len({fetch.name for fetch in host.asked}) > 5
    host.answering = True
    thread.join(30)
    assert files_in(place / "s.cyclorama") == scene


def test_what_says_what_is_in_a_scene_is_fetched_last(host, client, place):
    transfer.download(client, "job", place / "s.cyclorama")
    assert host.asked[-1].name == "scene.json"


@pytest.fixture
def cutting(host):
    cutting = Cutting(host.server.port)
    yield cutting
    cutting.close()


def test_a_download_goes_on_where_it_was_when_the_network_is_cut_again_and_again(host, place, tmp_path, cutting):
    with SceneWriter(tmp_path / "made.cyclorama", overwrite=True) as writer:
        writer.file("depth/000000.exr", lambda path: path.write_bytes(os.urandom(40 * PIECE + 11)))
        fill(writer, 50)
    host.give_out(files_in(tmp_path / "made.cyclorama"))
    cutting.cut_after = 6 << 20
    address = replace(host.address, endpoint=f"tcp://127.0.0.1:{cutting.port}", guest="anna")
    with Client(tmp_path / "no backend", address=address, silence=2) as client:
        transfer.download(client, "job", place / "s.cyclorama")
    assert cutting.cuts >= 3
    assert files_in(place / "s.cyclorama") == host.content
    different = {(fetch.name, fetch.offset) for fetch in host.asked}
    again = len(host.asked) - len(different)
    print(f"{cutting.cuts} cuts: {again} of {len(different)} pieces were asked for twice")
    assert again <= cutting.cuts * messages.MOST_PIECES // 2  # those that were on their way


def hear_all(client):
    """Return when the host has heard all that was asked until now. (It drops answers where there is no room.)"""
    while True:
        with suppress(CycloramaError):
            client.request(messages.Ping(), 1.0)
            return


def test_what_came_before_the_client_was_killed_is_not_fetched_again(host, client, scene, place):
    class Killed(BaseException):
        pass

    def kill(done, total):
        if done > total // 2:
            raise Killed

    with pytest.raises(Killed):
        transfer.download(client, "job", place / "s.cyclorama", told=kill)
    had = sum(len(content) for name, content in files_in(place / ".s.cyclorama.arriving").items() if name != ".scene")
    hear_all(client)
    host.asked.clear()
    transfer.download(client, "job", place / "s.cyclorama")
    assert files_in(place / "s.cyclorama") == scene
    assert sum(fetch.length for fetch in host.asked) == sum(map(len, scene.values())) - had < had


def arriving_of(scene: dict[str, bytes], place: Path) -> Path:
    """What an attempt has left of the scene."""
    arriving = place / ".s.cyclorama.arriving"
    arriving.mkdir()
    (arriving / ".scene").write_text(hashlib.sha256(scene["scene.json"]).hexdigest())
    return arriving


def test_what_a_power_cut_has_damaged_is_fetched_again(host, client, scene, place):
    arriving = arriving_of(scene, place)
    whole, part = "video/000003.exr", "static.safetensors"
    (arriving / "video").mkdir()
    (arriving / whole).write_bytes(bytes(len(scene[whole])))
    (arriving / part).write_bytes(bytes(100_000))
    transfer.download(client, "job", place / "s.cyclorama")
    assert files_in(place / "s.cyclorama") == scene
    assert {fetch.name for fetch in host.asked if fetch.offset == 0} == set(scene) - {"preview.webp"}  # it is empty


def test_what_came_of_another_scene_is_removed_first(host, client, scene, place):
    arriving = place / ".s.cyclorama.arriving"
    arriving.mkdir()
    (arriving / ".scene").write_text("0" * 64)
    (arriving / "static.safetensors").write_bytes(scene["static.safetensors"])
    transfer.download(client, "job", place / "s.cyclorama")
    assert files_in(place / "s.cyclorama") == scene
    assert sum(fetch.length for fetch in host.asked) == sum(map(len, scene.values()))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("where", ["", "video", "video/000001.exr", "static.safetensors"])
def test_a_link_that_somebody_put_where_the_scene_arrives_is_not_followed(client, scene, place, tmp_path, where):
    away = tmp_path / "away"
    away.mkdir()
    (away / "mine").write_text("mine")
    if where:
        link = arriving_of(scene, place) / where
        link.parent.mkdir(exist_ok=True)
    else:
        link = place / ".s.cyclorama.arriving"
    link.symlink_to(away / "mine" if "." in where else away)
    transfer.download(client, "job", place / "s.cyclorama")
    assert files_in(place / "s.cyclorama") == scene
    assert files_in(away) == {"mine": b"mine"}


def test_a_download_that_is_cancelled_while_nothing_comes_stops_and_leaves_nothing(host, client, place):
    host.answering = False
    asked_at = time.monotonic()

    def cancel(done, total):
        if time.monotonic() > asked_at + 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        transfer.download(client, "job", place / "s.cyclorama", told=cancel)
    took = time.monotonic() - asked_at - 0.5
    print(f"cancelled in {took:.2f} s")
    assert took < 5  # no wait for an answer
    assert list(place.iterdir()) == []


NAMES = [
    "../away.exr",
    "/away.exr",
    "video/../../away.exr",
    "video//away.exr",
    "./away.exr",
    "C:away.exr",
    "C:/away.exr",
    "..\\away.exr",
    "video\\away.exr",
    "\\\\server\\share\\away.exr",
    "video/away\0.exr",
    "nul.exr",
    "video/con.exr",
    "com1.exr",
    "away.exr.",
    "away.exr ",
    ".scene",
    ".hidden.exr",
    "video/.hidden.exr",
    "a/b/c.exr",
    "Static.safetensors",
    "video/000001.EXR",
    "owner",
    "static.safetensors/away.exr",
    "video/\u202egpj.exr",
    "v" * 300 + ".exr",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_that_names_a_file_elsewhere_or_one_no_system_has_is_not_fetched(host, client, place, tmp_path, name):
    before = outside(tmp_path)
    host.listed[name] = described(b"x")
    host.content[name] = b"x"
    assert refused(client, place / "s.cyclorama") == "scene-damaged"
    assert outside(tmp_path) == before
    assert not host.asked


@pytest.mark.parametrize(
    ("size", "code"), [(1 << 40, "disk-full"), (1 << 43, "scene-damaged"), ((1 << 64) - 1, "scene-damaged")]
)
def test_a_scene_that_says_it_is_enormous_is_not_fetched(host, client, place, size, code):
    host.listed["depth/000000.exr"] = messages.PackageFile(size, "0" * 64)
    assert refused(client, place / "s.cyclorama") == code
    assert not host.asked


def test_a_negative_size_is_no_message():
    package = messages.Package(job="j", files={"scene.json": messages.PackageFile(-1, "0" * 64)})
    with pytest.raises(CycloramaError) as caught:
        reply_in(frames_of(package))
    assert caught.value.code == "message-not-understood"


def test_a_scene_of_more_files_than_any_is_not_fetched(host, client, place):
    host.listed |= {f"video/{index:06d}.exr": messages.PackageFile(0, "0" * 64) for index in range(100_001)}
    assert refused(client, place / "s.cyclorama") == "scene-damaged"


def test_a_scene_that_does_not_say_what_is_in_it_is_not_fetched(host, client, place):
    del host.listed["scene.json"]
    assert refused(client, place / "s.cyclorama") == "scene-damaged"


LIES = {
    "less": lambda fetch, true: true[:-1],
    "nothing": lambda fetch, true: b"",
    "more": lambda fetch, true: true + b"x" * (len(true) < PIECE),
    "other bytes": lambda fetch, true: bytes(len(true)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_backend_that_promises_one_scene_and_sends_another_is_found_out(host, client, place, tmp_path, lie):
    before = outside(tmp_path)
    host.lie = lie
    assert refused(client, place / "s.cyclorama") == "scene-damaged"
    assert list(place.iterdir()) == []
    assert outside(tmp_path) == before
    most = 2 * sum(file.size for file in host.listed.values())
    assert sum(fetch.length for fetch in host.asked) <= most  # a damaged file comes twice, not for ever


def test_a_piece_that_was_damaged_on_its_way_is_asked_for_again_at_once(host, client, scene, place):
    host.damages = 3
    transfer.download(client, "job", place / "s.cyclorama")
    assert host.damages == 0
    assert files_in(place / "s.cyclorama") == scene


def test_a_scene_whose_own_list_differs_from_what_was_promised_does_not_take_its_place(host, client, scene, place):
    host.listed["video/000099.exr"] = described(b"more")
    host.content["video/000099.exr"] = b"more"
    assert refused(client, place / "s.cyclorama").startswith("package-")
    assert not (place / "s.cyclorama").exists()
    assert not list(place.glob(".*.partial"))


def test_a_scene_that_is_there_already_stays(client, place):
    write_scene(place / "s.cyclorama")
    before = files_in(place / "s.cyclorama")
    assert refused(client, place / "s.cyclorama") == "output-exists"
    assert files_in(place / "s.cyclorama") == before
    transfer.download(client, "job", place / "s.cyclorama", overwrite=True)
    assert files_in(place / "s.cyclorama") != before
    Scene(place / "s.cyclorama").validate()
