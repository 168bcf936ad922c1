"""Installing the backend as an artist does, from a tiny package index in a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

import cyclorama
from cyclorama.addon import link, preferences
from cyclorama.addon.installation import bundle, environment, session
from cyclorama.addon.installation.installer import fetch, gpu, place, steps, trouble
from cyclorama.addon.installation.installer.pip import Downloads, Package
from cyclorama.addon.installation.installer.request import Request
from cyclorama.addon.installation.run import Run
from cyclorama.bridge.errors import CycloramaError

from .wheels import CONSTRAINTS, serve_index, write_backend, write_index

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(scope="module", autouse=True)
def own_pip():
    """pip as on a computer where nobody set it up."""
    with pytest.MonkeyPatch.context() as here:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            here.delenv(name)
        here.setenv("PIP_CONFIG_FILE", os.devnull)
        yield


@pytest.fixture
def page(addon, tmp_path, monkeypatch):
    """The add-on's preferences, set to install from a folder of wheels into a folder with a difficult name."""
    entry = bpy.context.preferences.addons.new()
    entry.module = preferences.ADDON
    page = entry.preferences
    page.wheel_folder = str(write_index(tmp_path / "wheels"))
    page.install_folder = str(tmp_path / "Müller's 场景")
    page.install_device = "CPU"
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(CONSTRAINTS)
    offered = bundle.Bundle(write_backend(tmp_path / "bundle"), constraints)
    monkeypatch.setattr(session, "bundle", lambda: offered)
    yield page
    session.cancel()
    bpy.context.preferences.addons.remove(entry)


def wait(timeout: float = 120.0) -> session.Run | None:
    """What Blender's timer does, until the installer has ended."""
    deadline = time.monotonic() + timeout
    while session.working() or not session.preparation_ended():
        assert time.monotonic() < deadline, session.run() and session.run().stage
        session.move_on()
        time.sleep(0.02)
    return session.run()


def install() -> Path:
    """The folder of a whole installation."""
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.error() is None
    assert session.state() == "whole"
    return preferences.environment_folder()


@pytest.fixture(scope="module")
def beginning(tmp_path_factory) -> Path:
    """An environment without packages, to copy: that is faster than making one."""
    folder = environment.own_folder(tmp_path_factory.mktemp("beginning"))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    place.write_stamp(folder, place.Stamp())
    return folder


@pytest.fixture(scope="module")
def end(beginning, tmp_path_factory) -> Path:
    """The same with the backend in it."""
    home = tmp_path_factory.mktemp("end")
    (home / "constraints.txt").write_text(CONSTRAINTS)
    folder = shutil.copytree(beginning, environment.own_folder(home), symlinks=True)
    asked = (write_backend(home / "bundle"), home / "constraints.txt", cyclorama.__version__, "CPU")
    run = Run(Request("install", *map(str, (folder, *asked, write_index(home / "wheels")))))
    while not run.ended:
        time.sleep(0.02)
    assert run.error is None
    return folder


@pytest.fixture
def begun(page, beginning) -> Path:
    """The folder of an installation that was cancelled early."""
    return shutil.copytree(beginning, preferences.environment_folder(), symlinks=True)


@pytest.fixture
def installed(page, end) -> Path:
    """The folder of an installation."""
    return shutil.copytree(end, preferences.environment_folder(), symlinks=True)


def imported(python: Path, program: str) -> str:
    return subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_installed_in_a_folder_of_its_own_and_used_from_then_on(page):
    with pytest.raises(CycloramaError, match="not installed yet"):
        preferences.backend_python()
    blender_s = Path(bpy.__file__).parent.parent
    before = sorted(path.name for path in blender_s.iterdir())
    folder = install()
    assert sorted(path.name for path in blender_s.iterdir()) == before, "its own Python stays as it was"
    assert folder.parent == Path(page.install_folder)
    python = preferences.backend_python()
    assert folder in python.parents
    assert imported(python, "import torch, cyclorama.backend.cli; print(torch.__version__)") == "2.13.0+cpu"
    stamp = session.stamp()
    assert (stamp.version, stamp.torch, stamp.runs_on) == (cyclorama.__version__, "2.13.0+cpu", "CPU")
    assert stamp.disk_bytes > 1_000_000
    assert {path.name for path in folder.iterdir()} == {"venv", "environment.json", "install.log", "lock"}


def test_an_interpreter_set_by_hand_comes_first(page, installed, monkeypatch):
    monkeypatch.setenv("CYCLORAMA_BACKEND_PYTHON", sys.executable)
    assert preferences.backend_python() == Path(sys.executable)


def test_what_is_to_be_downloaded_is_told_before(page):
    bpy.ops.cyclorama.prepare_installation()
    wait()
    plan = session.plan()
    assert plan.packages == 2
    assert plan.download_bytes == 0, "the wheels lie on this computer"
    assert plan.free_bytes > 0
    assert plan.device == "CPU, as chosen"
    assert "torch" in plan.largest or plan.largest.count("0 MB") == 2
    assert not Path(page.install_folder).exists()
    bpy.ops.cyclorama.cancel_installation()
    assert not session.preparing()


def test_another_setting_is_looked_up_anew(page):
    bpy.ops.cyclorama.prepare_installation()
    wait()
    page.wheel_folder = "/there is no such folder"
    wait()
    assert session.plan() is None
    assert "/there is no such folder" in session.error().sentence
    bpy.ops.cyclorama.cancel_installation()
    assert session.error() is None


def test_remove_deletes_its_own_folder_and_nothing_beside_it(page, installed):
    folder = installed
    mine = folder.parent / "shot_010.blend"
    mine.write_text("mine")
    inside = folder / "notes.txt"
    inside.write_text("mine too")
    bpy.ops.cyclorama.remove_backend()
    wait()
    assert session.error() is None
    assert session.state() == "absent"
    assert mine.read_text() == "mine"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_folder_of_something_else_is_never_touched(page):
    foreign = preferences.environment_folder()
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("mine")
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.error().code == "install-folder-foreign"
    assert not bpy.ops.cyclorama.remove_backend.poll()
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]


def test_repair_installs_only_what_is_damaged(page, installed):
    folder = installed
    package = next(folder.glob("venv/**/numpy/core.py"))
    torch = next(folder.glob("venv/**/torch/__init__.py"))
    before = torch.stat().st_mtime_ns
    package.write_text("zero = 1\n")  # of the same length
    bpy.ops.cyclorama.repair_backend()
    run = wait()
    assert session.error() is None
    assert run.note == "Installed again: numpy"
    assert package.read_text() == "zero = 0\n"
    assert torch.stat().st_mtime_ns == before


def test_repair_of_what_is_whole_says_so(page, installed):
    bpy.ops.cyclorama.repair_backend()
    assert wait().note == "No package was damaged"
    assert session.state() == "whole"


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_an_environment_whose_blender_was_removed_is_repaired(page, installed):
    folder = installed
    for python in (folder / "venv" / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/gone/blender/python/bin/python3")
    assert session.state() == "broken"
    with pytest.raises(CycloramaError, match="lost its Python"):
        preferences.backend_python()
    bpy.ops.cyclorama.repair_backend()
    wait()
    assert session.error() is None
    assert imported(preferences.backend_python(), "import torch; print('here')") == "here"


def test_a_newer_addon_updates(page, installed, tmp_path, monkeypatch):
    newer = bundle.Bundle(write_backend(tmp_path / "newer", "9.9"), tmp_path / "constraints.txt")
    monkeypatch.setattr(session, "bundle", lambda: newer)
    monkeypatch.setattr(session, "__version__", "9.9")
    assert session.state() == "outdated"
    assert preferences.backend_python().is_file()
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.state() == "whole"
    assert session.stamp().version == "9.9"


def _stage_reached(word: str) -> None:
    deadline = time.monotonic() + 60
    while word not in session.run().stage:
        assert not session.run().ended and time.monotonic() < deadline
        time.sleep(0.005)


def _end_installer(how: str) -> None:
    if how == "cancelled":
        bpy.ops.cyclorama.cancel_installation()
        return
    pid = session.run()._program.pid
    if how == "pip killed":
        threads = Path(f"/proc/{pid}/task").iterdir()
        pid = next(int(child) for thread in threads for child in (thread / "children").read_text().split())
    os.kill(pid, signal.SIGKILL)


@LINUX
@pytest.mark.parametrize("how", ["cancelled", "pip killed", "installer killed"])
def test_what_was_ended_in_the_middle_is_continued(page, begun, how):
    bpy.ops.cyclorama.install_backend()
    _stage_reached("Looking up")
    time.sleep(0.2)  # pip runs
    _end_installer(how)
    run = wait()
    if how != "cancelled":
        assert "signal 9" in session.error().sentence or "ended" in session.error().sentence
        assert session.error().hint
    assert session.state() == "unfinished"
    with pytest.raises(CycloramaError, match="not installed completely"):
        preferences.backend_python()
    python = next((preferences.environment_folder() / "venv" / "bin").glob("python"))
    made = python.lstat().st_mtime_ns
    assert run.ended
    install()
    assert python.lstat().st_mtime_ns == made, "the environment is not made anew"


def test_a_package_that_was_half_written_is_installed_again(page, installed):
    folder = installed
    next(folder.glob("venv/**/torch-*.dist-info/RECORD")).unlink()
    next(folder.glob("venv/**/torch/__init__.py")).write_text("")
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.state() == "whole"
    assert imported(preferences.backend_python(), "import torch; print(torch.__version__)") == "2.13.0+cpu"


@LINUX
def test_nothing_goes_on_when_blender_is_killed(page, begun):
    program = f"""
import threading
import time
from cyclorama.addon.installation.run import Request, Run
run = Run(Request("install", {str(preferences.environment_folder())!r}, {str(session.bundle().source)!r},
    {str(session.bundle().constraints)!r}, "0.1.0", "CPU", {page.wheel_folder!r}))
print(run._program.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as blender:
        installer = next(int(line) for line in blender.stdout or () if line.strip().isdigit())
        time.sleep(0.5)
        blender.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{installer}").exists() and "\nState:\tZ" not in Path(f"/proc/{installer}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    install()


def test_a_download_goes_on_where_it_broke_off(tmp_path):
    write_index(tmp_path, filler=500_000)
    with serve_index(tmp_path) as index:
        packages = [
            Package(name, "1", f"{index.url}/files/{wheel.name}", index.sizes[name], False, _sha256(wheel))
            for name, wheel in index.wheels.items()
        ]
        index.broken = "torch"
        broken = fetch.fetch(packages, tmp_path / "there", lambda size, name: None, lambda line: None)
        assert [package.name for package in broken.left] == ["torch"]
        served = index.served["torch"]
        assert served < index.sizes["torch"]
        index.broken = ""
        shown = []
        whole = fetch.fetch(packages, tmp_path / "there", lambda *said: shown.append(said), lambda line: None)
    assert not whole.left
    assert index.served == index.sizes, "no byte is downloaded twice"
    assert all(path.read_bytes() == index.wheels[name].read_bytes() for name, path in whole.files.items())


def test_a_download_that_is_something_else_is_left_to_pip(tmp_path):
    write_index(tmp_path)
    with serve_index(tmp_path) as index:
        wheel = index.wheels["numpy"]
        wanted = Package("numpy", "1", f"{index.url}/files/{wheel.name}", index.sizes["numpy"], False, "0" * 64)
        fetched = fetch.fetch([wanted], tmp_path / "there", lambda size, name: None, lambda line: None)
    assert fetched.left == [wanted]
    assert not list((tmp_path / "there").iterdir())


def _sha256(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_installed_from_an_index_over_the_network(page, begun, monkeypatch):
    with serve_index(Path(page.wheel_folder)) as index:
        page.wheel_folder = ""
        monkeypatch.setattr(session, "check_online", lambda: None)
        monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/simple")
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # PyTorch's own index is out of reach
        bpy.ops.cyclorama.install_backend()
        run = wait()
        assert session.error() is None
        assert session.state() == "whole"
        assert run.plan.download_bytes == sum(index.sizes.values())
        index.wheels.clear()
        page.install_folder += " 2"
        monkeypatch.setenv("PIP_RETRIES", "1")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        bpy.ops.cyclorama.install_backend()
        wait()
        assert session.error().sentence == "The package index cannot be reached."


def test_without_online_access_nothing_is_downloaded_and_it_says_what_to_switch_on(page):
    page.wheel_folder = ""
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.cyclorama.install_backend()
    bpy.ops.cyclorama.prepare_installation()
    wait()
    assert session.error().code == "install-offline"


def test_a_package_that_is_not_there_is_named(page, begun, tmp_path):
    next(Path(page.wheel_folder).glob("numpy*")).unlink()
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.error().sentence == "There is no package numpy for this Python and system where pip looks."
    assert session.state() == "unfinished"


def test_a_damaged_wheel_is_told(page, begun):
    wheel = next(Path(page.wheel_folder).glob("numpy*"))
    wheel.write_bytes(wheel.read_bytes()[:200])
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.error().code == "install-damaged"


def test_a_backend_that_does_not_start_is_told(page, begun, tmp_path, monkeypatch):
    broken = write_backend(tmp_path / "broken", program="raise ImportError('no such DLL')")
    monkeypatch.setattr(session, "bundle", lambda: bundle.Bundle(broken, tmp_path / "constraints.txt"))
    bpy.ops.cyclorama.install_backend()
    wait()
    assert "no such DLL" in session.error().sentence
    assert session.state() == "unfinished"


@pytest.mark.skipif(sys.platform == "win32", reason="no such folder")
def test_a_folder_that_cannot_be_written_is_told(page):
    page.install_folder = "/proc/cyclorama"
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.error().code == "install-folder-unusable"
    assert "Install In" in session.error().hint


def test_too_little_room_is_told_before_anything_is_downloaded(monkeypatch, tmp_path):
    packages = [Package("torch", "2.13.0", "https://x/torch.whl", 900_000_000, False)]
    monkeypatch.setattr(steps, "free_bytes", lambda folder: 2_000_000_000)
    with pytest.raises(trouble.InstallError, match=r"Installing needs 4\.6 GB, and the disk of .* has 2\.0 GB free"):
        steps._need_room(tmp_path, packages)
    monkeypatch.setattr(steps, "free_bytes", lambda folder: 5_000_000_000)
    steps._need_room(tmp_path, packages)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_disk_that_fills_up_is_told(page):
    folder = preferences.environment_folder()
    folder.mkdir(parents=True)
    (folder / "install.log").symlink_to("/dev/full")
    bpy.ops.cyclorama.install_backend()
    wait()
    assert session.error().code == "install-disk-full"
    assert "Continue" in session.error().hint


def test_two_blenders_do_not_install_at_once(page, begun):
    bpy.ops.cyclorama.install_backend()
    _stage_reached("Looking up")
    other = Run(session._request("install"))
    while not other.ended:
        time.sleep(0.02)
    assert other.error.code == "install-busy"
    wait()
    assert session.state() == "whole"


def test_a_damaged_stamp_counts_as_unfinished(page, installed):
    folder = installed
    (folder / "environment.json").write_text('{"version": 3')
    assert session.state() == "unfinished"
    install()


def test_a_torch_of_another_build_is_taken_and_said(page, tmp_path):
    write_index(tmp_path / "other", torch="2.13.0")
    page.wheel_folder = str(tmp_path / "other")
    bpy.ops.cyclorama.prepare_installation()
    wait()
    assert "torch 2.13.0 is taken as it comes" in session.plan().note


@pytest.mark.parametrize(
    ("device", "found", "build"),
    [
        ("AUTO", None, "cpu"),
        ("AUTO", gpu.Gpu("H200", 580, (9, 0)), "cu130"),
        ("AUTO", gpu.Gpu("RTX 5090", 580, (12, 0)), "cu130"),
        ("AUTO", gpu.Gpu("RTX 3090", 550, (8, 6)), "cu126"),
        ("AUTO", gpu.Gpu("GTX 1080", 581, (6, 1)), "cu126"),
        ("AUTO", gpu.Gpu("GTX 1080", 470, (6, 1)), "cpu"),
        ("AUTO", gpu.Gpu("K80", 580, (3, 7)), "cpu"),
        ("CPU", gpu.Gpu("H200", 580, (9, 0)), "cpu"),
        ("CUDA", None, "cu130"),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="no CUDA there")
def test_the_build_of_torch_suits_the_driver(device, found, build):
    chosen, why = gpu.build_for(device, found)
    assert chosen == build
    assert why


def test_the_driver_s_own_words_are_understood():
    assert gpu.read_nvidia_smi("NVIDIA H200, 580.95.05, 9.0\nNVIDIA H200, 580.95.05, 9.0\n") == gpu.Gpu(
        "NVIDIA H200", 580, (9, 0)
    )
    assert gpu.read_nvidia_smi("NVIDIA-SMI has failed because it couldn't communicate with the driver") is None
    assert gpu.read_nvidia_smi("") is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError: Failed to establish'",
            "install-no-network",
        ),
        ("ERROR: HTTP error 403 Client Error: Forbidden for url: https://x/y.whl", "install-refused"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "install-certificate"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "install-damaged"),
        ("OSError: [WinError 5] Access is denied: 'torch.dll'", "install-folder-unusable"),
        ("ERROR: ResolutionImpossible: for help visit", "install-conflict"),
        ("  ERROR: Failed building wheel for numba", "install-build-failed"),
        ("ERROR: Something that nobody has seen before.", "install-failed"),
        ("", "install-failed"),
    ],
)
def test_pip_s_words_become_a_sentence(line, code):
    error = trouble.of_pip(["Collecting torch", line], "exit code 1", "/x")
    assert error.code == code
    assert error.sentence.endswith(".") and ".." not in error.sentence
    assert error.hint


def test_progress_is_counted_over_all_files():
    packages = [
        Package("a", "1", "https://x/a-1.whl", 100, False),
        Package("b", "1", "https://x/b%2Bc-1.whl", 300, False),
    ]
    shown = []
    downloads = Downloads(packages, lambda *said: shown.append(said))
    for line in (
        "Collecting a==1",
        "  Downloading a-1.whl.metadata (1 kB)",
        "Progress 5 of 5",
        "Using cached a-1.whl (100 B)",
        "Downloading https://x/b%2Bc-1.whl (300 B)",
        "Progress 150 of 300",
        "Installing collected packages: a, b",
    ):
        downloads.hear(line)
    assert shown[-2:] == [(250, "b"), (400, "")]
    assert [there for there, _ in shown] == sorted(there for there, _ in shown)
    assert downloads.loaded


def test_the_page_is_drawn_in_every_state(page, begun):
    from cyclorama.addon.ui import backend_page

    class Layout:
        def __getattr__(self, name):
            return (
                (lambda *args, **kwargs: (Layout(), Layout()))
                if name == "panel"
                else (lambda *args, **kwargs: Layout())
            )

    class Page:
        layout = Layout()

    class Context:
        preferences = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0), addons={})
        region = SimpleNamespace(width=600)

    for location in ("HERE", "ELSEWHERE"):
        page.location = location
        backend_page.draw(Page(), Context())
    page.location = "HERE"
    bpy.ops.cyclorama.prepare_installation()
    backend_page.draw(Page(), Context())
    wait()
    backend_page.draw(Page(), Context())
    bpy.ops.cyclorama.install_backend()
    backend_page.draw(Page(), Context())
    wait()
    backend_page.draw(Page(), Context())


def test_the_log_is_read_in_blender(installed):
    with pytest.raises(RuntimeError, match="There is no log"):
        bpy.ops.cyclorama.show_log(which="BACKEND")
    assert bpy.ops.cyclorama.show_log() == {"FINISHED"}
    text = bpy.data.texts["Cyclorama install.log"].as_string()
    assert "Successfully installed" in text
    bpy.ops.cyclorama.show_log()
    assert len(bpy.data.texts) == 1


def test_the_location_is_here_until_said_otherwise(page):
    assert preferences.location() == "HERE"
    page.location = "ELSEWHERE"
    assert preferences.location() == "ELSEWHERE"
    with pytest.raises(CycloramaError, match="does not know the other computer"):
        preferences.invitation()
    page.invitation = "/invitation.json"
    assert preferences.invitation() == Path("/invitation.json")


def test_switching_the_addon_off_ends_an_installation(page, begun):
    bpy.ops.cyclorama.install_backend()
    run = session.run()
    session.unregister()
    deadline = time.monotonic() + 20
    while not run.ended:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run.cancelled


def test_own_folder_is_below_the_chosen_one(tmp_path):
    assert environment.own_folder(tmp_path).parent == tmp_path
    assert link.backend_state() in ("off", "starting", "running")


OPERATORS = {
    "prepare_installation": True,
    "install_backend": True,
    "cancel_installation": False,
    "repair_backend": False,
    "remove_backend": False,
    "show_log": True,
    "open_log_folder": True,
}
"""Whether they can be used with nothing installed yet."""


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_explained_and_know_when_they_can_be_used(page, name):
    operator = getattr(bpy.ops.cyclorama, name)
    assert operator.poll() == OPERATORS[name]
    explained = operator.get_rna_type()
    assert explained.name and explained.description
    assert not explained.description.endswith(".") and "\n" not in explained.description


def test_nothing_is_left_when_the_addon_is_switched_off_while_it_looks_sizes_up(page):
    bpy.ops.cyclorama.prepare_installation()
    assert bpy.app.timers.is_registered(session._tick)
    preparation = session._preparation
    session.unregister()
    assert not bpy.app.timers.is_registered(session._tick)
    deadline = time.monotonic() + 20
    while not preparation.ended or any("cyclorama-installer" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
