"""A backend for tests that need none of its work: it keeps a list of jobs, and says what a test has it say."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from pathlib import Path

import msgspec

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address, Keys, open_folder
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.wire import Server, refusal

from .conftest import drain_until


class StandIn:
    """Listens in a folder, in a thread.

    Attributes:
        jobs: those it knows.
        heard: all that was asked of it but pings.
        refuses: kind of request -> why it is refused from now on.
        told: all events of this run, numbered as a backend does it.
    """

    def __init__(
        self,
        folder: Path,
        *jobs: messages.JobState,
        protocol: int = messages.PROTOCOL,
        guest: str = "",
        after: StandIn | None = None,
    ):
        open_folder(folder)
        self.folder = folder
        self.jobs = {job.job: job for job in jobs}
        self.asked: dict[str, messages.Generate] = {}
        self.heard: list[messages.Request] = []
        self.refuses: dict[type, CycloramaError] = {}
        self.told: list[messages.AnyEvent] = []
        self.run = uuid.uuid4().hex
        if after:  # the same run, which was out of reach
            self.run, self.told, self.jobs, self.asked = after.run, after.told, after.jobs, after.asked
        self._protocol = protocol
        self._guest = guest
        self._clients: set = set()
        self._events: queue.SimpleQueue[messages.AnyEvent] = queue.SimpleQueue()
        keys = Keys.load_or_make(folder)
        self._server = Server(keys)
        Address.of(self._server.endpoint, keys).save(folder)
        self._open = True
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._thread.start()

    def tell(self, *events: messages.AnyEvent) -> None:
        """Say this to every client."""
        for event in events:
            self._events.put(event)
        self._server.wake()

    def put(self, job: str, state: str, **more) -> None:
        """Have a job, or have it stand like this from now on, and tell."""
        known = {"panorama": "/pictures/harbour.exr", "output": "/scenes/harbour.cyclorama", "guest": self._guest}
        known["asked_at"] = time.time()
        if job in self.asked:
            known |= {"panorama": self.asked[job].panorama, "output": self.asked[job].output}
        self.jobs[job] = messages.JobState(job=job, state=state, **(known | more))
        self.tell(messages.Changed(state=self.jobs[job]))

    def asked_for(self, kind: type) -> list:
        """All requests of that kind, oldest first."""
        return [request for request in self.heard if isinstance(request, kind)]

    def close(self, leave_address: bool = False) -> None:
        """End; like one that was killed, if its address is left."""
        if not self._open:
            return
        self._open = False
        self._server.wake()
        self._thread.join()
        if not leave_address:
            Address.remove(self.folder)

    def _run(self) -> None:
        while self._open:
            received = self._server.receive(1)
            if received:
                client, request = received
                try:
                    self._answer(client, request)
                except CycloramaError as error:
                    self._server.send(client, refusal(error, request.request))
            while not self._events.empty():
                event = msgspec.structs.replace(self._events.get(), sequence=len(self.told) + 1)
                self.told.append(event)
                for client in self._clients:
                    self._send(client, event)
        self._server.close()

    def _send(self, client, message) -> None:
        while self._server.send(client, message) == "full":
            time.sleep(0.001)  # until it has read

    def _answer(self, client, request) -> None:
        if not isinstance(request, messages.Ping):
            self.heard.append(request)
        if type(request) in self.refuses:
            raise self.refuses[type(request)]
        reply = messages.Pong(request=request.request)
        missed: list[messages.AnyEvent] = []
        match request:
            case messages.Hello():
                if self._protocol != messages.PROTOCOL:
                    raise CycloramaError("protocol-mismatch", "The add-on speaks another protocol.", "Update it.")
                self._clients.add(client)
                reply = messages.Welcome(
                    request=request.request,
                    protocol=self._protocol,
                    version="0",
                    device="An abacus",
                    recipes=("x",),
                    guest=self._guest,
                    run=self.run,
                    resumed=request.run == self.run,
                )
                missed = self.told[request.heard :] if reply.resumed else []
            case messages.Status():
                lines = tuple(self.jobs.values())
                reply = messages.Jobs(request=request.request, jobs=lines, sequence=len(self.told))
            case messages.Generate():
                self.asked[request.job] = request
                reply = messages.Accepted(request=request.request, job=request.job)
            case messages.Recall():
                reply = messages.Recalled(request=request.request, asked=self.asked[request.job])
        for message in (reply, *missed):
            self._send(client, message)
        if isinstance(request, messages.Generate):
            self.put(request.job, "waiting")


def until_heard(backend: StandIn, kind: type, count: int = 1) -> list:
    """What the stand-in was asked, once it was; Blender's timer runs meanwhile."""
    drain_until(lambda: len(backend.asked_for(kind)) >= count)
    return backend.asked_for(kind)
