"""A failed job tells the truth, and which of Blender's settings to change."""

import pytest

from cyclorama.backend.server.failures import died, failure, memory_hint
from cyclorama.bridge import messages
from cyclorama.bridge.errors import CycloramaError
from cyclorama.bridge.settings import PanoramaTo4D


def asked(**settings):
    return messages.Generate(job="j", panorama="/p", output="/o", settings=PanoramaTo4D(**settings))


class OutOfMemoryError(RuntimeError):
    """As torch's."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


OUT_OF_MEMORY = {
    "numpy": (MemoryError("Unable to allocate 3 GiB for an array"), "This computer"),
    "torch on CUDA": (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "The graphics card"),
    "cuBLAS": (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "The graphics card"),
    "torch on the CPU": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "This computer"),
    "the system": (OSError(12, "Cannot allocate memory"), "This computer"),
    "beneath another": (caused(ValueError("no picture"), MemoryError()), "This computer"),
}


@pytest.mark.parametrize(("error", "whose"), OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_memory_that_ran_out_is_named_in_whatever_library_it_did(error, whose):
    failed = failure(asked(), error)
    assert failed.code == "out-of-memory"
    assert failed.sentence == f"{whose} does not have enough memory for this scene."
    assert failed.hint == memory_hint(PanoramaTo4D())


def test_another_fault_is_not_taken_for_it():
    assert failure(asked(), RuntimeError("CUDA error: device-side assert triggered")).code == "internal-error"
    assert failure(asked(), CycloramaError("memory-too-small", "S.", "H.")).hint == "H."


def test_a_stage_that_noticed_it_keeps_its_sentence_and_gets_the_panels_words():
    failed = failure(asked(width=2048), CycloramaError("out-of-memory", "Not enough to estimate depth.", "lower width"))
    assert failed.sentence == "Not enough to estimate depth."
    assert "Resolution (2048 now)" in failed.hint


HINTS = {
    "all usual": ({}, "Lower Resolution, Frames or At Most (Gaussians), or close"),
    "one pixel a Gaussian": ({"lift": "direct", "width": 4096}, "Lower Resolution (4096 now) or Frames, or close"),
    "a still": ({"frames": 1, "lift": "direct"}, "Lower Resolution, or close"),
    "a video model": (
        {"animator": "panoramic", "frames": 25, "memory": 8.0, "gaussians": 2_000_000},
        "Lower Resolution, Frames (25 now) or At Most (2,000,000 Gaussians now), "
        "set Memory (GB) (8 now) to less than what is free, or close",
    ),
}


@pytest.mark.parametrize(("settings", "hint"), HINTS.values(), ids=HINTS)
def test_the_hint_names_what_this_job_can_lower(settings, hint):
    assert memory_hint(PanoramaTo4D(**settings)).startswith(hint)


def test_a_worker_that_the_system_ended_for_want_of_memory_says_so():
    failed = died(asked(), "lift", "signal 9", system_was_out_of_memory=True)
    assert failed.code == "out-of-memory"
    assert "during lift" in failed.sentence and "Resolution" in failed.hint
    assert died(asked(), "lift", "signal 11", False).code == "worker-died"
