"""A scene is generated on another computer, which loses its backend on the way; it comes back whole."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from cyclorama.bridge import messages, transfer
from cyclorama.bridge.address import Address
from cyclorama.bridge.client import Client
from cyclorama.bridge.scene import Scene
from cyclorama.bridge.settings import PanoramaTo4D

ROOT = Path(__file__).resolve().parents[2]
PANORAMA = ROOT / "presets" / "panoramas" / "sunset.exr"
SETTINGS = PanoramaTo4D(width=256, frames=3, strength=8.0, lift="direct", seed=5)
CLI = (sys.executable, "-m", "cyclorama.backend.cli")


@pytest.fixture
def serve(tmp_path):
    started = []

    def serve(*arguments: str) -> subprocess.Popen:
        command = [*CLI, "serve", "--folder", str(tmp_path / "backend"), *arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        assert "Listening" in (started[-1].stdout or sys.stdin).readline()
        return started[-1]

    yield serve
    for process in started:
        process.terminate()
        process.wait(30)
        process.communicate()


def invited(tmp_path: Path, port: int) -> Address:
    file = tmp_path / "anna.json"
    command = [*CLI, "keys", "invite", "anna", "-o", str(file), "--host", "127.0.0.1", "--port", str(port)]
    said = subprocess.run([*command, "--folder", str(tmp_path / "backend")], check=True, capture_output=True, text=True)
    assert "lets anna in" in said.stdout
    return Address.from_invitation(file)


def heard(client: Client, kind: type, job: str, seconds: float = 120.0):
    deadline = time.monotonic() + seconds
    while True:
        for message in client.drain():
            assert not isinstance(message, messages.Failed), message
            if isinstance(message, kind) and getattr(message, "job", "") == job:
                return message
        assert time.monotonic() < deadline, f"no {kind.__name__}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def gaussians(scene: Path) -> dict[str, str]:
    """Checksums of their files; those of pictures hold the time of day."""
    files = Scene(scene).info.files
    return {name: file.sha256 for name, file in files.items() if name.endswith(".safetensors")}


def test_a_server_killed_in_the_middle_of_a_job_costs_a_guest_nothing(serve, tmp_path):
    port = free_port()
    server = serve("--port", str(port))
    guest = tmp_path / "guest"
    asked = messages.Generate(job="j", panorama=str(PANORAMA), output=str(guest / "j.cyclorama"), settings=SETTINGS)
    with Client(tmp_path / "none", address=invited(tmp_path, port), silence=2) as client:
        asked = transfer.upload(client, asked)
        client.request(asked)
        heard(client, messages.Progress, "j")
        server.send_signal(signal.SIGKILL)
        server.wait()
        serve("--listen", "127.0.0.1", "--port", str(port))
        client.request(asked, 30)  # said again, it is not a second one
        while (line := client.request(messages.Status(), 30).jobs[0]).state in ("waiting", "running"):  # pyright: ignore
            time.sleep(0.1)
        assert (line.state, line.sentence) == ("done", "")
        transfer.download(client, "j", guest / "j.cyclorama")
        undisturbed = msgspec.structs.replace(asked, job="again", output=str(guest / "again.cyclorama"))
        client.request(undisturbed)
        heard(client, messages.Done, "again")
        transfer.download(client, "again", guest / "again.cyclorama")
    Scene(guest / "j.cyclorama").validate()
    assert gaussians(guest / "j.cyclorama") == gaussians(guest / "again.cyclorama")
    assert {path.name for path in guest.iterdir()} == {"j.cyclorama", "again.cyclorama"}
    left = [path for path in (tmp_path / "backend").rglob("*") if "partial" in path.name]
    assert not left
