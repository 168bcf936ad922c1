"""A client's end of the wire: a thread that keeps in touch with the backend of a folder."""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from . import messages
from .address import Address, backend_folder
from .errors import CycloramaError
from .frames import Frame, check_header, frames_of, reply_in, request_name
from .inbox import Heard, Inbox
from .wire import Bell, milliseconds, receive_waiting, refusal, send_now

State = Literal["connecting", "connected", "lost"]

PING_SECONDS = 1.0
_BACK_OFF_SECONDS = (0.1, 1.0)  # the first pause before a new attempt, and the longest; less a random part
_FAREWELL_MS = 200  # so long ``close`` may take to say goodbye to a backend that does not listen
_HELLO = "hello"  # the ``request`` of our Hello, by which its answer is known
_CUT = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


@dataclass(eq=False)
class _Question:
    """What was asked and not answered yet."""

    frames: list[Frame]
    request: str
    """What the asker calls it. On the wire it has another name, which no other question ever has."""
    arrived: queue.SimpleQueue[Heard] | None
    """Where the answer goes; None: to the inbox."""
    in_one_run: bool
    """Not meant for the next backend."""
    answered: bool = True
    """Whether it ever is."""
    run: str | None = None
    """Of the backend that it was sent to."""


class Client:
    """Talks to the backend that runs, or will run, in a folder. Nothing but ``request`` and ``close`` ever waits.

    The thread says Hello, pings every second, notices silence, and connects again; a backend that was started anew is
    found by its new address file. What was asked and not answered is then asked again, and the backend tells the events
    that were missed. Only where a ``Welcome`` with a ``request`` is not ``resumed`` has it lost them: ask for
    ``Status`` then.

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
        self._inbox = Inbox()
        self._open: dict[str, _Question] = {}  # by their names on the wire, oldest first
        self._outbox: deque[str] = deque()  # names of those to send
        self._lock = threading.Lock()  # of both
        self._run = ""  # of the backend that was heard last
        self._newest = 0  # number of its last event that was heard
        self._greeted = False  # on this connection
        self._closing = threading.Event()
        self._context = zmq.Context()
        self._bell = Bell(self._context)
        self._thread = threading.Thread(target=self._keep_in_touch, name="cyclorama-client", daemon=True)
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
        """Send as soon as there is a connection, again on the next if this one takes it. From any thread; never blocks.

        Set ``request`` (to the job's name, say) to know the ``Accepted`` or ``Refused`` that answers it.

        Raises:
            CycloramaError: ``text-not-unicode``, for file names that cannot be sent; ``message-too-long``.
        """
        self._post(message, None)

    def drain(self, most: int | None = None) -> list[Heard]:
        """What came since the last call, oldest first, each ``Welcome`` included. Never blocks.

        Of a job's ``Changed``, ``Progress`` and ``Preview`` that nobody fetched only the newest is kept.

        Args:
            most: leave what is more for the next call; None: take all.
        """
        return self._inbox.take(most)

    def request(self, message: messages.Request, timeout: float = 10.0) -> messages.Reply:
        """Ask and wait for the answer; never from Blender's main thread.

        Raises:
            CycloramaError: what the backend refused with; after ``timeout`` seconds why there is no connection, or
                ``backend-silent``.
        """
        return self.ask(message).wait(timeout)

    def ask(self, message: messages.Request) -> Answer:
        """Ask, and wait for the answer later: several questions may be on their way. ``wait`` for every answer.

        A question that a connection took with it is asked again on the next one. Raises as ``send``.
        """
        arrived = queue.SimpleQueue()
        return Answer(self, self._post(message, arrived), arrived)

    def close(self) -> None:
        """End the thread and its sockets; waits for them a moment."""
        self._closing.set()
        self._bell.ring()
        self._thread.join(timeout=5.0)

    def _post(self, message: messages.Request, arrived: queue.SimpleQueue[Heard] | None) -> str:
        name = uuid.uuid4().hex
        question = _Question(
            _encoded(msgspec.structs.replace(message, request=name)),
            message.request,
            arrived,
            in_one_run=isinstance(message, messages.Shutdown),
            answered=not isinstance(message, messages.Goodbye),
        )
        with self._lock:
            self._open[name] = question
            self._outbox.append(name)
        self._bell.ring()
        return name

    def _withdraw(self, name: str) -> None:
        """Nobody waits for the answer any more, so a later backend shall not hear the question."""
        with self._lock:
            self._open.pop(name, None)

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

    def _keep_in_touch(self) -> None:
        pause = _BACK_OFF_SECONDS[0]
        while not self._closing.is_set():
            if self._visit():
                pause = _BACK_OFF_SECONDS[0]
            self._closing.wait(pause * random.uniform(0.5, 1.0))  # not all clients of a backend at once
            pause = min(pause * 2, _BACK_OFF_SECONDS[1])
        self._bell.close()
        self._context.term()

    def _visit(self) -> bool:
        """One connection, from Hello to its end; True if the backend welcomed us."""
        self.trouble, address = self._address()
        if address is None:
            return False
        socket: zmq.Socket = self._context.socket(zmq.DEALER)
        monitor = socket.get_monitor_socket(_CUT)
        try:
            self._connect(socket, address)
            self._converse(socket, monitor, address)
        except zmq.ZMQError as error:  # an endpoint or a key that is none
            self.trouble = CycloramaError("backend-unreachable", f"{address.endpoint} cannot be reached: {error}.")
        finally:
            socket.disable_monitor()
            monitor.close(0)
            leaving = self._closing.is_set() and self.state == "connected"
            if leaving:
                send_now(socket, frames_of(messages.Goodbye()))
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
        socket.setsockopt(zmq.MAXMSGSIZE, messages.MAX_REPLY_BYTES + 1024)  # encryption adds some
        if not address.endpoint.startswith("ipc:"):
            socket.curve_serverkey = address.server_public.encode()
            socket.curve_publickey = address.client_public.encode()
            socket.curve_secretkey = address.client_secret.encode()
        socket.ipv6 = "[" in address.endpoint
        socket.connect(address.endpoint)

    def _converse(self, socket: zmq.Socket, monitor: zmq.Socket, address: Address) -> None:
        """Until the connection is cut, or the backend is silent, has a new address, or refuses our Hello; or until we
        close."""
        poller = zmq.Poller()
        for each in (socket, monitor, self._bell.socket):
            poller.register(each, zmq.POLLIN)
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
            if monitor.poll(0):
                self.trouble = self._why_cut(monitor, address)
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
                send_now(socket, frames_of(messages.Ping()))
                asked, next_ping = asked or now, now + PING_SECONDS
            if self._greeted:
                self._empty_outbox(socket)

    def _why_cut(self, monitor: zmq.Socket, address: Address) -> CycloramaError | None:
        """None where it may well come back."""
        if recv_monitor_message(monitor)["event"] != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return self.trouble
        return CycloramaError(
            "key-not-known",
            f"The backend at {address.endpoint} does not let this computer in: it does not know its key.",
            "Ask whoever runs it for a new invitation." if address.remote else "Start the backend again.",
        )

    def _say_hello(self, socket: zmq.Socket) -> None:
        hello = messages.Hello(request=_HELLO, client=self._name, run=self._run, heard=self._newest)
        send_now(socket, frames_of(hello))
        self._greeted = False

    def _hear(self, socket: zmq.Socket) -> tuple[bool, CycloramaError | None]:
        """Take all that arrived: whether there was anything, and why our Hello was refused, if it was."""
        heard = False
        while (frames := receive_waiting(socket)) is not None:
            heard = True
            try:
                message = reply_in(frames)
            except CycloramaError as error:
                name = request_name(frames)
                if not name or name == _HELLO:
                    continue  # of a newer backend: unknown events are ignored
                message = refusal(error, name)  # whoever waits for it need not wait longer
            if isinstance(message, messages.Refused):
                if message.request == _HELLO:
                    return heard, CycloramaError(message.code, message.sentence, message.hint)
                if message.code == messages.HELLO_FIRST:
                    if self._greeted:  # it forgot us, or was started anew, faster than we could notice
                        self._say_hello(socket)
                    continue  # all that is open is asked again after the Welcome
            if isinstance(message, messages.Welcome):
                message = self._be_welcome(message)
            if isinstance(message, messages.Event):
                self._newest = max(self._newest, message.sequence)
            self._deliver(message)
        return heard, None

    def _be_welcome(self, welcome: messages.Welcome) -> messages.Welcome:
        """Returns what to tell of it."""
        if welcome.run != self._run:
            self._run, self._newest = welcome.run, 0
            welcome = msgspec.structs.replace(welcome, resumed=False)
        self.state, self.welcome, self.trouble = "connected", welcome, None
        if welcome.request == _HELLO:
            self._greeted = True
            with self._lock:
                self._outbox = deque(self._open)
        return welcome

    def _deliver(self, message: Heard) -> None:
        if not message.request or message.request == _HELLO:
            if not isinstance(message, messages.Pong):
                self._inbox.put(message)
            return
        with self._lock:
            question = self._open.pop(message.request, None)
        if question is None:
            return  # nobody waits for it any more
        if question.arrived:
            question.arrived.put(message)
        else:
            self._inbox.put(msgspec.structs.replace(message, request=question.request))

    def _empty_outbox(self, socket: zmq.Socket) -> None:
        with self._lock:
            while self._outbox and self._put(socket, self._outbox[0]):
                self._outbox.popleft()

    def _put(self, socket: zmq.Socket, name: str) -> bool:
        """Send a question that somebody still asks. False: there is no room."""
        question = self._open.get(name)
        if question is None or (question.in_one_run and question.run not in (None, self._run)):
            self._open.pop(name, None)
            return True
        if not send_now(socket, question.frames):
            return False
        question.run = self._run
        if not question.answered:
            del self._open[name]
        return True


class Answer:
    """To a question that ``Client.ask`` has put."""

    def __init__(self, client: Client, name: str, arrived: queue.SimpleQueue[Heard]):
        self._client = client
        self._name = name
        self._arrived = arrived
        self._reply: Heard | None = None

    def wait(self, timeout: float = 10.0) -> messages.Reply:
        """The answer; never in Blender's main thread, and only once. Raises as ``Client.request``."""
        try:
            if not self.arrives(timeout) or self._reply is None:
                raise self._client.trouble or self._client._silent_for(timeout)
        finally:
            self.drop()
        reply = self._reply
        if isinstance(reply, messages.Refused):
            raise CycloramaError(reply.code, reply.sentence, reply.hint)
        assert not isinstance(reply, messages.Event)
        return reply

    def arrives(self, timeout: float) -> bool:
        """Whether it has come, after ``timeout`` seconds at most. May be asked again and again, before ``wait``."""
        if self._reply is None:
            with suppress(queue.Empty):
                self._reply = self._arrived.get(timeout=timeout)
        return self._reply is not None

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._client._withdraw(self._name)


def _encoded(message: messages.Request) -> list[Frame]:
    try:
        frames = frames_of(message)
    except UnicodeEncodeError as error:
        raise CycloramaError(
            "text-not-unicode", f"{error.object!r} is not Unicode text and cannot be sent.", "Rename the file."
        ) from error
    check_header(frames[0])
    return frames
