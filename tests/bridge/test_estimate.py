"""What a scene will take is told before it starts: by what was measured, by past jobs, or honestly not at all."""

import dataclasses

import pytest

from cyclorama.backend.recipes.panorama_to_4d import stages
from cyclorama.bridge.estimate import (
    Device,
    Past,
    estimate,
    stage_kinds,
    wants_gpu,
    width_that_fits,
    worked_width,
)
from cyclorama.bridge.settings import PanoramaTo4D

TWO_CORES = Device(cores=2, memory_bytes=16 * 10**9)
FAST = PanoramaTo4D()
DIRECT = PanoramaTo4D(lift="direct")
VIDEO = PanoramaTo4D(animator="panoramic", model="wan", frames=13)
NETWORK = PanoramaTo4D(estimator="depth-anything")


def past(settings: PanoramaTo4D = FAST, width: int = 1024, factor: float = 1.0, peak: int = 10**9, **others) -> Past:
    """A job that took ``factor`` times what is expected of it, and ``others`` in the stages that they name."""
    alone = dict.fromkeys(stage_kinds(settings), 0.0)
    expected = _by_stage(settings, width)
    return Past(settings, width, alone | {stage: factor * each for stage, each in expected.items()} | others, peak)


def _by_stage(settings: PanoramaTo4D, width: int) -> dict[str, float]:
    from cyclorama.bridge import estimate as module

    work = module._Work.of(settings, width)
    return {
        stage: module._SECONDS[kind](work) for stage, kind in stage_kinds(settings).items() if kind in module._SECONDS
    }


@pytest.mark.parametrize(
    ("settings", "width", "took", "gigabytes"),
    [
        (PanoramaTo4D(lift="direct", frames=12), 512, 7.0, 0.57),
        (PanoramaTo4D(lift="direct", frames=12), 768, 5.5, 0.60),
        (PanoramaTo4D(lift="direct", frames=24), 1024, 11.4, 0.78),
        (PanoramaTo4D(lift="direct", frames=12), 2048, 25.8, 1.44),
        (PanoramaTo4D(frames=12), 512, 10.3, 0.60),
        (PanoramaTo4D(frames=12), 1024, 25.2, 0.94),
        (PanoramaTo4D(frames=24), 1024, 30.5, 1.02),
        (PanoramaTo4D(frames=24, compression="small"), 1024, 43.0, 1.02),
    ],
)
def test_what_was_measured_is_what_is_told(settings, width, took, gigabytes):
    told = estimate(settings, width, TWO_CORES)
    assert told.basis == "measured"
    assert took / 2 < told.seconds < took * 2
    assert told.peak_bytes == pytest.approx(gigabytes * 1e9, rel=0.15)


def test_every_stage_of_the_recipe_is_thought_of():
    for settings in (FAST, DIRECT, VIDEO, NETWORK, dataclasses.replace(VIDEO, estimator="dpt")):
        assert set(stages(settings)) - {"check"} == set(stage_kinds(settings))


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"width": 512}, {"width": 1024}),
        ({"frames": 12}, {"frames": 48}),
        ({"lift": "direct"}, {"lift": "fast"}),
    ],
)
def test_more_takes_longer_and_more_memory(less, more):
    small, large = (estimate(PanoramaTo4D(**asked), 1024, TWO_CORES) for asked in (less, more))
    assert small.seconds < large.seconds and small.peak_bytes < large.peak_bytes


@pytest.mark.parametrize(
    ("width", "panorama", "worked"),
    [(0, 8192, 2048), (0, 1000, 1000), (4096, 8192, 4096), (4096, 1024, 1024), (512, 0, 512)],
)
def test_a_panorama_is_never_enlarged(width, panorama, worked):
    assert worked_width(PanoramaTo4D(width=width), panorama) == worked


def test_no_frames_set_are_the_flow_s_own():
    assert estimate(PanoramaTo4D(frames=0), 1024, TWO_CORES) == estimate(PanoramaTo4D(frames=24), 1024, TWO_CORES)


def test_more_cores_are_faster_but_not_by_their_number():
    two, sixteen = (estimate(FAST, 2048, Device(cores=cores)).seconds for cores in (2, 16))
    assert two / 8 < sixteen < two


@pytest.mark.parametrize(
    ("settings", "unknown"),
    [
        (VIDEO, ("model", "animate", "decode", "finish")),
        (NETWORK, ("estimator", "depth")),
        (PanoramaTo4D(lift="4k4dgen"), ("lift",)),
        (PanoramaTo4D(inpainter="someone/painter"), ("lift",)),
    ],
)
def test_what_nobody_measured_is_said_to_be_unknown(settings, unknown):
    told = estimate(settings, 1024, TWO_CORES)
    assert (told.basis, told.unknown, told.peak_bytes) == ("unknown", unknown, 0)


def test_a_slower_machine_shows_in_its_past_jobs():
    usual = estimate(FAST, 1024, TWO_CORES).seconds
    told = estimate(FAST, 1024, TWO_CORES, [past(factor=3.0)])
    assert told.basis == "learned"
    assert told.seconds == pytest.approx(3 * usual, rel=0.05)
    of_other_kind = estimate(DIRECT, 1024, TWO_CORES, [past(factor=3.0)])
    assert of_other_kind.seconds == pytest.approx(3 * estimate(DIRECT, 1024, TWO_CORES).seconds, rel=0.05)


def test_what_was_learned_at_one_size_is_told_at_another():
    learned = [past(factor=2.0)]
    assert estimate(FAST, 2048, TWO_CORES, learned).seconds == pytest.approx(
        2 * estimate(FAST, 2048, TWO_CORES).seconds, rel=0.05
    )


def test_one_odd_job_among_many_does_not_mislead():
    jobs = [past(), past(), past(factor=50.0), past(), past(factor=0.01)]
    assert estimate(FAST, 1024, TWO_CORES, jobs).seconds == pytest.approx(estimate(FAST, 1024, TWO_CORES).seconds)


def test_a_video_model_is_known_after_its_first_job():
    done = past(VIDEO, 1024, model=20.0, animate=300.0, decode=30.0, finish=3.0, peak=6 * 10**9)
    told = estimate(VIDEO, 1024, TWO_CORES, [done])
    assert (told.basis, told.unknown) == ("learned", ())
    assert told.seconds == pytest.approx(sum(done.seconds.values()))
    assert told.peak_bytes == 6 * 10**9
    half_the_steps = dataclasses.replace(VIDEO, steps=VIDEO.steps // 5)
    assert estimate(half_the_steps, 1024, TWO_CORES, [done]).seconds == pytest.approx(told.seconds - 300 * 4 / 5)
    assert estimate(dataclasses.replace(VIDEO, model="svd"), 1024, TWO_CORES, [done]).basis == "unknown"


def test_memory_is_learned_too():
    assert estimate(FAST, 1024, TWO_CORES, [past(peak=3 * 10**9)]).peak_bytes == 3 * 10**9


@pytest.mark.parametrize(
    ("gigabytes", "fitting"), [(16, None), (8, 4096), (2.0, 1536), (1.0, 1024), (0.8, 768), (0.4, 0), (0, None)]
)
def test_where_memory_is_short_the_width_that_fits_is_proposed(gigabytes, fitting):
    device = Device(2, memory_bytes=round(gigabytes * 1e9))
    asked = PanoramaTo4D(width=8192 if gigabytes == 8 else 4096, frames=12)
    found = width_that_fits(asked, 8192, device)
    assert found == fitting
    if fitting:
        assert estimate(dataclasses.replace(asked, width=fitting), 8192, device).peak_bytes <= device.memory_bytes


def test_of_a_gpu_s_memory_nothing_is_said_that_is_not_known():
    assert width_that_fits(FAST, 8192, Device(8, cuda=True, memory_bytes=10**9)) is None


def test_what_is_made_for_a_gpu_is_known():
    with_gpu = Device(8, cuda=True)
    slow = (VIDEO, PanoramaTo4D(lift="tip4gen"))
    assert all(wants_gpu(settings, TWO_CORES) and not wants_gpu(settings, with_gpu) for settings in slow)
    assert not wants_gpu(FAST, TWO_CORES)
