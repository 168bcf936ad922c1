"""What is said of torch, the GPU and gsplat in every combination, with the command that mends it."""

import importlib.util
import sys
from pathlib import Path

import pytest

from cyclorama.backend.doctor.checks import graphics
from cyclorama.backend.doctor.checks.graphics import Card, build_for, card_in, judged, kernels_judged, runs_on
from cyclorama.backend.doctor.libraries import Gpu, Kernels, Libraries, Said, Torch

GB = 1_000_000_000
CPU_BUILD = Torch("2.13.0+cpu")
CUDA_BUILD = Torch("2.13.0+cu130", "13.0", architectures=("sm_75", "sm_80", "sm_90", "compute_90"))
RTX = Card("NVIDIA RTX 4090", 580, (8, 9))


def with_gpu(capability=(8, 9), free=20 * GB, architectures=CUDA_BUILD.architectures):
    return Torch(
        "2.13.0+cu130", "13.0", gpus=(Gpu("NVIDIA RTX 4090", capability, 24 * GB, free),), architectures=architectures
    )


def gpu(torch, card):
    return next(each for each in judged(torch, card) if each.subject == "GPU")


@pytest.fixture(autouse=True)
def visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    "torch, card, level, sentence, hint",
    [
        (CPU_BUILD, None, "ok", "no NVIDIA GPU", ""),
        (CPU_BUILD, RTX, "warning", "made for the CPU", "--index-url https://download.pytorch.org/whl/cu130"),
        (CPU_BUILD, Card("GTX 1080", 560, (6, 1)), "warning", "made for the CPU", "whl/cu126"),
        (CPU_BUILD, Card("RTX 2080", 470, (7, 5)), "warning", "too old", "driver 525"),
        (CPU_BUILD, Card("GTX 780", 580, (3, 5)), "ok", "not supported", ""),
        (CUDA_BUILD, None, "ok", "no NVIDIA GPU", ""),
        (CUDA_BUILD, Card("RTX 4090", 535, (8, 9)), "warning", "needs 580", "whl/cu126"),
        (CUDA_BUILD, Card("RTX 4090", 470, (8, 9)), "warning", "needs 580", "driver 580 or newer."),
        (CUDA_BUILD, RTX, "warning", "does not say why", "Restart"),
        (with_gpu(), RTX, "ok", "20.0 GB free of 24.0 GB, driver 580", ""),
        (with_gpu(), None, "ok", "20.0 GB free of 24.0 GB", ""),
        (with_gpu(free=GB), RTX, "warning", "1.0 GB free", "Close other programs"),
        (with_gpu(capability=(6, 1)), RTX, "fault", "compute capability 6.1", "--index-url"),
    ],
)
def test_torch_and_the_gpu(torch, card, level, sentence, hint):
    found = gpu(torch, card)
    assert found.level == level and sentence in found.sentence and hint in found.hint
    assert bool(found.hint) == (level != "ok")


def test_a_gpu_that_is_hidden_by_a_variable(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES=''" in gpu(CUDA_BUILD, RTX).sentence


def test_what_cuda_itself_says_is_passed_on():
    broken = Torch("2.13.0+cu130", "13.0", "CUDA unknown error: reboot")
    assert "CUDA unknown error: reboot" in gpu(broken, RTX).sentence


def test_a_torch_that_cannot_be_loaded_is_a_fault_with_the_command_to_install_it(situation, monkeypatch):
    monkeypatch.setattr(type(situation), "libraries", Libraries({"torch": Said("torch", error="it ends (signal 4)")}))
    monkeypatch.setattr(graphics, "find_card", lambda: None)
    (found,) = graphics.torch_and_gpu(situation)
    assert found.level == "fault" and "signal 4" in found.sentence
    assert f"{sys.executable} -m pip install --force-reinstall" in found.hint and "Repair" in found.hint


@pytest.mark.parametrize(
    "answer, card",
    [
        ("NVIDIA H200, 580.95.05, 9.0\nNVIDIA H200, 580.95.05, 9.0\n", Card("NVIDIA H200", 580, (9, 0))),
        ("Card, with comma, 535.1, [N/A]", Card("Card, with comma", 535)),
        ("NVIDIA-SMI has failed", None),
        ("", None),
    ],
)
def test_what_the_driver_answers_is_understood(answer, card):
    assert card_in(answer) == card


@pytest.mark.parametrize(
    "capability, architectures, runs",
    [
        ((8, 9), ("sm_80",), True),
        ((8, 0), ("sm_89",), False),
        ((9, 0), ("sm_80",), False),
        ((9, 0), ("sm_90a",), True),
        ((12, 0), ("sm_90", "compute_90"), True),
        ((12, 0), ("sm_120",), True),
        ((7, 0), ("sm_75", "compute_90"), False),
        ((8, 6), (), True),
    ],
)
def test_which_gpus_a_build_has_code_for(capability, architectures, runs):
    assert runs_on(architectures, capability) == runs


def test_the_build_it_names_is_the_one_that_the_add_on_would_install():
    path = Path(__file__).parents[3] / "addon" / "installation" / "installer" / "gpu.py"
    spec = importlib.util.spec_from_file_location("installer_gpu", path)
    assert spec and spec.loader
    installer = importlib.util.module_from_spec(spec)
    sys.modules["installer_gpu"] = installer  # dataclasses look there
    spec.loader.exec_module(installer)
    assert graphics.BUILDS == installer.BUILDS
    for card in (RTX, Card("a", 560, (6, 1)), Card("a", 470, (7, 5)), Card("a", 580, (3, 5)), Card("a", 600)):
        build, _ = installer.build_for("AUTO", installer.Gpu(card.name, card.driver, card.capability))
        assert (build_for(card) or "cpu") == build


# gsplat


@pytest.mark.parametrize(
    "kernels, level, words",
    [
        (Kernels(True, False, False, False), "ok", "is there"),
        (Kernels(False, True, True, True), "ok", "is built at its first use"),
        (Kernels(False, False, True, True), "fault", "without the CUDA toolkit (nvcc)."),
        (Kernels(False, False, False, False), "fault", "(nvcc) and ninja and a C++ compiler"),
    ],
)
def test_gsplats_gpu_code(kernels, level, words):
    found = kernels_judged(kernels)
    assert found.level == level and words in found.sentence


@pytest.mark.parametrize("torch, level", [(CPU_BUILD, "warning"), (with_gpu(), "fault")])
def test_a_gsplat_that_cannot_be_loaded_matters_on_a_gpu(situation, monkeypatch, torch, level):
    said = {"torch": Said("torch", True, torch=torch), "gsplat": Said("gsplat", error="ImportError: no")}
    monkeypatch.setattr(type(situation), "libraries", Libraries(said))
    assert [each.level for each in graphics.gsplat(situation)] == [level]


def test_on_the_cpu_gsplat_is_not_needed(situation, monkeypatch):
    said = {"torch": Said("torch", True, torch=CPU_BUILD), "gsplat": Said("gsplat", True)}
    monkeypatch.setattr(type(situation), "libraries", Libraries(said))
    (found,) = graphics.gsplat(situation)
    assert found.level == "ok" and "only GPUs need it" in found.sentence
