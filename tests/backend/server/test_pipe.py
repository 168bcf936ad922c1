"""Whatever comes through the pipe between the server and its worker, it is a message, the end, or refused as none."""

import io
import struct

import msgspec
import pytest

from cyclorama.backend.server.pipe import MAX_FRAME_BYTES, FromWorker, Pipe, Ready


def received(content: bytes):
    pipe: Pipe = Pipe(io.BytesIO(content), io.BytesIO(), FromWorker)  # pyright: ignore[reportArgumentType]  # a union
    return pipe.receive()


def framed(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def test_what_is_sent_is_received():
    outgoing = io.BytesIO()
    Pipe(io.BytesIO(), outgoing, FromWorker).send(Ready("CPU", cores=2))  # pyright: ignore[reportArgumentType]
    assert received(outgoing.getvalue()) == Ready("CPU", cores=2)


@pytest.mark.parametrize(
    "frame",
    [b"", b"\xc1", b"\x81\xa4type\xa1\xff", b"\x82\xa4type\xa5Ready\xa1x" + b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff"],
    ids=["empty", "no message", "not Unicode", "nested", "a list of four billion"],
)
def test_what_is_no_message_is_refused_by_one_kind_of_error(frame):
    with pytest.raises(msgspec.DecodeError):
        received(framed(frame))


def test_a_frame_longer_than_any_message_is_refused_before_it_is_read():
    with pytest.raises(msgspec.DecodeError, match="frame of"):
        received(struct.pack("<I", MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("cut", [0, 3, 4, 9])
def test_a_stream_that_ends_in_the_middle_has_ended(cut):
    assert received(framed(msgspec.msgpack.encode(Ready("CPU")))[:cut]) is None
