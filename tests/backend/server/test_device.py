"""There is a worker for each GPU that the user lets us have, and one for the processor where there is none."""

import subprocess

import pytest

from cyclorama.backend.server import device
from cyclorama.backend.server.crew import Crew
from cyclorama.backend.server.device import Seat, seats
from cyclorama.backend.server.pipe import Ready


@pytest.fixture
def computer(monkeypatch, tmp_path):
    """One with so many GPUs and so many of them visible, as its files or, without those, ``nvidia-smi`` tell."""

    def computer(listed=0, visible=0, smi="", allowed=None):
        folders = {"/proc/driver/nvidia/gpus": [f"0000:{number:02}:00.0" for number in range(listed)]}
        folders["/dev"] = ["null", "nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in range(visible))]
        monkeypatch.setattr(device, "_entries", lambda path: folders[path.as_posix()])
        monkeypatch.setattr(device, "_nvidia_driver", lambda: bool(listed or smi))
        told = subprocess.CompletedProcess([], 0, stdout=smi)
        monkeypatch.setattr(device.subprocess, "run", lambda *_, **__: told)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if allowed is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        return [dict(seat.environment).get("CUDA_VISIBLE_DEVICES") for seat in seats()]

    return computer


def test_each_gpu_has_a_worker(computer):
    assert computer() == [None]
    assert computer(listed=1, visible=1) == [None]
    assert computer(listed=4, visible=4) == ["0", "1", "2", "3"]
    assert computer(listed=4, visible=2) == ["0", "1"]  # in a container
    assert computer(smi="GPU 0: NVIDIA A (UUID: GPU-1)\n  MIG 1g\nGPU 1: NVIDIA B (UUID: GPU-2)\n") == ["0", "1"]


CHOICES = {
    "": [None],
    "-1": [None],
    "2": [None],
    "1,3": ["1", "3"],
    "GPU-a, GPU-b": ["GPU-a", "GPU-b"],
    "1,0,-1,2": ["1", "0"],
}


@pytest.mark.parametrize(("allowed", "expected"), CHOICES.items())
def test_the_users_choice_of_gpus_is_respected(computer, allowed, expected):
    assert computer(listed=4, visible=4, allowed=allowed) == expected


def test_each_seat_has_a_number_of_its_own(computer):
    computer(listed=3, visible=3)
    assert [seat.number for seat in seats()] == [0, 1, 2]


def crew_of(*ready: Ready) -> Crew:
    environments = [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(len(ready))]
    crew = Crew([Seat(number, each) for number, each in enumerate(environments)], lambda: None, ["none"], {})
    for worker, introduced in zip(crew.workers, ready, strict=True):
        crew._said.put((worker, introduced))
    while crew.take():
        pass
    return crew


def test_what_all_compute_on_is_told_in_words():
    big, small = Ready("NVIDIA H200", True, 16, 144 << 30), Ready("NVIDIA L4", True, 16, 24 << 30)
    assert crew_of(big, big, big).introduction.device == "3 x NVIDIA H200"
    found = crew_of(big, small).introduction
    assert (found.device, found.cuda, found.memory_bytes) == ("NVIDIA H200, NVIDIA L4", True, 24 << 30)


def test_a_seat_without_its_gpu_stays_empty_but_not_all_do():
    gpu, none = Ready("NVIDIA H200", True, 16, 144 << 30), Ready("CPU, 16 cores", False, 16, 64 << 30)
    crew = crew_of(gpu, none)
    assert [worker.seat.number for worker in crew.idle] == [0] and crew.introduction.device == "NVIDIA H200"
    assert len(crew_of(none, none).idle) == 1
