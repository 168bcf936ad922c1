"""What a model will take is known beforehand, and what is in use is seen."""

import mmap
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
import torch
from torch import nn

from cyclorama.backend.models.memory import (
    SCRATCH_BYTES,
    Budget,
    activation_bytes,
    is_out_of_memory,
    memory_in_use,
    shots_at_once,
    watch,
    weights_bytes,
)

CPU = torch.device("cpu")
MEGABYTE = 1 << 20


def floats(count: int, device: str = "cpu") -> torch.Tensor:
    return torch.zeros(count, device=device)


def test_tensors_count_as_long_as_they_live():
    def call():
        first = floats(1000)
        second = first + 1  # two alive
        del first
        third = second * 2  # again two
        del second, third
        floats(500)

    assert activation_bytes(call) == 2 * 4000


def test_views_and_changes_in_place_count_nothing():
    def call():
        picture = floats(1200)
        picture.view(30, 40).T.add_(1).chunk(4)
        picture[:100].unsqueeze(0).expand(50, -1)

    assert activation_bytes(call) == 4800


def test_weights_do_not_count_nor_what_was_made_before():
    layer, outside = nn.Linear(100, 50), floats(800)

    assert activation_bytes(lambda: layer(outside.view(8, 100)), layer) == 8 * 50 * 4


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_attention_is_known_to_take_no_matrix_of_all_with_all(device):
    def call():
        shape = (1, 4, 4096, 64)
        query, key, value = (torch.zeros(shape, device=device, dtype=torch.bfloat16) for _ in range(3))
        nn.functional.scaled_dot_product_attention(query, key, value)

    one = 4 * 4096 * 64 * 2
    logarithms = 4 * 4096 * 4
    assert 4 * one <= activation_bytes(call) <= 4 * one + logarithms


def test_terabytes_are_estimated_without_taking_any():
    network = nn.Sequential(nn.Conv2d(3, 1000, 3, padding=1), nn.SiLU())
    before = memory_in_use(CPU)

    bytes_needed = activation_bytes(lambda: network(torch.zeros(1, 3, 20000, 40000)), network)

    assert bytes_needed > 2e12
    assert memory_in_use(CPU) - before < 200 * MEGABYTE


def test_a_network_is_as_before_even_if_its_weights_were_moved_meanwhile():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    picture = torch.rand(2, 4)
    expected = network(picture)

    def move_and_fail():
        network.to(torch.bfloat16)
        raise RuntimeError("half way")

    activation_bytes(lambda: network.to(torch.bfloat16)(picture.to(torch.bfloat16)), network)
    with pytest.raises(RuntimeError, match="half way"):
        activation_bytes(move_and_fail, network)

    assert torch.equal(network(picture), expected)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_shared_weights_count_once():
    layer = nn.Linear(10, 10)
    normal = nn.BatchNorm1d(10)

    assert weights_bytes(layer) == 440
    assert weights_bytes(layer, nn.Sequential(layer)) == 440
    assert weights_bytes(normal) == 4 * 40 + 8  # with its statistics, and how many it has seen


MEASURE_A_VIDEO_MODEL = """
    import torch
    from diffusers import UNetSpatioTemporalConditionModel
    from cyclorama.backend.models.memory import Budget, activation_bytes, memory_in_use

    def peak():
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    network = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=32, num_attention_heads=(4, 4), layers_per_block=1,
        addition_time_embed_dim=32, projection_class_embeddings_input_dim=96,
    ).eval()

    def predict(shots, rows):
        pictures, time = torch.zeros(shots, 14, 8, rows, rows), torch.tensor(0.5)
        return network(pictures, time, torch.zeros(shots, 1, 32), torch.zeros(shots, 3)).sample

    cpu = torch.device("cpu")
    Budget.of(0, cpu)
    estimated = activation_bytes(lambda: predict(4, 32), network)
    with torch.no_grad():
        predict(1, 8)  # loads the libraries' code
        before = memory_in_use(cpu)
        predict(4, 32)
    print(estimated, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the exact peak of a process is read from /proc")
def test_a_video_model_takes_what_was_estimated():
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE_A_VIDEO_MODEL)], capture_output=True, text=True, check=True
    )
    estimated, measured = map(int, out.stdout.split())

    assert estimated > 150 * MEGABYTE
    assert 0.9 * estimated < measured < 1.1 * estimated + SCRATCH_BYTES["cpu"]


def test_what_was_taken_for_a_while_is_seen():
    with watch(CPU) as seen:
        before = memory_in_use(CPU)
        with mmap.mmap(-1, 100 * MEGABYTE) as block:  # new pages: an allocator might hand out ones it already has
            block.write(b"\1" * len(block))
            deadline = time.monotonic() + 10
            while seen.peak_bytes - before < 95 * MEGABYTE and time.monotonic() < deadline:
                time.sleep(0.02)
    assert 95 * MEGABYTE < seen.peak_bytes - before < 150 * MEGABYTE


def test_an_automatic_budget_leaves_memory_to_others():
    in_use = memory_in_use(CPU)
    budget = Budget.of(0, CPU)

    free = psutil.virtual_memory().available
    assert 0.6 * free < budget.bytes - in_use < 0.8 * free
    assert budget.left() < budget.bytes - in_use


def test_a_budget_asked_for_is_kept_as_it_is():
    assert Budget.of(5 * MEGABYTE, CPU).bytes == 5 * MEGABYTE
    assert Budget.of(5 * MEGABYTE, CPU).left() < 0  # this process has more


@pytest.mark.parametrize(("available", "shots"), [(99, 0), (149, 1), (150, 2), (199, 2), (349, 5), (10**6, 20)])
def test_as_many_shots_at_once_as_fit(available, shots):
    assert shots_at_once(lambda n: 50 + 50 * n, available, most=20) == shots


def test_shots_that_take_more_than_the_first_ones_are_fewer():
    def bends(shots: int) -> int:
        return 100 * shots if shots <= 2 else 120 * shots

    assert shots_at_once(bends, 1000, most=20) == 8


def test_one_shot_is_asked_for_alone_when_there_are_no_more():
    asked = []
    shots_at_once(lambda shots: asked.append(shots) or 10, 100, most=1)
    assert asked == [1]


def test_memory_that_ran_out_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as too_much:
        torch.empty(1 << 60)

    assert is_out_of_memory(too_much.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
