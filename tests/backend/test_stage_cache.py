"""What is kept of a stage is found again bit by bit, or not at all; it stays within its limit, whoever is killed."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cyclorama.backend import stage_cache
from cyclorama.backend.cache_entry import Draft, Entry
from cyclorama.backend.stage_cache import StageCache, default_limit, kept, release, release_others, sweep, used_bytes
from cyclorama.bridge.errors import CycloramaError

KEY, OTHER = "0" * 31 + "a", "0" * 31 + "b"
PART = 10_000
MB = 1_000_000


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "cache"


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    return {
        "numbers": chance.standard_normal(PART // 4).astype(np.float32),
        "marks": chance.random(16) > 0.5,
        "long:name": np.arange(6).reshape(2, 3),
    }


def keep(cache: StageCache, key: str = KEY, seed: int = 0, parts: int = 3) -> bool:
    with cache.begin("lift", key, parts * PART) as entry:
        for number in range(parts):
            entry.part(f"{number:06d}", arrays(seed + number))
        return entry.finish(b'{"said": "so"}')


def read(entry: Entry) -> list[dict[str, np.ndarray]]:
    return [entry.part(name) for name in entry.parts]


def found(cache: StageCache, key: str = KEY) -> bool:
    return cache.load("lift", key, read) is not None


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


def numbered(number: int) -> str:
    return f"{number:032x}"


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "entries").iterdir())


def test_what_was_kept_is_found_again_to_the_bit(folder):
    assert keep(StageCache(folder, MB))
    loaded = StageCache(folder, MB).load("lift", KEY, read)
    assert all(same(part, arrays(number)) for number, part in enumerate(loaded))
    assert StageCache(folder, MB).load("lift", KEY, lambda entry: entry.words) == b'{"said": "so"}'


def test_what_was_not_kept_is_not_found(folder):
    cache = StageCache(folder, MB)
    assert not found(cache)
    assert not folder.exists()
    keep(cache)
    assert not found(cache, OTHER) and cache.load("depth", KEY, read) is None


def test_the_folder_is_closed_to_other_users(folder):
    keep(StageCache(folder, MB))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_result_that_is_given_up_leaves_nothing(folder):
    with pytest.raises(ZeroDivisionError), StageCache(folder, MB).begin("lift", KEY, PART) as entry:
        entry.part("000000", arrays())
        raise ZeroDivisionError
    assert entries(folder) == []


# Damage


def harmed(content: bytes, how: str, place: int) -> bytes:
    at = place % max(len(content), 1)
    changed = content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :] if content else b"x"
    return {"cut short": content[:at], "a bit": changed, "longer": content + b"\0", "zeros": bytes(len(content))}[how]


@pytest.mark.parametrize("how", ["cut short", "a bit", "longer", "zeros", "missing", "a folder"])
@pytest.mark.parametrize("name", ["manifest.json", "000001.safetensors"])
def test_a_damaged_entry_is_removed_and_never_read(folder, how, name):
    for place in (0, 7, 100, 5_000):
        keep(StageCache(folder, MB))
        (entry,) = entries(folder)
        content = (entry / name).read_bytes()
        if how in ("missing", "a folder"):
            (entry / name).unlink()
            if how == "a folder":
                (entry / name).mkdir()
        else:
            (entry / name).write_bytes(harmed(content, how, place))
        cache = StageCache(folder, MB)
        assert not found(cache), place
        assert entries(folder) == []
        assert keep(cache) and found(cache)
        shutil.rmtree(folder)


def test_every_byte_of_a_manifest_counts(folder):
    keep(StageCache(folder, MB), parts=1)
    (entry,) = entries(folder)
    whole = (entry / "manifest.json").read_bytes()
    for at in range(0, len(whole), 3):
        keep(StageCache(folder, MB), parts=1)
        (entry / "manifest.json").write_bytes(harmed(whole, "a bit", at))
        loaded = StageCache(folder, MB).load("lift", KEY, lambda entry: (entry.words, read(entry)))
        assert loaded is None, at


def test_a_mark_of_use_that_is_damaged_harms_nothing(folder):
    keep(StageCache(folder, MB))
    for content in (b"", b"\xff", b"one"):
        (entries(folder)[0] / "used").write_bytes(content)
        assert found(StageCache(folder, MB))


# The limit


def fill(folder: Path, count: int, limit: int) -> None:
    for number in range(count):
        cache = StageCache(folder, limit, f"job{number}")
        assert keep(cache, numbered(number), number, parts=1)
        release(folder, f"job{number}")


def there(folder: Path) -> list[int]:
    return sorted(int(entry.name[-8:], 16) for entry in kept(folder))


def test_what_was_used_longest_ago_makes_room(folder):
    limit = 45_000
    fill(folder, 4, limit)
    assert there(folder) == [0, 1, 2, 3]
    assert found(StageCache(folder, limit, "job"), numbered(0))
    release(folder, "job")
    fill_one = StageCache(folder, limit, "last")
    keep(fill_one, numbered(9), 9, parts=1)
    assert there(folder) == [0, 2, 3, 9]
    assert used_bytes(folder) <= limit


def test_a_clock_that_is_set_back_changes_nothing_in_the_order_of_use(folder, monkeypatch):
    limit = 45_000
    for number, hours in enumerate((100, 3, -50, 0)):
        monkeypatch.setattr(time, "time", lambda hours=hours: 1e9 + 3600 * hours)
        keep(StageCache(folder, limit, "job"), numbered(number), number, parts=1)
        os.utime(folder / "entries" / f"lift-{numbered(number)}" / "used", (1e9 + 3600 * hours,) * 2)
        release(folder, "job")
    keep(StageCache(folder, limit), numbered(4), 4, parts=1)
    assert there(folder) == [1, 2, 3, 4]


def test_what_a_job_uses_that_has_not_ended_stays(folder):
    limit = 45_000
    fill(folder, 4, limit)
    assert found(StageCache(folder, limit, "running"), numbered(0))
    for number in range(10, 20):
        assert keep(StageCache(folder, limit, "job"), numbered(number), number, parts=1)
        release(folder, "job")
    assert 0 in there(folder)
    release(folder, "running")
    for number in range(20, 24):
        keep(StageCache(folder, limit, "job"), numbered(number), number, parts=1)
        release(folder, "job")
    assert 0 not in there(folder)


def test_where_all_is_in_use_nothing_more_is_kept(folder):
    limit = 45_000
    for number in range(4):
        assert keep(StageCache(folder, limit, "running"), numbered(number), number, parts=1)
    assert not keep(StageCache(folder, limit, "running"), numbered(4), 4, parts=1)
    assert there(folder) == [0, 1, 2, 3]


def test_what_is_larger_than_the_limit_is_not_kept_and_drives_nothing_out(folder):
    keep(StageCache(folder, 45_000, "job"))
    release(folder, "job")
    assert not keep(StageCache(folder, 45_000), OTHER, parts=10)
    assert found(StageCache(folder, 45_000))


def test_a_smaller_limit_takes_effect_at_once(folder):
    fill(folder, 4, MB)
    StageCache(folder, 25_000)
    assert there(folder) == [2, 3]


def test_with_a_limit_of_nothing_nothing_is_kept_or_found(folder):
    assert not keep(StageCache(folder, 0)) and not folder.exists()
    keep(StageCache(folder, MB))
    assert not found(StageCache(folder, 0))


@pytest.mark.parametrize(("said", "expected"), [("3", 3_000_000_000), ("0.5", 500_000_000), ("0", 0)])
def test_the_limit_is_that_of_the_environment(monkeypatch, tmp_path, said, expected):
    monkeypatch.setenv("CYCLORAMA_CACHE_GB", said)
    assert default_limit(tmp_path) == expected


@pytest.mark.parametrize("said", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, tmp_path, said):
    monkeypatch.setenv("CYCLORAMA_CACHE_GB", said)
    with pytest.raises(CycloramaError, match=said) as caught:
        default_limit(tmp_path)
    assert caught.value.code == "cache-limit" and caught.value.hint


def test_the_limit_is_a_tenth_of_a_small_disk_and_20_gb_of_a_large_one(monkeypatch, tmp_path):
    monkeypatch.delenv("CYCLORAMA_CACHE_GB", raising=False)
    usage = shutil.disk_usage(tmp_path)
    for total, expected in ((10**10, 10**9), (10**13, 20 * 10**9)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, total=total: usage._replace(total=total))
        assert default_limit(tmp_path / "not" / "there") == expected


# Leases


def test_jobs_that_ended_while_no_server_ran_hold_nothing(folder):
    for job in ("ended", "waiting"):
        keep(StageCache(folder, MB, job), KEY if job == "ended" else OTHER)
    release_others(folder, ["waiting"])
    assert {entry.name[-1]: entry.leased for entry in kept(folder)} == {"a": (), "b": ("waiting",)}


KEEPS_ONE = """
import sys
from pathlib import Path
import numpy as np
from cyclorama.backend.stage_cache import StageCache
cache = StageCache(Path(sys.argv[1]), 1_000_000)
with cache.begin("lift", sys.argv[2], 10_000) as entry:
    entry.part("000000", {"a": np.zeros(2000, np.float32)})
    if sys.argv[3] == "whole":
        entry.finish(b"{}")
    print("there", flush=True)
    input()
"""


def another_process(folder: Path, how: str) -> subprocess.Popen:
    command = [sys.executable, "-c", KEEPS_ONE, str(folder), KEY, how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    return process


def test_a_command_s_lease_ends_with_its_process_however_that_ends(folder):
    with another_process(folder, "whole") as process:
        sweep(folder)
        (entry,) = kept(folder)
        assert entry.leased
        process.kill()
        process.wait()
        (entry,) = kept(folder)
        assert not entry.leased
        sweep(folder)
    assert list((folder / "leases").iterdir()) == []


def test_what_a_killed_process_left_half_written_is_swept_and_what_a_living_one_writes_is_not(folder):
    with another_process(folder, "half") as process:
        sweep(folder)
        assert len(entries(folder)) == 1
        process.kill()
        process.wait()
        StageCache(folder, MB)
    assert entries(folder) == []


def test_a_lease_cut_short_holds_what_can_be_read(folder):
    keep(StageCache(folder, MB, "job"))
    lease = folder / "leases" / "job"
    lease.write_bytes(lease.read_bytes() + b"\nlift-0000\xff")
    assert kept(folder)[0].leased == ("job",)


# Trouble


def test_a_full_disk_stops_nobody_and_leaves_nothing(folder, monkeypatch):
    def full(self, name, arrays):
        (self.folder / "half").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Draft, "part", full)
    assert not keep(StageCache(folder, MB))
    assert entries(folder) == []


def test_room_that_others_need_is_left_free(folder, monkeypatch):
    keep(StageCache(folder, MB, "job"))
    release(folder, "job")
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    cache = StageCache(folder, MB)
    cache.left_free_bytes = 60_000
    assert not keep(cache, OTHER, parts=6)
    cache.left_free_bytes = 10_000
    assert keep(cache, OTHER)


@pytest.mark.parametrize("why", ["a file", "closed"])
def test_a_folder_that_cannot_be_used_stops_nobody(tmp_path, why, monkeypatch):
    folder = tmp_path / "cache"
    if why == "a file":
        folder.write_text("mine")
    else:
        keep(StageCache(folder, MB))

        def closed(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(stage_cache, "HeldFile", closed)
    cache = StageCache(folder, MB)
    assert not found(cache) and not keep(cache, OTHER)
    release(folder, "job")
    assert used_bytes(folder) >= 0


def keep_many(folder: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    for _ in range(25):
        number = int(chance.integers(8))
        cache = StageCache(folder, 60_000, f"job{seed}")
        if (parts := cache.load("lift", numbered(number), read)) is None:
            keep(cache, numbered(number), number, parts=1)
        elif not same(parts[0], arrays(number)):
            os._exit(1)
        release(folder, f"job{seed}")


def test_several_processes_at_once_find_only_what_is_right(folder):
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=keep_many, args=(folder, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    sweep(folder)
    assert all(stage_cache._ENTRY.fullmatch(path.name) for path in entries(folder))
    assert 0 < used_bytes(folder) <= 60_000


@pytest.mark.skipif(sys.platform == "win32", reason="there a process is not killed at any moment")
def test_killed_at_any_moment_it_leaves_nothing_wrong(folder):
    spawn = multiprocessing.get_context("fork")
    for number in range(12):
        process = spawn.Process(target=keep_many, args=(folder, number))
        process.start()
        time.sleep(0.004 * number)  # any moment will do
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    cache = StageCache(folder, 60_000)
    for number in range(8):
        parts = cache.load("lift", numbered(number), read)
        assert parts is None or same(parts[0], arrays(number))
    assert all(stage_cache._ENTRY.fullmatch(path.name) for path in entries(folder))
