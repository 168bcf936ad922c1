"""A client's end of the wire: a thread that keeps in touch with the backend of a folder."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Literal

import msgspec
import zmq

from . import messages
from .address import Address, backend_folder
from .errors import CycloramaError
from .wire import MAX_FRAME_BYTES, Bell, milliseconds, receive_waiting

State = Literal["connecting", "connected", "lost"]

PING_SECONDS = 1.0
_BACK_OFF_SECONDS = (0.1, 1.0)  # the first pause before a new attempt, and the longest
_FAREWELL_MS = 200  # so long ``close`` may take to say goodbye to a backend that does not listen
_HELLO = "hello"  # the ``request`` of our Hello, by which its answer is known


class Client:
    """Talks to the backend that runs, or will run, in a folder. Nothing but ``request`` and ``close`` ever waits.

    The thread says Hello, pings every second, notices silence, and connects again; a backend that was started anew is
    found by its new address file. After a new ``Welcome`` ask for ``Status``: events may have been missed, and a
    backend started anew does not know the jobs of the old one.

    Args:
        folder: the backend's folder; None: see ``backend_folder``.
        address: of a backend on another computer (``Address.from_invitation``); then no folder is looked at.
        name: who is asking, for the backend's log ("Blender 5.2").
        silence: seconds without an answer after which the backend counts as lost.
    """

    def __init__(
        self, folder: Path | None = None, *, address: Address | None = None, name: str = "", silence: float = 5.0
    ):
        self.state: State = "connecting"
        self.welcome: messages.Welcome | None = None
        """The last introduction of the backend; kept while it is lost."""
        self.trouble: CycloramaError | None = None
        """Why there is no connection; None when there is one or it is too early to say."""
        self._folder = backend_folder(folder)
        self._fixed = address
        self._name = name
        self._silence = silence
        self._identity = b"c" + uuid.uuid4().bytes  # events find us again after a reconnection
        self._outbox: deque[bytes] = deque()
        self._inbox: deque[messages.Reply | messages.Event] = deque()
        self._waiting: dict[str, queue.SimpleQueue[messages.Reply | messages.Event]] = {}
        self._unanswered: dict[str, bytes] = {}  # header by ``request``, of those waited for that are safe to repeat
        self._lock = threading.Lock()  # of _inbox
        self._closing = threading.Event()
        self._context = zmq.Context()
        self._bell = Bell(self._context)
        self._thread = threading.Thread(target=self._run, name="cyclorama-client", daemon=True)
        self._thread.start()

    @property
    def remote(self) -> bool:
        """Whether the backend shares no disk with us: files then travel by ``transfer``."""
        return self._fixed is not None and self._fixed.remote

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def send(self, message: messages.Request) -> None:
        """Send as soon as there is a connection. From any thread; never blocks.

        Set ``request`` (to the job's name, say) to know the ``Accepted`` or ``Refused`` that answers it.

        Raises:
            CycloramaError: ``text-not-unicode``, for file names that cannot be sent.
        """
        self._post(_encoded(message))

    def drain(self) -> list[messages.Reply | messages.Event]:
        """All that came since the last call, oldest first, each ``Welcome`` included. Never blocks.

        Of a job's ``Progress`` and ``Preview`` that nobody fetched only the newest is kept.
        """
        with self._lock:
            arrived = list(self._inbox)
            self._inbox.clear()
        return arrived

    def request(self, message: messages.Request, timeout: float = 10.0) -> messages.Reply:
        """Ask and wait for the answer; never from Blender's main thread.

        Raises:
            CycloramaError: what the backend refused with; after ``timeout`` seconds why there is no connection, or
                ``backend-silent``.
        """
        return self.ask(message).wait(timeout)

    def ask(self, message: messages.Request) -> Answer:
        """Ask, and wait for the answer later: several questions may be on their way. ``wait`` for every answer.

        A question that a connection took with it is asked again on the next one.
        """
        name = uuid.uuid4().hex
        header = _encoded(msgspec.structs.replace(message, request=name))
        arrived = self._waiting[name] = queue.SimpleQueue()
        if not isinstance(message, messages.Shutdown):  # it is not meant for the next backend
            self._unanswered[name] = header
        self._post(header)
        return Answer(self, name, header, arrived)

    def close(self) -> None:
        """End the thread and its sockets; waits for them a moment."""
        self._closing.set()
        self._bell.ring()
        self._thread.join(timeout=5.0)

    def _post(self, header: bytes) -> None:
        self._outbox.append(header)
        self._bell.ring()

    def _withdraw(self, header: bytes) -> None:
        """Nobody waits for the answer any more, so a later backend shall not hear the question."""
        try:
            self._outbox.remove(header)
        except ValueError:
            return  # it left already

    def _silent_for(self, seconds: float) -> CycloramaError:
        sentence = f"The backend has not answered for {seconds:.0f} seconds."
        if self._fixed is None:
            return CycloramaError("backend-silent", sentence, "Start it again if this goes on.")
        return CycloramaError(
            "backend-silent",
            sentence,
            f"Ask whoever runs it whether it listens at {self._fixed.endpoint} and the invitation still counts.",
        )

    # From here on: the client's thread

    def _run(self) -> None:
        pause = _BACK_OFF_SECONDS[0]
        while not self._closing.is_set():
            if self._visit():
                pause = _BACK_OFF_SECONDS[0]
            self._closing.wait(pause)
            pause = min(pause * 2, _BACK_OFF_SECONDS[1])
        self._bell.close()
        self._context.term()

    def _visit(self) -> bool:
        """One connection, from Hello to its end; True if the backend welcomed us."""
        self.trouble, address = self._address()
        if address is None:
            return False
        socket: zmq.Socket = self._context.socket(zmq.DEALER)
        try:
            self._connect(socket, address)
            self._converse(socket, address)
        except zmq.ZMQError as error:  # an endpoint or a key that is none
            self.trouble = CycloramaError("backend-unreachable", f"{address.endpoint} cannot be reached: {error}.")
        finally:
            leaving = self._closing.is_set() and self.state == "connected"
            if leaving:
                _send_now(socket, messages.encode(messages.Goodbye()))
            socket.close(_FAREWELL_MS if leaving else 0)
        welcomed = self.state == "connected"
        if welcomed:
            self.state = "lost"
        return welcomed

    def _address(self) -> tuple[CycloramaError | None, Address | None]:
        if self._fixed:
            return self.trouble, self._fixed
        try:
            return self.trouble, Address.load(self._folder)
        except CycloramaError as error:
            return error, None

    def _connect(self, socket: zmq.Socket, address: Address) -> None:
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.routing_id = self._identity
        socket.curve_serverkey = address.server_public.encode()
        socket.curve_publickey = address.client_public.encode()
        socket.curve_secretkey = address.client_secret.encode()
        socket.ipv6 = "[" in address.endpoint
        socket.connect(address.endpoint)

    def _converse(self, socket: zmq.Socket, address: Address) -> None:
        """Until the backend is silent, has a new address, or refuses our Hello; or until we close."""
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._bell.socket, zmq.POLLIN)
        refused: CycloramaError | None = None
        self._say_hello(socket)
        asked: float | None = time.monotonic()  # when the oldest question was put that nothing came after
        next_ping = asked + PING_SECONDS
        while not self._closing.is_set():
            poller.poll(milliseconds(next_ping - time.monotonic()))
            self._bell.silence()
            heard, refused = self._hear(socket)
            if refused:
                self.trouble = refused
                return
            asked = None if heard else asked
            now = time.monotonic()
            # What came while this thread could not run was heard first, so a busy Blender does not look like silence.
            if asked is not None and now - asked > self._silence:
                self.trouble = self._silent_for(self._silence)
                return
            if now >= next_ping:
                if self._address()[1] != address:
                    return
                _send_now(socket, messages.encode(messages.Ping()))
                asked, next_ping = asked or now, now + PING_SECONDS
            if self.state == "connected":
                self._empty_outbox(socket)

    def _say_hello(self, socket: zmq.Socket) -> None:
        _send_now(socket, messages.encode(messages.Hello(request=_HELLO, client=self._name)))

    def _hear(self, socket: zmq.Socket) -> tuple[bool, CycloramaError | None]:
        """Take all that arrived: whether there was anything, and why our Hello was refused, if it was."""
        heard = False
        while (frames := receive_waiting(socket)) is not None:
            heard = True
            try:
                message = messages.decode_reply(frames[0])
            except msgspec.DecodeError:
                continue  # of a newer backend: unknown events are ignored
            if isinstance(message, messages.Refused):
                if message.request == _HELLO:
                    return heard, CycloramaError(message.code, message.sentence, message.hint)
                if message.code == messages.HELLO_FIRST:  # started anew, faster than we could notice
                    self._say_hello(socket)
                    if message.request in self._unanswered:  # asked again after the Welcome
                        continue
            if isinstance(message, messages.Welcome):
                self.state, self.welcome, self.trouble = "connected", message, None
                if message.request == _HELLO:
                    self._ask_again()
            self._deliver(message)
        return heard, None

    def _ask_again(self) -> None:
        for header in reversed(list(self._unanswered.values())):
            if header not in self._outbox:
                self._outbox.appendleft(header)

    def _deliver(self, message: messages.Reply | messages.Event) -> None:
        waiting = self._waiting.get(message.request) if message.request else None
        if waiting is not None:
            self._unanswered.pop(message.request, None)
            waiting.put(message)
        elif not isinstance(message, messages.Pong) and not _answers_ping(message):
            with self._lock:
                outdated = next((earlier for earlier in self._inbox if _supersedes(message, earlier)), None)
                if outdated is not None:
                    self._inbox.remove(outdated)
                self._inbox.append(message)

    def _empty_outbox(self, socket: zmq.Socket) -> None:
        while self._outbox:
            header = self._outbox.popleft()
            if not _send_now(socket, header):
                self._outbox.appendleft(header)
                return


class Answer:
    """To a question that ``Client.ask`` has put."""

    def __init__(self, client: Client, name: str, header: bytes, arrived: queue.SimpleQueue):
        self._client = client
        self._name = name
        self._header = header
        self._arrived = arrived

    def wait(self, timeout: float = 10.0) -> messages.Reply:
        """The answer; never in Blender's main thread, and only once. Raises as ``Client.request``."""
        try:
            reply = self._arrived.get(timeout=timeout)
        except queue.Empty:
            raise self._client.trouble or self._client._silent_for(timeout) from None
        finally:
            self.drop()
        if isinstance(reply, messages.Refused):
            raise CycloramaError(reply.code, reply.sentence, reply.hint)
        return reply

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._client._unanswered.pop(self._name, None)
        self._client._waiting.pop(self._name, None)
        self._client._withdraw(self._header)


def _encoded(message: messages.Request) -> bytes:
    try:
        return messages.encode(message)
    except UnicodeEncodeError as error:
        raise CycloramaError(
            "text-not-unicode", f"{error.object!r} is not Unicode text and cannot be sent.", "Rename the file."
        ) from error


def _send_now(socket: zmq.Socket, header: bytes) -> bool:
    """False when the socket's queue is full."""
    try:
        socket.send(header, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def _supersedes(message: messages.Reply | messages.Event, earlier: messages.Reply | messages.Event) -> bool:
    return (
        isinstance(message, messages.Progress | messages.Preview)
        and isinstance(earlier, type(message))
        and message.job == earlier.job
    )


def _answers_ping(message: messages.Reply | messages.Event) -> bool:
    return isinstance(message, messages.Refused) and message.code == messages.HELLO_FIRST and not message.request
