"""Many jobs, many clients, and clients that misbehave: the server stays small, and others notice nothing."""

import socket
import statistics
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
import zmq

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import frames_of

from .backends import TOY_WORKER, Artist, assert_nothing_is_left, is_alive, journal_rows, until

TOYS = (str(TOY_WORKER),)
MOST_GROWTH = 64 << 20
"""Bytes that the server may grow by, whoever does what."""

P99_SECONDS = 0.02
"""Of a status on an idle machine; what is measured is printed, and only far more fails."""


@pytest.fixture
def backend(start):
    return start(TOYS)


def statuses(artist: Artist, count: int) -> list[float]:
    """Seconds that each took."""
    artist.request(messages.Status(job="nobody"))  # now it is connected
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        artist.request(messages.Status(job="nobody"))
        seconds.append(time.perf_counter() - began)
    return seconds


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def asked_at_once(artist: Artist, toys: dict[str, str]) -> None:
    """Asks for all, then waits for all answers; ``toys`` by the names of their jobs."""
    answers = [artist.client.ask(artist.task(job, f"/toys/{toy}")) for job, toy in toys.items()]
    for job, answer in zip(toys, answers, strict=True):
        reply = answer.wait(120)
        assert isinstance(reply, messages.Accepted) and reply.job == job


@pytest.mark.timeout(600)
def test_a_thousand_jobs_wait_in_order_and_survive_a_restart(start, artist, folder, place, times, figures):
    count = max(40, times(1000))
    backend = start(TOYS)
    asked_at_once(artist, {"first": "patient"})
    until(lambda: artist.events(messages.Progress, "first"))
    empty, small = statuses(artist, 100), backend.rss_bytes()
    names = [f"job{number}" for number in range(count)]
    began = time.monotonic()
    asked_at_once(artist, dict.fromkeys(names, "quick"))
    seconds = time.monotonic() - began
    if count == 1000:
        with pytest.raises(CycloramaError) as refused:
            artist.request(artist.task("one-too-many", "/toys/quick"))
        assert refused.value.code == "queue-full"
    full, large = statuses(artist, 100), backend.rss_bytes()
    assert [line.job for line in artist.jobs().values() if line.state == "waiting"] == names

    backend.kill()
    backend = start(TOYS)
    listed = artist.jobs()
    assert [job for job in listed if job != "first"] == names
    assert [row["name"] for row in journal_rows(folder) if row["name"] != "first"] == names

    cancelled = names[1::2]
    began = time.monotonic()
    answers = [artist.client.ask(messages.Cancel(job=job)) for job in cancelled]
    for answer in answers:
        answer.wait(120)
    cancelling = time.monotonic() - began
    kept = [job for job in names if job not in cancelled][:10]
    for job in names:
        if job not in cancelled and job not in kept:
            artist.request(messages.Cancel(job=job))
    (place / "go on").touch()
    until(lambda: all(artist.endings(job) for job in kept))
    assert [path.name for path in sorted(place.glob("job*"), key=lambda path: path.stat().st_mtime_ns)] == [
        f"{job}.cyclorama" for job in kept
    ]
    backend.stop()
    (place / "go on").unlink()
    assert_nothing_is_left(folder, place, [row["name"] for row in journal_rows(folder)])
    assert large - small < MOST_GROWTH
    figures(
        f"{count} jobs accepted in {seconds:.1f} s, {len(cancelled)} cancelled in {cancelling:.1f} s; a status of one "
        f"job at p99: {1000 * p99(empty):.1f} ms with an empty queue, {1000 * p99(full):.1f} ms with a full one; "
        f"server {(large - small) / 1e6:.0f} MB larger"
    )


@pytest.mark.timeout(300)
def test_32_clients_at_once_are_all_served(backend, folder, tmp_path, times, figures):
    rounds = max(5, times(100))
    failures, seconds = [], []
    small = backend.rss_bytes()

    def live(number: int) -> None:
        place = tmp_path / f"artist{number}"
        place.mkdir()
        try:
            with Artist(folder, place) as artist:
                job = f"job{number}"
                artist.request(artist.task(job, "/toys/quick"))
                seconds.extend(statuses(artist, rounds))
                ending = artist.ending(job)
                assert isinstance(ending, messages.Done), ending
                assert artist.output(job).exists()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=live, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert backend.rss_bytes() - small < MOST_GROWTH
    figures(
        f"{len(seconds)} statuses by 32 clients, p99 {1000 * p99(seconds):.1f} ms "
        f"(all in one Python, which is the slower end); server {(backend.rss_bytes() - small) / 1e6:.0f} MB larger"
    )


@contextmanager
def dealer(address: Address):
    """A client's socket, as bare as libzmq has it."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as deal:
        deal.linger, deal.rcvhwm = 0, 1
        if address.endpoint.startswith("tcp"):
            deal.curve_serverkey = address.server_public.encode()
            deal.curve_publickey = address.client_public.encode()
            deal.curve_secretkey = address.client_secret.encode()
        deal.connect(address.endpoint)
        yield deal


def test_a_client_that_never_reads_harms_nobody(backend, artist, folder, place, times, figures):
    """It says Hello, asks for all that is long, and reads not a byte of it, nor of the events."""
    asked_at_once(artist, {f"job{number}": "endless" for number in range(100)})
    until(lambda: artist.events(messages.Progress, "job0"))
    before, small = statuses(artist, 100), backend.rss_bytes()
    asked = 0
    with ExitStack() as stack:
        deaf = [stack.enter_context(dealer(Address.load(folder))) for _ in range(8)]
        for deal in deaf:
            deal.send_multipart(frames_of(messages.Hello(client="deaf")))
        for number in range(times(5000)):
            for deal in deaf:
                for request in (messages.Status(request=str(number)), messages.ReadLog(request=str(number))):
                    try:
                        deal.send_multipart(frames_of(request), zmq.NOBLOCK)
                        asked += 1
                    except zmq.Again:
                        pass  # the server does not read from whom it cannot answer
        during = statuses(artist, 100)
        large = backend.rss_bytes()
        artist.request(messages.Cancel(job="job0"))
        assert isinstance(artist.ending("job0"), messages.Cancelled)
    assert large - small < MOST_GROWTH
    assert statistics.median(during) < 10 * statistics.median(before) + P99_SECONDS
    figures(
        f"{asked} requests whose answers nobody reads; server {(large - small) / 1e6:.0f} MB larger; a status at p99: "
        f"{1000 * p99(before):.1f} ms before, {1000 * p99(during):.1f} ms meanwhile"
    )


def half_messages():
    """What a client may have sent when it stops: the greeting of ZMTP 3.1, whole or not, and frames that do not end."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE".ljust(23, b"\0") + bytes(32)
    yield b""
    yield b"\xff"
    yield greeting[:11]
    yield greeting[:40]
    yield greeting
    yield greeting + b"\x04\xc8\x05HELLO"  # 200 bytes are promised
    yield greeting + b"\x06" + (1 << 62).to_bytes(8, "big") + b"\x05HELLO"
    yield greeting + b"\x02" + (1 << 40).to_bytes(8, "big") + bytes(1000)


def test_half_a_message_harms_nobody(start, artist, folder, times, figures):
    backend = start(TOYS, listen="127.0.0.1", port=free_port())
    before, small = statuses(artist, 100), backend.rss_bytes()
    halves = list(half_messages())
    count = times(1000)
    with ExitStack() as stack:
        for number in range(count):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", backend.port), 10))
            raw.sendall(halves[number % len(halves)])
        during = statuses(artist, 100)
        large = backend.rss_bytes()
        assert is_alive(backend.pid)
    after = statuses(artist, 100)
    assert large - small < MOST_GROWTH
    assert statistics.median(during) < 10 * statistics.median(before) + P99_SECONDS
    assert artist.jobs() == {}
    figures(
        f"{count} connections that stopped in the middle; server {(large - small) / 1e6:.0f} MB larger; a status at "
        f"p99: {1000 * p99(before):.1f} ms before, {1000 * p99(during):.1f} ms meanwhile, "
        f"{1000 * p99(after):.1f} ms after"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
