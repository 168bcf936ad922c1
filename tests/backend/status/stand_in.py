"""A backend that only tells how it is, in a thread: what a test puts into it."""

import queue
import threading
import time
from pathlib import Path

import msgspec

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address, Keys, open_folder
from cyclorama.bridge.wire import Server


def job(name: str, state: str, **more) -> messages.JobState:
    paths = {"panorama": f"/pictures/{name}.exr", "output": f"/scenes/{name}.cyclorama", "asked_at": time.time() - 60}
    return messages.JobState(job=f"job-{name}", state=state, **(paths | more))


SURVEY = messages.Surveyed(
    version="0.1.0",
    pid=4711,
    started_at=time.time() - 8000,
    folder="/home/artist/.local/share/cyclorama/backend",
    endpoint="ipc:///somewhere",
    listens_at="tcp://0.0.0.0:47860",
    memory_bytes=85_000_000,
    clients=(messages.ClientState("Blender 5.2", "", 0.4), messages.ClientState("Blender 4.5", "anna", 42.0)),
    workers=(messages.WorkerState("CPU, 2 cores", 4712, 1_230_000_000, "job-quay"),),
    cache_bytes=3_100_000_000,
    cache_limit_bytes=20_000_000_000,
    disk_free_bytes=120_000_000_000,
)


class StandIn:
    """Listens in ``folder`` until closed. ``jobs``: those it knows; ``guest``: as whom it takes its clients."""

    def __init__(self, folder: Path, *jobs: messages.JobState, guest: str = "", survey: bool = True, log: str = ""):
        open_folder(folder)
        self.folder = folder
        self.jobs = jobs
        self.heard: list[messages.Request] = []
        self.refuses: messages.Refused | None = None
        self._guest, self._survey, self._log = guest, survey, log
        self._clients: set = set()
        self._events: queue.SimpleQueue[messages.AnyEvent] = queue.SimpleQueue()
        keys = Keys.load_or_make(folder)
        self._server = Server(keys)
        Address.of(self._server.endpoint, keys).save(folder)
        self._open = True
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._thread.start()

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def tell(self, *events: messages.AnyEvent) -> None:
        for event in events:
            self._events.put(event)
        self._server.wake()

    def close(self, leave_address: bool = False) -> None:
        """End; like one that was killed, if its address is left."""
        if self._open:
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
                reply = self._reply(client, request)
                if reply:
                    self._server.send(client, msgspec.structs.replace(reply, request=request.request))
            while not self._events.empty():
                event = self._events.get()
                for client in self._clients:
                    self._server.send(client, event)
        self._server.close()

    def _reply(self, client, request) -> messages.Reply | None:
        self.heard.append(request)
        if self.refuses:
            return self.refuses
        match request:
            case messages.Hello():
                self._clients.add(client)
                return messages.Welcome(
                    protocol=messages.PROTOCOL,
                    version="0.1.0",
                    device="CPU, 2 cores",
                    recipes=("panorama_to_4d",),
                    guest=self._guest,
                )
            case messages.Status():
                return messages.Jobs(jobs=tuple(self.jobs))
            case messages.Survey():
                return SURVEY if self._survey and not self._guest else None
            case messages.ReadLog():
                return messages.Log(text=self._log)
            case messages.Goodbye():
                return None
        return messages.Pong()
