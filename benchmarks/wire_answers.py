"""How fast the backend answers, whatever goes on; for ``wire.py``, which says how to run it."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from pathlib import Path

import zmq
from wire_backend import PATIENCE_SECONDS, Backend, busy, make, open_client, state_of, until, write_scene

from cyclorama.bridge import frames, messages, transfer
from cyclorama.bridge.address import Address
from cyclorama.bridge.client import Client
from cyclorama.bridge.settings import PanoramaTo4D

QUESTIONS = 500
CLIENTS = 32
JOBS = 999

# Latency


def latency(backend: Backend, folder: Path, size: int, rounds: int) -> None:
    """Of ``Status``, asked over ipc, the whole list."""
    print(f"\nStatus, {QUESTIONS} times, over ipc: median, 99 of 100, longest, ms")
    made = folder / "short.cyclorama"
    write_scene(made, min(size, 1 << 30))
    with backend.client() as client, backend.client(guest=True) as guest:
        client.request(messages.Status())
        tell("idle", asked_often(client))
        tell("idle, CURVE", asked_often(guest))
        with busy(crowd, backend.folder, backend.invitation):
            tell(f"{CLIENTS} clients that ask 20 times a second", asked_often(client))
        shutil.rmtree(folder / "guest.cyclorama", ignore_errors=True)
        client.request(messages.Status())
        with_stream(backend, folder, made, client)
        before = backend.memory()
        with busy(deaf, backend.folder, backend.invitation):
            tell(f"{CLIENTS} guests that fetch and never read", asked_often(client))
            print(f"      memory of server: {before / 1e6:.0f} MB before, {backend.memory() / 1e6:.0f} MB with them")
        queue_jobs(client, folder, "l")
        tell(f"{JOBS} jobs wait", asked_often(client))
        cancel_jobs(client, "l")
        client.request(messages.Cancel(job="l-busy"))
    shutil.rmtree(made, ignore_errors=True)


def with_stream(backend: Backend, folder: Path, made: Path, client: Client) -> None:
    """A guest fetches the scene over and over."""
    with backend.client(guest=True) as guest:
        if state_of(guest, "guest"):
            guest.request(messages.Forget(job="guest"))
    make(backend, folder, made, guest=True)
    with busy(fetching_again, backend.folder, backend.invitation, folder / "again.cyclorama"):
        tell("a guest fetches a scene", asked_often(client))


def asked_often(client: Client) -> list[float]:
    """Milliseconds, in order."""
    taken = []
    for _ in range(QUESTIONS):
        started = time.perf_counter()
        client.request(messages.Status())
        taken.append(1e3 * (time.perf_counter() - started))
        time.sleep(0.002)
    return sorted(taken)


def tell(what: str, taken: list[float]) -> None:
    """A line of the table."""
    at = [statistics.median(taken), taken[int(0.99 * len(taken))], taken[-1]]
    print(f"  {what:44}" + "".join(f"{one:8.2f}" for one in at))


def crowd(ready, folder: Path, invitation: Path) -> None:
    """Many clients, half of them guests."""

    def ask(client: Client) -> None:
        while True:
            client.request(messages.Status(), 60)
            time.sleep(0.05)

    clients = [open_client(folder, invitation if number % 2 else None) for number in range(CLIENTS)]
    for client in clients:
        client.request(messages.Status(), 60)
        threading.Thread(target=ask, args=(client,), daemon=True).start()
    ready.set()
    time.sleep(PATIENCE_SECONDS)


def fetching_again(ready, folder: Path, invitation: Path, output: Path) -> None:
    """Without end."""

    def told(done: int, total: int) -> None:
        if done:
            ready.set()

    with open_client(folder, invitation) as client:
        while True:
            transfer.download(client, "guest", output, overwrite=True, told=told)


def deaf(ready, folder: Path, invitation: Path) -> None:
    """As many pieces as may be asked for, of each of many clients, and no look at what comes."""
    address = Address.from_invitation(invitation)
    context = zmq.Context()
    dealers = []
    for _ in range(CLIENTS):
        dealer = context.socket(zmq.DEALER)
        dealer.rcvhwm = 1
        dealer.curve_serverkey = address.server_public.encode()
        dealer.curve_publickey, dealer.curve_secretkey = address.client_public.encode(), address.client_secret.encode()
        dealer.connect(address.endpoint)
        dealer.send(frames.header_of(messages.Hello()))
        for piece in range(messages.MOST_PIECES):
            offset = messages.PIECE_BYTES * (piece % 8)
            dealer.send(frames.header_of(messages.Fetch(job="guest", name="video/000000.exr", offset=offset)))
        dealers.append(dealer)
    time.sleep(3)
    ready.set()
    time.sleep(PATIENCE_SECONDS)


# Events


def events(backend: Backend, folder: Path, _size: int, _rounds: int) -> None:
    """Jobs that are asked for and cancelled, as another client hears of them."""
    with backend.client() as client, backend.client() as listener:
        listener.request(messages.Status())
        started = time.perf_counter()
        queue_jobs(client, folder, "e")
        asked = time.perf_counter() - started
        heard: list = []
        started = time.perf_counter()
        cancel_jobs(client, "e")
        until(lambda: heard.extend(listener.drain()) or ended(heard) >= JOBS)
        took = time.perf_counter() - started
        of_jobs = [event for event in heard if isinstance(event, messages.Event)]
        print(f"\n{JOBS} jobs: asked for in {asked:.2f} s ({JOBS / asked:.0f} a second, each in the journal),")
        print(f"cancelled in {took:.2f} s; another client heard {len(of_jobs)} events")
        client.request(messages.Cancel(job="e-busy"))


def ended(heard: list) -> int:
    """Jobs whose end was heard."""
    return sum(isinstance(event, messages.Cancelled) for event in heard)


def queue_jobs(client: Client, folder: Path, prefix: str) -> None:
    """One that runs for ever, and many that wait."""
    names = [f"{prefix}-busy", *(f"{prefix}{number}" for number in range(JOBS))]
    answers = []
    for name in names:
        asked = messages.Generate(
            job=name, panorama="/endless", output=str(folder / f"{name}.cyclorama"), settings=PanoramaTo4D()
        )
        answers.append(client.ask(asked))
        if len(answers) > 50:
            answers.pop(0).wait(60)
    for answer in answers:
        answer.wait(60)


def cancel_jobs(client: Client, prefix: str) -> None:
    """Those that wait."""
    names = [f"{prefix}{number}" for number in range(JOBS)]
    answers = []
    for name in names:
        answers.append(client.ask(messages.Cancel(job=name)))
        if len(answers) > 50:
            answers.pop(0).wait(60)
    for answer in answers:
        answer.wait(60)
