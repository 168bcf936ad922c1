"""Over real sockets: a backend that is sent rubbish serves on, and a client of a mad backend stays alive."""

import sys
import threading
from pathlib import Path
from random import Random

import msgspec
import pytest
import zmq

from cyclorama.backend.server.front import Front
from cyclorama.backend.server.journal import Journal
from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Address, Keys, open_folder
from cyclorama.bridge.client import Client
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import checksum, frames_of, request_in
from cyclorama.bridge.wire import Server

from .fuzzing import flood
from .fuzzing.watch import files_touched, resident_bytes

pytestmark = pytest.mark.timeout(1800)

NOBODY = Path(flood.__file__).with_name("nobody.py")


class Backend:
    """A server in a thread of this process, with a socket at which anything can be sent."""

    def __init__(self, folder: Path):
        open_folder(folder)
        self.folder = folder
        self.keys = Keys.load_or_make(folder)
        self.trouble: BaseException | None = None
        self._wire = Server(self.keys)
        self.address = Address.of(self._wire.endpoint, self.keys)
        self.address.save(folder)
        self._front: Front | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        journal = Journal(self.folder)
        try:
            self._front = Front(self._wire, self.folder, journal, [sys.executable, "-P", str(NOBODY)])
            self._ready.set()
            self._front.run()
        except BaseException as error:  # noqa: BLE001 (told by the test)
            self.trouble = error
        finally:
            journal.close()
            self._ready.set()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_exception):
        if self._front:
            self._front.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()


def dealer(context: zmq.Context, address: Address) -> zmq.Socket:
    socket: zmq.Socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.sndtimeo = socket.rcvtimeo = 30_000
    if not address.endpoint.startswith("ipc:"):
        socket.curve_serverkey = address.server_public.encode()
        socket.curve_publickey = address.client_public.encode()
        socket.curve_secretkey = address.client_secret.encode()
    socket.connect(address.endpoint)
    return socket


def test_a_backend_that_is_sent_rubbish_serves_on(tmp_path, times, figures):
    spoilt = flood.Flood(5, flood.corpus(messages.Request, 300))
    sent, before = times(40_000), resident_bytes()
    context = zmq.Context()
    with Backend(tmp_path / "backend") as backend, Client(backend.folder, name="honest") as honest:
        rubbish = dealer(context, backend.address)
        tally = flood.Tally()
        with files_touched(tmp_path) as touched:
            for number in range(sent):
                frames = spoilt.message() if number % 50 else frames_of(messages.Hello(client="fuzz"))
                if not frames or _ends_the_backend(frames):
                    continue
                rubbish.send_multipart(frames)
                tally.note("sent")
                while rubbish.poll(0):
                    rubbish.recv_multipart()
                    tally.note("answered")
                if number % 1000 == 0:
                    assert isinstance(honest.request(messages.Survey(), 30), messages.Surveyed)
        assert isinstance(honest.request(messages.Survey(), 30), messages.Surveyed)
        assert backend.trouble is None, backend.trouble
        grown = resident_bytes() - before
    context.destroy(0)
    assert backend.trouble is None, backend.trouble
    figures(f"{sent} over a socket: {dict(tally.outcomes)}; memory grew by {grown >> 20} MB")
    assert tally.outcomes["answered"] > sent / 10
    assert grown < 400 << 20
    assert {event for event, _ in touched} <= {"subprocess.Popen"}, touched


def _ends_the_backend(frames: list) -> bool:
    try:
        return isinstance(request_in(frames), messages.Shutdown)
    except CycloramaError:
        return False


class MadBackend:
    """Answers each request with what ``answer`` makes of it, in a thread."""

    def __init__(self, folder: Path, answer):
        open_folder(folder)
        self.folder = folder
        keys = Keys.load_or_make(folder)
        self._answer = answer
        self._context = zmq.Context()
        self._router: zmq.Socket = self._context.socket(zmq.ROUTER)
        self._router.linger = 0
        self._router.sndhwm = 0  # it drops nothing
        self._router.curve_server = True
        self._router.curve_publickey, self._router.curve_secretkey = (
            keys.server_public.encode(),
            keys.server_secret.encode(),
        )
        port = self._router.bind_to_random_port("tcp://127.0.0.1")
        Address.of(f"tcp://127.0.0.1:{port}", keys).save(folder)
        self._ending = threading.Event()
        self.trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                if self._router.poll(50):
                    identity, *frames = self._router.recv_multipart()
                    for answer in self._answer(request_in(frames)):
                        self._router.send_multipart([identity, *answer])
        except BaseException as error:  # noqa: BLE001 (told by the test)
            self.trouble = error
        finally:
            self._router.close(0)
            self._context.term()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._ending.set()
        self._thread.join(30)
        assert self.trouble is None, self.trouble


def welcome(request: messages.Request) -> list[list]:
    known = messages.Welcome(request=request.request, protocol=messages.PROTOCOL, version="0", device="", recipes=())
    return [frames_of(known)]


def test_a_client_of_a_mad_backend_stays_alive(tmp_path, times, figures):
    honest = [
        message
        for message in flood.corpus(messages.Reply | messages.AnyEvent, 300)
        if not isinstance(message, messages.Refused | messages.Welcome)  # these may rightly end the conversation
    ]
    spoilt = flood.Flood(6, honest)
    share = times(20_000) // 20 + 1
    left = share * 20

    def answer(request):
        nonlocal left
        if isinstance(request, messages.Hello):
            yield from welcome(request)
        elif isinstance(request, messages.Ping | messages.Survey):
            yield frames_of(messages.Pong(request=request.request))
        elif isinstance(request, messages.Status):
            for _ in range(share):
                left -= 1
                if frames := spoilt.message():
                    yield frames
            yield frames_of(messages.Pong(request=request.request))

    heard = 0
    with MadBackend(tmp_path / "backend", answer) as mad, Client(mad.folder, silence=30) as client:
        before = resident_bytes()
        with files_touched(tmp_path) as touched:
            while left > 0:
                assert client.request(messages.Status(), 60) is not None
                heard += len(client.drain())
        assert isinstance(client.request(messages.Survey(), 60), messages.Pong)
        assert client.state == "connected" and client.trouble is None
        grown = resident_bytes() - before
    figures(f"{share * 20} sent to a client, {heard} of them understood; memory grew by {grown >> 20} MB")
    assert heard > share
    assert grown < 400 << 20
    assert touched == []


NAMES = (
    "../outside",
    "/tmp/outside",
    "frames/../../outside",
    "..",
    "C:/x",
    "a/b/c",
    "con",
    "x\0y",
    "Static.safetensors",
)


def test_a_scene_from_a_mad_backend_never_leaves_its_folder(tmp_path, monkeypatch, times, figures):
    monkeypatch.setattr(transfer, "PATIENCE_SECONDS", 0.0)
    chance = Random(7)
    content = b'{"format": "cyclorama-scene"}' * 9
    spoilt = flood.Flood(8, flood.corpus(messages.Package | messages.Fetched | messages.Refused, 200))
    tally = flood.Tally()

    def answer(request):
        if isinstance(request, messages.Hello):
            yield from welcome(request)
            return
        if isinstance(request, messages.Ping):
            yield frames_of(messages.Pong(request=request.request))
            return
        if isinstance(request, messages.Browse):
            yield frames_of(package(chance, request.request))
        elif isinstance(request, messages.Fetch) and chance.random() < 0.8:
            piece = content[request.offset : request.offset + request.length + chance.choice((0, 0, 0, -1, 7))]
            whole = messages.Fetched(request=request.request, checksum=checksum(piece), content=piece)
            yield frames_of(whole)
        else:
            if frames := spoilt.message():
                yield frames
            refused = messages.Refused(request=request.request, code="toy", sentence="It is only a toy.")
            yield frames_of(refused)

    work = tmp_path / "work"
    work.mkdir()
    with MadBackend(tmp_path / "backend", answer) as mad, Client(mad.folder, silence=30) as client:
        with files_touched(work, mad.folder) as touched:
            for number in range(times(3000)):
                try:
                    transfer.download(client, "job", work / f"{number}.cyclorama")
                    tally.note("done")
                except CycloramaError as error:
                    tally.note(error.code)
                    assert error.sentence.isprintable()
        names = {path.name for path in work.iterdir()}
    figures(f"{times(3000)} downloads: {dict(tally.outcomes)}")
    assert touched == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backend", "work"]
    assert not any(name.endswith(".partial") for name in names), names


def package(chance: Random, request: str) -> messages.Package:
    """One that lists files as it likes, ``scene.json`` among them as a rule."""
    names = chance.sample(("static.safetensors", "frames/000000.safetensors", "preview.webp"), chance.choice((1, 2, 3)))
    names += [chance.choice(NAMES)] if chance.random() < 0.2 else []
    names += ["scene.json"] if chance.random() < 0.9 else []
    sizes = (0, 1, 261, 1 << 18, 1 << 40, (1 << 63) - 1)
    files = {
        name: messages.PackageFile(chance.choice(sizes[:3] if chance.random() < 0.9 else sizes), "0" * 64)
        for name in names
    }
    return msgspec.structs.replace(messages.Package(job="job", files=files), request=request)
