"""Messages survive the wire, and what is no message is refused."""

import msgspec
import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import checksum, frames_of, header_of, reply_in, request_in, request_name
from cyclorama.bridge.settings import Box, PanoramaTo4D, Region, Stroke

REGIONS = (Region(mask="/r.png", prompt="Wölkchen"), Region(box=Box(170, 80, 40, 30), strength=1.5))
SETTINGS = PanoramaTo4D(frames=8, mask="/m.png", strokes=(Stroke(1, 2, 3, 4, 5),), regions=REGIONS, seed=7)
BYTES = bytes(range(256))
REQUESTS = (
    messages.Hello(request="r", client="Blender 5.2", run="a", heard=7),
    messages.Ping(request="r"),
    messages.Generate(request="r", job="j-1", panorama="/pänorama.exr", output="/o.cyclorama", settings=SETTINGS),
    messages.Cancel(request="r", job="j-1"),
    messages.Retry(request="r", job="j-1"),
    messages.Forget(request="r", job="j-1"),
    messages.Prioritize(request="r", job="j-1", priority=-3),
    messages.Recall(request="r", job="j-1"),
    messages.Status(request="r"),
    messages.Survey(request="r"),
    messages.ReadLog(request="r", lines=20),
    messages.Shutdown(request="r", when_idle=True),
    messages.Goodbye(),
    messages.Upload(request="r", file="0" * 64 + ".exr", size=1 << 30),
    messages.Piece(request="r", file="0" * 64, offset=5, checksum=checksum(BYTES), content=BYTES),
    messages.Browse(request="r", job="j-1"),
    messages.Fetch(request="r", job="j-1", name="frames/000000.safetensors", offset=1 << 40),
)
STATE = messages.JobState(
    job="j-1", state="failed", stage="lift", fraction=0.5, code="c", sentence="s", hint="h", seconds={"lift": 2.0}
)
ANSWERS = (
    messages.Welcome(request="r", protocol=1, version="0.1.0", device="CPU, 2 cores", recipes=("panorama_to_4d",)),
    messages.Pong(request="r"),
    messages.Accepted(request="r", job="j-1"),
    messages.Refused(request="r", code="c", sentence="s", hint="h"),
    messages.Jobs(request="r", jobs=(STATE, messages.JobState(job="j-2", state="running"))),
    messages.Surveyed(
        request="r",
        version="0.1.0",
        pid=7,
        started_at=1.0,
        folder="/f",
        endpoint="ipc:///f/s",
        listens_at="",
        memory_bytes=1,
        clients=(messages.ClientState("Blender", "", 0.5),),
        workers=(messages.WorkerState("CPU", 8, 1),),
        cache_bytes=0,
        cache_limit_bytes=1,
        disk_free_bytes=1,
    ),
    messages.Recalled(request="r", asked=REQUESTS[2]),
    messages.Log(request="r", text="Wölkchen"),
    messages.Stored(request="r", file="0" * 64, size=7),
    messages.Package(request="r", job="j-1", files={"scene.json": messages.PackageFile(size=7, sha256="f" * 64)}),
    messages.Fetched(request="r", checksum=checksum(BYTES), content=BYTES),
    messages.Changed(state=STATE),
    messages.Forgotten(job="j-1"),
    messages.Progress(job="j-1", stage="lift", step=3, total=9, fraction=0.3, seconds_left=12.5),
    messages.Preview(job="j-1", step=3, total=9, picture=bytes(range(256))),
    messages.Done(job="j-1", scene="/o.cyclorama", seconds={"lift": 2.0}, peak_bytes=1 << 33),
    messages.Failed(job="j-1", code="c", sentence="s", hint="h"),
    messages.Cancelled(job="j-1"),
)


def kinds_of(base):
    for kind in base.__subclasses__():
        yield from kinds_of(kind) if kind.__subclasses__() else [kind]


def test_every_message_is_among_those_tested():
    tested = {type(message) for message in REQUESTS + ANSWERS}
    assert tested == set(kinds_of(messages.Message))


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_a_request_arrives_as_it_was_sent(message):
    assert request_in(frames_of(message)) == message


@pytest.mark.parametrize("message", ANSWERS, ids=lambda message: type(message).__name__)
def test_an_answer_arrives_as_it_was_sent(message):
    assert reply_in(frames_of(message)) == message


def test_unknown_fields_are_ignored():
    header = msgspec.msgpack.encode({"type": "Cancel", "job": "j", "colour": "green", "reason": {"deep": [1]}})
    assert request_in([header]) == messages.Cancel(job="j")


GENERATE = msgspec.to_builtins(REQUESTS[2])
NO_REQUESTS = {
    "unknown type": msgspec.msgpack.encode({"type": "Dance"}),
    "an answer": header_of(ANSWERS[0]),
    "no type": msgspec.msgpack.encode({"job": "j"}),
    "empty": b"",
    "noise": b"\xc1\xff\x00 not MessagePack",
    "cut short": header_of(REQUESTS[2])[:-3],
    "text that is not UTF-8": b"\x82\xa4type\xa4Ping\xa7request\xa1\xff",
    "nested too deeply": b"\x81\xa1x" + b"\x91" * 100_000,
    "job with a path in its name": msgspec.msgpack.encode(GENERATE | {"job": "../j"}),
    "upload that leaves its folder": msgspec.msgpack.encode({"type": "Upload", "file": "../" + "0" * 64, "size": 1}),
    "upload of a hidden name": msgspec.msgpack.encode({"type": "Upload", "file": "0" * 64 + ".exr.partial", "size": 1}),
    "upload beyond all measure": msgspec.msgpack.encode({"type": "Upload", "file": "0" * 64, "size": 1 << 40}),
    "upload of less than nothing": msgspec.msgpack.encode({"type": "Upload", "file": "0" * 64, "size": -1}),
    "event before the first": msgspec.msgpack.encode({"type": "Hello", "run": "r", "heard": -1}),
    "priority beyond all": msgspec.msgpack.encode({"type": "Prioritize", "job": "j", "priority": 11}),
    "bytes before the start": msgspec.msgpack.encode({"type": "Fetch", "job": "j", "name": "n", "offset": -1}),
    "more bytes than a piece": msgspec.msgpack.encode(
        {"type": "Fetch", "job": "j", "name": "n", "offset": 0, "length": messages.PIECE_BYTES + 1}
    ),
    "log without end": msgspec.msgpack.encode({"type": "ReadLog", "lines": 1 << 40}),
    "endless name": msgspec.msgpack.encode(GENERATE | {"request": "r" * 65}),
    "name of two lines": msgspec.msgpack.encode(GENERATE | {"job": "j\n"}),
    "file of two lines": msgspec.msgpack.encode({"type": "Upload", "file": "0" * 64 + ".exr\n", "size": 1}),
    "endless path": msgspec.msgpack.encode(GENERATE | {"output": "/" + "o" * 5000}),
    "setting out of range": msgspec.msgpack.encode(GENERATE | {"settings": {"frames": -1}}),
    "setting of another type": msgspec.msgpack.encode(GENERATE | {"settings": {"frames": "many"}}),
    "setting that is no choice": msgspec.msgpack.encode(GENERATE | {"settings": {"model": "gpt"}}),
    "region of nothing": msgspec.msgpack.encode(GENERATE | {"settings": {"regions": [{"prompt": "clouds"}]}}),
    "region beyond the sphere": msgspec.msgpack.encode(
        GENERATE | {"settings": {"regions": [{"box": {"longitude": 0, "latitude": 0, "width": 361, "height": 1}}]}}
    ),
    "too many strokes": msgspec.msgpack.encode(
        GENERATE | {"settings": {"strokes": [msgspec.to_builtins(SETTINGS.strokes[0])] * 257}}
    ),
}


@pytest.mark.parametrize("header", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_what_is_no_request_raises_one_kind_of_error(header):
    with pytest.raises(CycloramaError) as caught:
        request_in([header])
    assert caught.value.code == "message-not-understood"


def test_a_preview_that_is_too_large_is_refused():
    preview = messages.Preview(job="j", step=1, total=2, picture=bytes(messages.MAX_PREVIEW_BYTES + 1))
    with pytest.raises(CycloramaError):
        reply_in(frames_of(preview))


def test_the_request_of_a_message_that_is_not_understood_can_still_be_named():
    assert request_name([msgspec.msgpack.encode({"type": "Dance", "request": "r"})]) == "r"
    assert [request_name([NO_REQUESTS[name]]) for name in ("empty", "noise", "nested too deeply")] == ["", "", ""]
