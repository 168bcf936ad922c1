"""``cyclorama status`` shows a backend as it is, on a terminal, as text and as JSON; and says when there is none."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from cyclorama.bridge import messages
from cyclorama.bridge.address import Address, Keys

from .conftest import COMMAND
from .stand_in import StandIn, job

RUNNING = job("quay", "running", stage="animate", fraction=0.63, seconds_left=80.0)
FAILED = job("bad", "failed", ended_at=time.time(), sentence="The panorama is missing.")


def test_once_it_prints_plain_text_without_colours_in_80_columns(folder, status):
    with StandIn(folder, RUNNING, job("meadow", "waiting", place=1, priority=5), FAILED):
        told = status("--once")
    assert told.returncode == 0 and not told.stderr
    assert "\x1b" not in told.stdout and all(len(line) <= 80 for line in told.stdout.splitlines())
    for words in (
        "Cyclorama 0.1.0   CPU, 2 cores   running 2 h ",
        "process 4711, 85.0 MB   disk 120 GB free   cache 3.1 GB of 20.0 GB",
        "tcp://0.0.0.0:47860",
        "4712     1.2 GB  quay",
        "anna   42 s ago",
        "1 running, 1 waiting, 1 failed",
        "63%  animate  80 s left",
        "priority +5",
        "The panorama is missing.",
    ):
        assert words in told.stdout


def test_for_programs_it_prints_json(folder, status):
    with StandIn(folder, RUNNING, FAILED, log="first\nlast"):
        told = json.loads(status("--json", "--log", "2").stdout)
    assert told["backend"]["device"] == "CPU, 2 cores"
    assert told["survey"]["workers"][0]["pid"] == 4712
    assert [(line["job"], line["state"]) for line in told["jobs"]] == [("job-quay", "running"), ("job-bad", "failed")]
    assert told["log"] == ["first", "last"]


def test_where_no_backend_runs_it_says_so_in_a_sentence(status):
    told = status()
    assert told.returncode == 1 and not told.stdout
    assert told.stderr.startswith("cyclorama: No backend runs in ") and "cyclorama serve" in told.stderr


def test_a_backend_that_was_killed_does_not_answer(folder, status):
    StandIn(folder).close(leave_address=True)
    told = status("--once")
    assert told.returncode == 1
    assert re.fullmatch(r"cyclorama: The backend has not answered for \d seconds\. .*\n", told.stderr)


def test_a_backend_that_tells_nothing_of_itself_is_shown_without_that(folder, status):
    with StandIn(folder, RUNNING, survey=False):
        told = status("--once")
    assert told.returncode == 0 and "63%" in told.stdout and "Worker" not in told.stdout


def test_with_an_invitation_a_guest_sees_the_jobs(folder, status, tmp_path):
    with StandIn(folder, RUNNING, guest="anna") as backend:
        keys = Keys.load_or_make(folder)
        invitation = tmp_path / "invitation.json"
        address = Address.load(folder)
        invitation.write_text(
            json.dumps(
                {
                    "endpoint": address.endpoint,
                    "server_public": keys.server_public,
                    "client_public": keys.client_public,
                    "client_secret": keys.client_secret,
                    "guest": "anna",
                }
            )
        )
        told = status("--once", "--invitation", str(invitation))
        assert "you are its guest anna" in told.stdout and "63%" in told.stdout
        assert not any(isinstance(request, messages.Survey) for request in backend.heard)


def test_what_is_no_invitation_is_said(status, tmp_path):
    (tmp_path / "x").write_text("{}")
    told = status("--invitation", str(tmp_path / "x"))
    assert told.returncode == 1 and "is no invitation" in told.stderr


# On a terminal


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, folder):
        self.screen = ""
        self.pid, self._side = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background ignores it
            os.execv(COMMAND[0], [*COMMAND, "--folder", str(folder)])

    def until(self, words: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.screen:
            assert time.monotonic() < deadline, self.screen[-3000:]
            ready, _, _ = select.select([self._side], [], [], 0.1)
            if ready:
                self.screen += os.read(self._side, 1 << 16).decode()

    def forget(self) -> None:
        self.screen = ""

    def press(self, key: str) -> None:
        os.write(self._side, key.encode())

    def end(self) -> int:
        """Its exit code, once it has ended."""
        while True:
            try:
                self.screen += os.read(self._side, 1 << 16).decode()
            except OSError:  # nobody has the other side any more
                break
        os.close(self._side)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_it_is_left_with_a_key_and_leaves_the_terminal_as_it_was(folder, key):
    with StandIn(folder, RUNNING):
        terminal = Terminal(folder)
        terminal.until("63%")
        terminal.press(key)
        assert terminal.end() == 0
    assert "\x1b[?1049h" in terminal.screen and terminal.screen.rindex("\x1b[?1049l") > terminal.screen.rindex("63%")
    assert "\x1b[?25h" in terminal.screen  # the cursor is there again


def test_what_happens_is_shown_while_it_is_watched(folder):
    with StandIn(folder, RUNNING) as backend:
        terminal = Terminal(folder)
        terminal.until("63%")
        backend.tell(messages.Progress(job="job-quay", stage="lift", step=7, total=9, fraction=0.81, seconds_left=30.0))
        terminal.until("81%")
        backend.jobs = (FAILED,)
        backend.tell(messages.Changed(state=FAILED))
        terminal.until("The panorama is missing.")
        terminal.press("q")
        assert terminal.end() == 0


def test_a_backend_that_dies_while_watched_is_lost_and_found_again(folder):
    backend = StandIn(folder, RUNNING)
    terminal = Terminal(folder)
    try:
        terminal.until("63%")
        backend.close()
        terminal.until("Lost:")
        terminal.forget()
        backend = StandIn(folder, job("quay", "running", fraction=0.92))
        terminal.until("92%")
        assert "Lost:" not in terminal.screen[terminal.screen.rindex("92%") :]
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        backend.close()


def test_a_thousand_jobs_are_counted_and_the_next_ones_shown(folder, status):
    waiting = [job(f"meadow-{place}", "waiting", place=place) for place in range(1, 1001)]
    with StandIn(folder, RUNNING, *waiting, FAILED):
        told = status("--once", columns=50)
    lines = told.stdout.splitlines()
    assert "1,000 waiting" in told.stdout and "more wait" in told.stdout and len(lines) <= 60
    assert all(len(line) <= 50 for line in lines)
    assert "meadow-1 " in told.stdout and "meadow-999" not in told.stdout


def test_sent_a_signal_to_end_it_leaves_the_terminal_as_it_was(folder):
    with StandIn(folder, RUNNING):
        terminal = Terminal(folder)
        terminal.until("63%")
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == 130
    assert "\x1b[?1049l" in terminal.screen and "Traceback" not in terminal.screen


def test_it_does_not_wait_for_what_loads_slowly():
    program = "import sys; import cyclorama.backend.status.watch; print({'torch', 'cv2', 'numba'} & set(sys.modules))"
    told = subprocess.run((COMMAND[0], "-c", program), capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "set()"
