"""Each test has a folder of its own for a backend; the command is run as a program."""

import os
import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-m", "cyclorama.backend.cli", "status")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backend"


@pytest.fixture
def status(folder):
    """Runs ``cyclorama status`` for the folder, to its end."""

    def run(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "--folder", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"COLUMNS": str(columns)},
        )

    return run
