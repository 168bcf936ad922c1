"""A folder takes its place only when all of it is on the disk, and who holds a file is known as long as it lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclorama.bridge.held_file import HeldFile, is_alive, is_held
from cyclorama.bridge.whole_folder import WholeFolder


@pytest.mark.skipif(sys.platform != "linux", reason="an open file's path is read in /proc")
def test_every_file_and_folder_is_on_the_disk_before_the_name_changes_and_the_name_after(tmp_path, monkeypatch):
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def flushed(descriptor):
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path).as_posix())
        fsync(descriptor)

    def renamed(self, target):
        done.append("renamed")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    with WholeFolder(tmp_path / "new" / "a", False, Path.is_dir, "folder") as folder:
        for name in ("one", "frames/two"):
            folder.file(name, lambda path: path.write_bytes(b"x"))
        folder.put()
    before, after = done[: done.index("renamed")], done[done.index("renamed") + 1 :]
    own = "new/.a.partial"
    assert {f"{own}/one", f"{own}/frames/two", f"{own}/frames", own} <= set(before)
    assert before.index(f"{own}/frames/two") < before.index(f"{own}/frames")
    assert after == ["new", "."]
    assert sorted(path.name for path in (tmp_path / "new" / "a").iterdir()) == ["frames", "one"]


HOLDS = """
import sys
from pathlib import Path
from cyclorama.bridge.held_file import HeldFile
held = HeldFile(Path(sys.argv[1]))
print(flush=True)
input()
"""


def test_a_file_is_held_until_its_process_ends_however_it_ends(tmp_path):
    path = tmp_path / "held"
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert is_held(path) and is_alive(process.pid)
        assert path.read_text() == str(process.pid)
        with pytest.raises(TimeoutError):
            HeldFile(path, patience=0.05)
        process.kill()
        process.wait()
    assert is_held(path) is False and not is_alive(process.pid)
    HeldFile(path).release()


def test_nobody_holds_what_is_not_there(tmp_path):
    assert is_held(tmp_path / "nothing") is None


@pytest.mark.parametrize("process", [0, -1, 2**31 - 1, 10**30])
def test_numbers_that_are_no_process_are_not_alive(process):
    assert is_alive(process) in (False, process > 2**31)
