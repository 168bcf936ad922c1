"""Messages are cut into frames and put together again; sizes and checksums are looked at before anything else."""

import msgspec
import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.frames import check_header, checksum, frames_of, header_of, reply_in, request_in, request_name

CONTENT = bytes(range(256))
PIECE = messages.Piece(request="r", file="0" * 64, offset=5, checksum=checksum(CONTENT), content=CONTENT)


def fault_in(frames, read=request_in):
    with pytest.raises(CycloramaError) as caught:
        read(frames)
    return caught.value.code


def test_the_content_of_a_piece_is_a_frame_of_its_own():
    header, content = frames_of(PIECE)
    assert content == CONTENT and CONTENT not in bytes(header)
    assert request_in([header, content]) == PIECE


def test_all_else_is_one_frame():
    (header,) = frames_of(messages.Cancel(job="j"))
    assert header == header_of(messages.Cancel(job="j"))


def test_a_piece_that_was_damaged_on_its_way_is_refused():
    header, content = frames_of(PIECE)
    assert fault_in([header, bytes(content[:-1]) + b"x"]) == "piece-damaged"
    assert fault_in([header, b""]) == "piece-damaged"


def test_content_in_the_header_does_not_count():
    sneaked = msgspec.msgpack.encode(msgspec.to_builtins(PIECE, builtin_types=(bytes,)))
    assert request_in([sneaked, CONTENT]) == PIECE
    assert fault_in([sneaked]) == "message-not-understood"


@pytest.mark.parametrize("count", [0, 3, 1000])
def test_a_message_has_one_frame_or_two(count):
    assert fault_in([header_of(messages.Ping())] * count) == "message-not-understood"


def test_each_message_has_its_number_of_frames():
    header, _ = frames_of(PIECE)
    assert fault_in([header]) == "message-not-understood"
    assert fault_in([header_of(messages.Ping()), b""]) == "message-not-understood"


def test_what_is_too_long_is_refused_before_it_is_decoded():
    assert fault_in([b"\xc1" * (messages.MAX_HEADER_BYTES + 1)]) == "message-too-long"
    header, _ = frames_of(PIECE)
    assert fault_in([header, bytes(messages.PIECE_BYTES + 1)]) == "message-too-long"
    assert fault_in([b"\xc1" * (messages.MAX_REPLY_BYTES + 1)], reply_in) == "message-too-long"
    with pytest.raises(CycloramaError, match="are allowed"):
        check_header(bytes(messages.MAX_HEADER_BYTES + 1))


def test_the_backend_may_tell_more_than_a_client_may_ask():
    log = messages.Log(text="x" * (2 * messages.MAX_HEADER_BYTES))
    assert reply_in(frames_of(log)) == log


def test_a_request_is_no_reply_and_a_reply_no_request():
    assert fault_in(frames_of(messages.Pong())) == "message-not-understood"
    assert fault_in(frames_of(messages.Ping()), reply_in) == "message-not-understood"


def test_what_is_too_long_has_no_name():
    assert request_name([]) == ""
    assert request_name([msgspec.msgpack.encode({"request": "r", "more": bytes(messages.MAX_HEADER_BYTES)})]) == ""
