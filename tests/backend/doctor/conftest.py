"""A backend's folder as it should be, for tests to make wrong."""

import pytest

from cyclorama.backend.doctor.situation import Situation
from cyclorama.bridge.address import Keys, open_folder


@pytest.fixture
def folder(tmp_path):
    """With keys in it."""
    path = tmp_path / "backend"
    open_folder(path)
    Keys.load_or_make(path)
    return path


@pytest.fixture
def situation(folder):
    return Situation(folder)


@pytest.fixture
def levels():
    """Of findings: ``levels(check(situation))``."""
    return lambda found: [each.level for each in found]
