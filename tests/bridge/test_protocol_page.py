"""The page on the protocol is what its generator makes of the messages now, and has all there is to know in it."""

import importlib.util
import re
import typing
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from cyclorama.bridge import messages

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator():
    path = ROOT / "tools" / "protocol-page"
    loader = SourceFileLoader("protocol_page", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(generator) -> str:
    return generator.page()


def test_the_page_is_not_older_than_the_messages(generator, page):
    written = generator.PAGE.read_text(encoding="utf-8")
    assert written == page, "run .venv/bin/python tools/protocol-page"


def test_every_message_and_each_of_its_fields_is_on_it(page):
    sections = dict(re.findall(r"^#### (\w+)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    for message in typing.get_args(messages.AnyMessage):
        fields = set(message.__struct_fields__) - {"request", "sequence", "content"}
        described = set(re.findall(r"^\| `(\w+)` \|", sections[message.__name__], re.MULTILINE))
        assert fields <= described, message.__name__


def test_limits_are_told_in_plain_words(page):
    assert re.search(r"^\| `lines` \| integer, 1 to 2000 \| `200` \|", page, re.MULTILINE)
    assert re.search(r"^\| `picture` \| bytes, at most 256 KiB \| \*needed\* \|", page, re.MULTILINE)


def test_every_link_leads_somewhere(page):
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= headings


@pytest.mark.parametrize("code", ["queue-full", "hello-first", "too-many-questions", "piece-damaged", "job-not-yours"])
def test_the_errors_are_on_it_with_their_sentences(page, code):
    assert re.search(rf"^\| `{code}` \| [A-Z…].* \| `.*\.py`", page, re.MULTILINE)


def test_no_placeholder_is_left(page):
    assert "${" not in page
