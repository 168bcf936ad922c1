"""How fast scenes and uploads travel between backend and client, and how fast the backend answers meanwhile.

    .venv/bin/python benchmarks/wire.py                                  all of it, some three minutes
    .venv/bin/python benchmarks/wire.py --gigabytes 1 streams            one part: streams, uploads, latency, events

Real server processes, each client in a process of its own, on one computer. The scene is made of random bytes. Beside
each transfer stands what bare pyzmq reaches in the same run: a PUSH socket that sends the same bytes in pieces of the
same size out of a file, a PULL socket that takes them, with the same transport, and writes them to a file in the same
way (both flush it at the end), or throws them away. Ours also ask for each piece, check each (CRC-32) and each whole
file (SHA-256). ``ipc`` is a socket file, ``CURVE`` TCP on loopback with encryption, as guests of other computers come.

Needs room for the scene three times in --folder; everything is removed at the end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import zmq
from wire_answers import events, latency
from wire_backend import Backend, in_process, make, name_of, open_client, served, spawned, write_scene

from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Keys
from cyclorama.bridge.durable import flush_file
from cyclorama.bridge.memory import peak_bytes
from cyclorama.bridge.scene import INFO
from cyclorama.bridge.settings import PanoramaTo4D

PARTS = ("streams", "uploads", "latency", "events")


@dataclass
class Sample:
    """One transfer: bytes, seconds, the most memory the receiver took, before and after, and CPU seconds of both."""

    size: int
    seconds: float
    memory_before: int = 0
    memory_after: int = 0
    work: float = 0.0

    @property
    def rate(self) -> float:
        """MB/s"""
        return self.size / self.seconds / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, help=" ".join(PARTS))
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the scene")
    parser.add_argument("--rounds", type=int, default=1, help="the median is printed")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    size = int(asked.gigabytes * 1e9)
    if "streams" in asked.parts and shutil.disk_usage(asked.folder).free < 3 * size + (8 << 30):
        parser.error(f"{asked.folder} has too little room.")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; pieces of {messages.PIECE_BYTES >> 10} KiB")
    folder = Path(tempfile.mkdtemp(prefix="wire-", dir=asked.folder))
    try:
        with served(folder / "backend") as backend:
            measures = {"streams": streams, "uploads": uploads, "latency": latency, "events": events}
            for part in asked.parts:
                measures[part](backend, folder, size, asked.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Streams


def streams(backend: Backend, folder: Path, size: int, rounds: int) -> None:
    """Of a scene, to disk."""
    made = folder / "made.cyclorama"
    write_scene(made, size)
    for guest in (False, True):
        make(backend, folder, made, guest)
    source = folder / "source"
    with source.open("wb") as file:
        for path in sorted(made.rglob("*.exr")):
            file.write(path.read_bytes())
    rows: dict[str, list[Sample]] = {}
    peaks = {}
    for _ in range(rounds):
        for name, transport, sink in BARE:
            rows.setdefault(name, []).append(bare(transport, source, folder / "sink" if sink else None))
        for name, guest in (("ours, ipc", False), ("ours, CURVE", True)):
            backend.peak = 0
            rows.setdefault(name, []).append(fetch(backend, folder, guest))
            peaks[name] = backend.peak
    rows["ours, CURVE, the rest after a cut"] = [resumed(backend, folder)]
    rates = {name: statistics.median(sample.rate for sample in samples) for name, samples in rows.items()}
    print(f"\nStreams of {size / 1e9:.1f} GB, median of {rounds}")
    print(f"{'':38}  MB/s  CPU s/GB  peak MB of client (before it began), of server")
    for name, samples in rows.items():
        last, work = samples[-1], statistics.median(1e9 * sample.work / sample.size for sample in samples)
        memory = f"{last.memory_after / 1e6:.0f} ({last.memory_before / 1e6:.0f})"
        server = f"{peaks[name] / 1e6:.0f}" if name in peaks else ""
        print(f"  {name:36}{rates[name]:6.0f}{work:10.2f}  {memory:12}{server:>6}")
    for ours, like in RATIOS:
        print(f"  {ours} : {like:24} {rates[ours] / rates[like]:.2f}")


BARE = [
    ("bare, ipc, to disk", "ipc", True),
    ("bare, ipc", "ipc", False),
    ("bare, TCP, to disk", "tcp", True),
    ("bare, CURVE, to disk", "curve", True),
    ("bare, CURVE", "curve", False),
]
RATIOS = [
    ("ours, ipc", "bare, ipc, to disk"),
    ("ours, ipc", "bare, ipc"),
    ("ours, CURVE", "bare, CURVE, to disk"),
    ("ours, CURVE", "bare, CURVE"),
    ("ours, CURVE", "bare, TCP, to disk"),
    ("bare, CURVE, to disk", "bare, TCP, to disk"),
    ("ours, CURVE", "ours, ipc"),
]


def fetch(backend: Backend, folder: Path, guest: bool, stop_at: float = 2.0) -> Sample:
    """In a process of its own, which is killed when that share of the scene has come."""
    output = folder / "fetched.cyclorama"
    backend_invitation = backend.invitation if guest else None
    before = backend.work()
    sample = in_process(fetching, backend.folder, backend_invitation, name_of(guest), output, stop_at)
    if sample:
        sample.work += backend.work() - before
        assert (output / INFO).read_bytes() == (folder / "made.cyclorama" / INFO).read_bytes()
        if (folder / ".fetched.cyclorama.arriving").exists():
            raise AssertionError("something is left")
    shutil.rmtree(output, ignore_errors=True)
    return sample


def fetching(folder: Path, invitation: Path | None, job: str, output: Path, stop_at: float) -> Sample:
    """In the client's process."""
    came: list[int] = []

    def told(done: int, total: int) -> None:
        came[:] = [came[0] if came else done, done]
        if done > stop_at * total:
            os._exit(9)

    with open_client(folder, invitation) as client:
        client.request(messages.Status())
        before, started, work = peak_bytes(), time.perf_counter(), time.process_time()
        transfer.download(client, job, output, told=told)
        seconds, work = time.perf_counter() - started, time.process_time() - work
    return Sample(came[1] - came[0], seconds, before, peak_bytes(), work)


def resumed(backend: Backend, folder: Path) -> Sample:
    """The second half, after the client was killed."""
    fetch(backend, folder, guest=True, stop_at=0.5)
    return fetch(backend, folder, guest=True)


# Bare


def bare(transport: str, source: Path, sink: Path | None) -> Sample:
    """PUSH to PULL."""
    keys = Keys(*(key.decode() for pair in (zmq.curve_keypair(), zmq.curve_keypair()) for key in pair))
    where = f"ipc://{source.parent}/bare" if transport == "ipc" else "tcp://127.0.0.1:*"
    locked = keys if transport == "curve" else None
    answers = spawned.Queue()
    sender = spawned.Process(target=bare_sender, args=(where, locked, source, answers))
    sender.start()
    sample = in_process(bare_receiver, answers.get(), locked, source.stat().st_size, sink)
    sample.work += answers.get()
    sender.join()
    if sink:
        sink.unlink()
    return sample


def bare_sender(where: str, keys: Keys | None, source: Path, answers: multiprocessing.Queue) -> None:
    """Answers where it listens, and then its CPU seconds."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.sndhwm = 16
        if keys:
            push.curve_server = True
            push.curve_publickey, push.curve_secretkey = keys.server_public.encode(), keys.server_secret.encode()
        push.bind(where)
        answers.put(push.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0"))
        with source.open("rb", buffering=0) as file:
            work = time.process_time()
            while content := file.read(messages.PIECE_BYTES):
                push.send(content, copy=False)
    answers.put(time.process_time() - work)


def bare_receiver(endpoint: str, keys: Keys | None, size: int, sink: Path | None) -> Sample:
    """Times what the receiver sees."""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvhwm = 16
        if keys:
            pull.curve_serverkey = keys.server_public.encode()
            pull.curve_publickey, pull.curve_secretkey = keys.client_public.encode(), keys.client_secret.encode()
        pull.connect(endpoint)
        before, started, work, come = peak_bytes(), time.perf_counter(), time.process_time(), 0
        with (sink or Path(os.devnull)).open("wb", buffering=0) as file:
            while come < size:
                content = pull.recv(copy=False).buffer
                come += len(content)
                if sink:
                    file.write(content)
        if sink:
            flush_file(sink)
        return Sample(size, time.perf_counter() - started, before, peak_bytes(), time.process_time() - work)


# Uploads


def uploads(backend: Backend, folder: Path, size: int, rounds: int) -> None:
    """Of a file by a guest."""
    size = min(size, messages.MAX_UPLOAD_BYTES)
    ours, plain = [], []
    for number in range(rounds):
        source = folder / f"upload{number}.exr"
        block = os.urandom(1 << 24)
        with source.open("wb") as file:
            while file.tell() < size:
                file.write(block[: size - file.tell()])
        plain.append(bare("curve", source, folder / "sink"))
        backend.peak = 0
        ours.append(in_process(uploading, backend.folder, backend.invitation, source))
        shutil.rmtree(backend.folder / "inputs", ignore_errors=True)
    ours_rate, bare_rate = (statistics.median(sample.rate for sample in samples) for samples in (ours, plain))
    memory = f"client {ours[-1].memory_after / 1e6:.0f} ({ours[-1].memory_before / 1e6:.0f}) MB"
    print(
        f"\nUploads of {size / 1e9:.1f} GB, median of {rounds}, CURVE, to disk, with the checksum that names the file"
    )
    print(f"  ours {ours_rate:.0f} MB/s, bare {bare_rate:.0f} MB/s: {ours_rate / bare_rate:.2f}")
    print(f"  peak of {memory}, of server {backend.peak / 1e6:.0f} MB")


def uploading(folder: Path, invitation: Path, source: Path) -> Sample:
    """In the client's process."""
    with open_client(folder, invitation) as client:
        client.request(messages.Status())
        before, started = peak_bytes(), time.perf_counter()
        asked = messages.Generate(job="u", panorama=str(source), output=str(source), settings=PanoramaTo4D())
        transfer.upload(client, asked)
        return Sample(source.stat().st_size, time.perf_counter() - started, before, peak_bytes())


if __name__ == "__main__":
    main()
