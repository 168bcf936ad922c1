"""Whatever comes in a message, it is refused in a sentence or does what it says: nothing breaks, hangs or leaks."""

import io
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from cyclorama.backend.server.front import Front
from cyclorama.backend.server.journal import Journal
from cyclorama.backend.server.pipe import FromWorker, Pipe, ToWorker
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import frames_of, reply_in, request_in, request_name

from .fuzzing import flood
from .fuzzing.mutations import spoilt
from .fuzzing.sayable import sayable
from .fuzzing.watch import files_touched, resident_bytes

pytestmark = pytest.mark.timeout(3600)

NOBODY = Path(flood.__file__).with_name("nobody.py")

MOST_MEMORY = 400 << 20
"""Bytes by which a server may grow, however much it is sent."""

HONEST = 600


@pytest.fixture(scope="module")
def requests() -> list[messages.Request]:
    return flood.corpus(messages.Request, HONEST)


@pytest.fixture(scope="module")
def replies() -> list[messages.Reply | messages.AnyEvent]:
    return flood.corpus(messages.Reply | messages.AnyEvent, HONEST)


def at_home(requests: list[messages.Request], home: Path) -> list[messages.Request]:
    """The same, but jobs are few, and their files lie in ``home``: many messages then speak of the same job."""
    names = [f"job{number}" for number in range(20)]
    stored = [f"{number:064x}.exr" for number in range(6)]
    chance = Random(0)
    changed = []
    for request in requests:
        given: dict[str, Any] = {}
        if "job" in request.__struct_fields__ and not isinstance(request, messages.Status):
            given["job"] = chance.choice(names)
        if isinstance(request, messages.Generate):
            given |= {"panorama": f"{home}/p.exr", "output": f"{home}/{given['job']}.cyclorama"}
            given["files"] = {f"{home}/p.exr": stored[0]}
        if "file" in request.__struct_fields__:
            given["file"] = chance.choice(stored)
        changed.append(msgspec.structs.replace(request, **given))
    return changed


@given(sayable(messages.Request | messages.Reply | messages.AnyEvent))
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_message_that_can_be_said_is_heard_as_it_was_said(message):
    decode = request_in if isinstance(message, messages.Request) else reply_in
    if isinstance(message, messages.Bulk):
        message = msgspec.structs.replace(message, checksum=flood.checksum(message.content))
    assert repr(decode(frames_of(message))) == repr(message)  # NaN is not equal to itself


def test_a_server_outlives_a_flood_of_spoilt_requests(tmp_path, requests, times, figures):
    home = tmp_path / "work"
    folder = home / "backend"
    folder.mkdir(parents=True)
    journal = Journal(folder)
    honest = at_home(requests, home)
    wire: Any = flood.FloodedWire(flood.Flood(1, honest), times(500_000), lambda: messages.Hello(client="fuzz"))
    front = Front(wire, folder, journal, [sys.executable, "-P", str(NOBODY)])
    wire.at_the_end = front.stop
    before = resident_bytes()
    try:
        with files_touched(home) as touched:
            front.run()
    except Exception as error:
        raise AssertionError(f"the server fell over {[frame[:300] for frame in wire.current]}") from error
    finally:
        journal.close()
    grown = resident_bytes() - before
    figures(f"{wire.tally.told()}; memory grew by {grown >> 20} MB")
    flood.assert_none_took_long(wire.tally)
    assert wire.tally.outcomes["taken"] > wire.tally.count / 20, "so little was let through that nothing was tried"
    assert grown < MOST_MEMORY
    assert_only(touched, sys.executable)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]


def assert_only(touched: list[tuple[str, str]], program: str) -> None:
    """Nothing was touched outside; of programs only the worker was started."""
    assert {(event, path) for event, path in touched} <= {("subprocess.Popen", program)}


def test_what_a_client_hears_is_refused_or_understood(replies, times, figures):
    spoilt_replies = flood.Flood(2, replies)
    tally = flood.Tally()
    for _ in range(times(450_000)):
        frames = spoilt_replies.message()
        cpu, wall = time.thread_time(), time.monotonic()
        try:
            heard = reply_in(frames)
            outcome = type(heard).__name__
        except CycloramaError as error:
            outcome = f"refused: {error.code}"
            assert str(error).isprintable() and len(str(error)) < 1000
        request_name(frames)
        tally.took(time.thread_time() - cpu, time.monotonic() - wall, outcome)
        tally.note(outcome)
    figures(tally.told())
    flood.assert_none_took_long(tally)


@pytest.mark.parametrize("kind", [FromWorker, ToWorker], ids=["what the server hears", "what the worker hears"])
def test_a_spoilt_pipe_ends_or_is_refused(kind, times, figures):
    chance = Random(3)
    honest = [msgspec.msgpack.encode(message) for message in flood.corpus(kind, 200)]
    outcomes = Counter()
    for _ in range(times(25_000)):
        frames = [chance.choice(honest) for _ in range(chance.choice((1, 1, 3)))]
        content = b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)
        pipe: Pipe = Pipe(io.BytesIO(spoilt(chance, content, honest)), io.BytesIO(), kind)
        try:
            while pipe.receive() is not None:
                outcomes["understood"] += 1
            outcomes["ended"] += 1
        except msgspec.DecodeError:
            outcomes["refused"] += 1
    figures(f"{times(25_000)} streams: {dict(outcomes)}")
    assert min(outcomes.values()) > 0 and len(outcomes) == 3
