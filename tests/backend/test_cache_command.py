"""``cyclorama cache`` tells what is kept and removes what no job uses."""

import numpy as np
import pytest

from cyclorama.backend.cache_command import in_words, show_cache
from cyclorama.backend.stage_cache import StageCache, kept


@pytest.fixture
def folder(tmp_path):
    """With a result of a job that is over, and one of a job that is not."""
    for number, job in enumerate(("over", "running")):
        with StageCache(tmp_path / "cache", 10**8, job).begin("animate", f"{number:032x}", 10) as entry:
            entry.part("000000", {"a": np.zeros(500_000 * (1 + number), np.float32)})
            entry.finish(b"{}")
    (tmp_path / "cache" / "leases" / "over").unlink()
    return tmp_path


def test_it_shows_stage_size_age_and_who_uses_it(folder, capsys, monkeypatch):
    monkeypatch.setenv("CYCLORAMA_CACHE_GB", "2")
    show_cache(folder)
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.split() == ["animate", "4.0", "MB", "used", "just", "now", "in", "use", "by", "running"]
    assert second.split() == ["animate", "2.0", "MB", "used", "just", "now"]
    assert total == f"2 results of stages in {folder / 'cache'}: 6.0 MB of at most 2.0 GB."


def test_clearing_leaves_what_a_job_uses(folder, capsys):
    show_cache(folder, clear=True)
    assert capsys.readouterr().out.startswith("2.0 MB removed.\n")
    assert [entry.leased for entry in kept(folder / "cache")] == [("running",)]


def test_an_empty_cache_is_told(tmp_path, capsys):
    show_cache(tmp_path)
    assert capsys.readouterr().out.startswith("0 results of stages")


def test_what_was_reused_is_one_sentence():
    assert in_words(["depth", "animate"]) == "depth, animate: from the cache"
    assert in_words([]) == ""
