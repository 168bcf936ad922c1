"""What is asked again because its answer was lost is done once."""

import pytest

from cyclorama.backend.server import repeats
from cyclorama.backend.server.repeats import Repeats
from cyclorama.bridge import messages

ONCE = (
    messages.Cancel(request="r", job="j"),
    messages.Retry(request="r", job="j"),
    messages.Forget(request="r", job="j"),
    messages.Prioritize(request="r", job="j", priority=3),
)


@pytest.mark.parametrize("request_", ONCE, ids=lambda request: type(request).__name__)
def test_what_was_accepted_is_accepted_again_without_being_done(request_):
    known = Repeats()
    assert known.answer("anna", request_) is None
    known.note("anna", request_)
    assert known.answer("anna", request_) == messages.Accepted(request="r", job="j")
    assert known.answer("bert", request_) is None


def test_another_wish_is_no_repetition():
    known = Repeats()
    known.note("", messages.Retry(request="r", job="j"))
    for other in (
        messages.Retry(request="s", job="j"),
        messages.Retry(request="r", job="k"),
        messages.Forget(request="r", job="j"),
        messages.Status(request="r"),
    ):
        assert known.answer("", other) is None


def test_a_request_without_a_name_is_always_done():
    known = Repeats()
    known.note("", messages.Retry(job="j"))
    assert known.answer("", messages.Retry(job="j")) is None


def test_it_remembers_no_more_than_it_must():
    known = Repeats()
    for number in range(repeats.MOST + 1):
        known.note("", messages.Cancel(request=str(number), job="j"))
    assert known.answer("", messages.Cancel(request="0", job="j")) is None
    assert known.answer("", messages.Cancel(request="1", job="j"))
