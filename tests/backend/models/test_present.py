"""Which models need not be fetched is told from the disk alone, at once, and as the hub's client would find it."""

import subprocess
import sys
import time

import huggingface_hub.constants
import pytest

from cyclorama.backend.models import present
from cyclorama.backend.models.hub import from_hub
from cyclorama.backend.models.layout import WHOLE
from cyclorama.backend.models.registry import ESTIMATORS, FAMILIES, FEATURES, LICENCES

from .hub_cache import COMMIT, CONFIG, NETWORK, PIPELINE, WEIGHTS, put_in_cache

SVD, DPT, VGG = FAMILIES["svd"].checkpoint, ESTIMATORS["dpt"].checkpoint, FEATURES["vgg16"].checkpoint


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CYCLORAMA_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(present, "_kept", None)
    return tmp_path / "hub"


def state(name):
    return next(state for state in present.model_states() if state.id == name)


def on_disk(name):
    return next(found for found in present.checkpoints_on_disk() if found.id == name)


def test_every_checkpoint_a_user_can_name_is_told_with_purpose_and_licence():
    states = {state.id: state for state in present.model_states()}
    assert set(LICENCES) <= set(states)
    for purpose, families in (("animate", FAMILIES), ("depth", ESTIMATORS), ("lift", FEATURES)):
        for family in families.values():
            if family.checkpoint:
                assert states[family.checkpoint].purpose == purpose
                assert states[family.checkpoint].licence == LICENCES.get(family.checkpoint, "")
    assert not any(state.present or state.size_bytes for state in states.values())


def test_a_pipeline_and_networks_in_the_cache_are_present(cache):
    put_in_cache(cache, SVD, PIPELINE)
    put_in_cache(cache, DPT, NETWORK)
    put_in_cache(cache, VGG, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    assert all(state(name).present for name in (SVD, DPT, VGG))
    assert len(CONFIG) + len(WEIGHTS) <= state(VGG).size_bytes < len(CONFIG) + len(WEIGHTS) + 100


def test_it_agrees_with_what_the_hubs_client_finds(cache):
    put_in_cache(cache, SVD, PIPELINE)
    put_in_cache(cache, DPT, NETWORK)
    assert on_disk(SVD).whole == from_hub(SVD, ("unet", "scheduler"), lambda *_: None)
    assert on_disk(DPT).whole == from_hub(DPT, (WHOLE,), lambda *_: None)


@pytest.mark.parametrize("missing", [*NETWORK, "refs/main", "the blob"])
def test_a_network_that_misses_a_file_is_not_present(cache, missing):
    place = put_in_cache(cache, DPT, NETWORK)
    inside = {"refs/main": "refs/main"}.get(missing, f"snapshots/{COMMIT}/{missing}")
    path = place / inside if missing != "the blob" else (place / f"snapshots/{COMMIT}/model.safetensors").resolve()
    path.unlink()
    assert not state(DPT).present and state(DPT).size_bytes == 0
    assert on_disk(DPT).fault


def test_a_pipeline_that_misses_a_component_says_which(cache):
    place = put_in_cache(cache, SVD, PIPELINE)
    (place / "snapshots" / COMMIT / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "unet" in on_disk(SVD).fault and not state(SVD).present


def test_a_download_that_has_not_ended_is_told_by_its_size(cache):
    place = put_in_cache(cache, DPT, NETWORK)
    (place / "snapshots" / COMMIT / "model.safetensors").unlink()
    (place / "blobs" / "123.incomplete").write_bytes(b"x" * 1000)
    assert on_disk(DPT).unfinished_bytes == 1000 and not state(DPT).present


def test_a_damaged_index_is_a_fault_and_nothing_worse(cache):
    place = put_in_cache(cache, SVD, PIPELINE)
    index = place / "snapshots" / COMMIT / "model_index.json"
    index.unlink()
    index.write_bytes(b"{")
    assert "cannot be read" in on_disk(SVD).fault and not state(SVD).present


def test_a_checkpoint_that_the_hub_does_not_have_is_looked_for_in_the_models_folder(tmp_path):
    folder = tmp_path / "models" / "animate-anything"
    for path, content in PIPELINE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    assert state("animate-anything").present
    assert state("animate-anything").size_bytes == sum(map(len, PIPELINE.values()))


def test_an_answer_stands_for_some_seconds(cache, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert not state(DPT).present
    put_in_cache(cache, DPT, NETWORK)
    assert not state(DPT).present
    clock[0] += present.KEPT_SECONDS + 1
    assert state(DPT).present


def test_it_is_cheap_and_loads_nothing_heavy(cache):
    for family in (*FAMILIES.values(), *ESTIMATORS.values(), *FEATURES.values()):
        for name in filter(None, (family.checkpoint, *family.others)):
            put_in_cache(cache, name, PIPELINE if family in FAMILIES.values() else NETWORK)
    begin = time.perf_counter()
    states = present.model_states()
    took = time.perf_counter() - begin
    print(f"model_states: {took * 1000:.1f} ms for {len(states)} checkpoints")
    assert sum(state.present for state in states) == len(states) - 1
    assert took < 0.5  # of 0.05 s, on a machine that does other things too
    program = (
        "import sys; from cyclorama.backend.models.present import model_states; model_states();"
        "print({'torch', 'transformers', 'diffusers', 'httpx'} & set(sys.modules))"
    )
    told = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "set()"
