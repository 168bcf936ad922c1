"""A server in a thread that welcomes and knows no jobs, and sockets of clients that are not ours."""

import threading
import time
import uuid
from collections import deque
from dataclasses import replace

import zmq

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address, Keys, open_folder
from cyclorama.bridge.wire import Peer, Server, no_guest


class Host:
    """Listens in ``folder``.

    Attributes:
        heard: all that was asked, ``peers``: by whom.
        mute: whether it answers nothing.
        events: all that happened; a client that says Hello is told what it missed of them.
        outcomes: of all that was sent.
    """

    def __init__(self, folder, port=0, host="", guest_of=no_guest, **more):
        open_folder(folder)
        keys = Keys.load_or_make(folder)
        self.server = Server(keys, port, host, guest_of, **more)
        self.run = uuid.uuid4().hex
        self.events: list[messages.AnyEvent] = []
        self.peers: list[Peer] = []
        self.heard: list[messages.Request] = []
        self.outcomes: list[str] = []
        self.mute = False
        self.address = Address.of(self.server.endpoint, keys)
        self.address.save(folder)
        self._orders: deque = deque()
        self._outbox: deque[tuple[Peer, messages.Reply | messages.AnyEvent]] = deque()
        self._open = True
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while self._open:
            received = self.server.receive(0.01 if self._outbox else 5)
            if received and not self.mute:
                self._answer(*received)
            while self._orders:
                self._orders.popleft()()
            while self._outbox and self._send(*self._outbox[0]) != "full":
                self._outbox.popleft()
        self.server.close()

    def _send(self, peer, message):
        self.outcomes.append(self.server.send(peer, message))
        return self.outcomes[-1]

    def do(self, order):
        """Have the thread that owns the sockets do it; from any thread."""
        self._orders.append(order)
        self.server.wake()

    def tell(self, peer, *events):
        """Send these as soon as there is room."""
        self.do(lambda: self._outbox.extend((peer, event) for event in events))

    def _answer(self, peer, request):
        self.heard.append(request)
        self.peers.append(peer)
        reply = messages.Pong(request=request.request)
        missed: list[messages.AnyEvent] = []
        if isinstance(request, messages.Hello):
            resumed = request.run == self.run
            reply = messages.Welcome(
                request=request.request,
                protocol=1,
                version="0",
                device="D",
                recipes=(),
                guest=peer.guest,
                run=self.run,
                resumed=resumed,
            )
            missed = [event for event in self.events if resumed and event.sequence > request.heard]
        if isinstance(request, messages.Status):
            reply = messages.Jobs(request=request.request, jobs=())
        if isinstance(request, messages.Cancel | messages.Retry | messages.Shutdown):
            reply = messages.Accepted(request=request.request)
        self._outbox.extend((peer, message) for message in (reply, *missed))

    def asked(self, kind):
        """All requests of that kind."""
        return [request for request in self.heard if isinstance(request, kind)]

    def close(self):
        self._open = False
        self.server.wake()
        self._thread.join()


def until(true, seconds=20):
    """Wait for what ``true`` returns to be so, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)
    return found


def drain_until(client, kind, seconds=20):
    """What the client heard until there was one of ``kind``."""
    heard = []
    until(lambda: heard.extend(client.drain()) or any(isinstance(message, kind) for message in heard), seconds)
    return heard


def raw_socket(address, takes=1000, **other):
    """A DEALER with the address's keys, or others; and its context. ``takes``: messages that may wait unread."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.linger, dealer.rcvhwm = 0, takes
    dealer.rcvtimeo = dealer.sndtimeo = 10_000
    keys = replace(address, **other)
    if keys.endpoint.startswith("tcp:"):
        dealer.curve_serverkey = keys.server_public.encode()
        dealer.curve_publickey = keys.client_public.encode()
        dealer.curve_secretkey = keys.client_secret.encode()
    dealer.connect(keys.endpoint)
    return dealer, context


def guest_address(host, **other):
    """An address with new keys, as an invitation has it."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    endpoint = f"tcp://127.0.0.1:{host.server.port}"
    address = replace(
        host.address, endpoint=endpoint, client_public=public, client_secret=secret, instance="", guest="anna"
    )
    return replace(address, **other)
