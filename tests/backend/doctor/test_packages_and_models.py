"""Packages, models and the computer itself; and libraries that break while they are loaded."""

import importlib.metadata
import sys
import time

import huggingface_hub.constants
import pytest

from cyclorama.backend.doctor.checks import computer, models, packages
from cyclorama.backend.doctor.libraries import LOADED, Libraries, Said, look_at_libraries
from cyclorama.backend.models.registry import ESTIMATORS

from ..models.hub_cache import NETWORK, put_in_cache

DPT = ESTIMATORS["dpt"].checkpoint


def test_all_packages_of_this_environment_are_there_and_new_enough(situation):
    (found,) = packages.versions(situation)
    assert found.level == "ok" and "diffusers" in found.sentence


def test_a_package_that_is_missing_or_too_old_is_told_with_the_command_to_install_it(situation, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "numba":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "diffusers" else real(name)

    monkeypatch.setattr(packages, "version", version)
    missing, older = packages.versions(situation)
    assert missing.level == older.level == "fault"
    assert "numba>=" in missing.sentence and "diffusers 0.1 (>=" in older.sentence
    assert f"{sys.executable} -m pip install --upgrade" in missing.hint


def test_packages_that_only_development_needs_are_not_missed():
    assert not {"ruff", "pytest", "pyright"} & {each.name for each in packages._needed()}


def program(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, sys, time\n{code}")


SAYS = 'print(\'{"name":"%s","loaded":%s}\', flush=True)\n'


def test_a_library_that_ends_its_process_is_named_and_those_before_count():
    found = look_at_libraries(program(SAYS % ("numba", "true") + SAYS % ("torch", "false") + "os.abort()"))
    assert found.error("numba") == ""
    assert found.error("torch").startswith("it ends the process (signal 6)")
    assert "did not get so far" in found.error("gsplat")
    assert found.torch is None and found.kernels is None


def test_a_library_that_never_ends_loading_is_not_waited_for():
    begin = time.monotonic()
    found = look_at_libraries(program(SAYS % ("torch", "false") + "time.sleep(60)"), seconds=2)
    assert "longer than 2 seconds" in found.error("torch")
    assert time.monotonic() - begin < 40


def test_what_libraries_print_is_not_mistaken_for_an_answer():
    found = look_at_libraries(program("print('hello', '{')\nprint(b'\\xff')\n" + SAYS % ("numba", "true")))
    assert list(found.said) == ["numba"]


def test_the_libraries_of_this_environment_can_be_loaded(situation):
    found = situation.libraries
    assert [found.error(name) for name in LOADED] == [""] * len(LOADED)
    assert found.torch and "openexr" in found.formats
    assert [each.level for each in packages.loading(situation)] == ["ok"]
    assert [each.level for each in packages.pictures(situation)] == ["ok"]


def test_a_broken_library_is_a_fault_with_the_command_to_install_it(situation, monkeypatch):
    said = {name: Said(name, name != "numba", "ImportError: libx" * (name == "numba")) for name in LOADED}
    monkeypatch.setattr(type(situation), "libraries", Libraries(said))
    (found,) = packages.loading(situation)
    assert found.level == "fault" and found.sentence == "numba cannot be loaded: ImportError: libx"
    assert found.hint.endswith("-m pip install --force-reinstall numba")


def test_a_build_that_cannot_read_some_pictures(situation, monkeypatch):
    said = {"OpenImageIO": Said("OpenImageIO", True, formats="jpeg,png,hdr")}
    monkeypatch.setattr(type(situation), "libraries", Libraries(said))
    (found,) = packages.pictures(situation)
    assert found.level == "warning" and "webp, openexr" in found.sentence


# Models


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("CYCLORAMA_MODELS", str(tmp_path / "models"))
    for variable in (*models.OFFLINE, "HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "hub"


def test_no_model_is_no_fault(situation, cache):
    assert [each.level for each in models.models(situation)] == ["ok"]


def test_models_on_this_disk_are_told_by_their_size(situation, cache):
    put_in_cache(cache, DPT, NETWORK)
    (found,) = models.models(situation)
    assert found.level == "ok" and f"{DPT} (3" in found.sentence


def test_a_damaged_model_is_named_with_its_folder(situation, cache):
    place = put_in_cache(cache, DPT, NETWORK)
    weights = next(place.rglob("model.safetensors")).resolve()
    weights.write_bytes(weights.read_bytes()[:-10])
    found = list(models.models(situation))
    assert [each.level for each in found] == ["ok", "warning"]
    assert "model.safetensors is damaged" in found[1].sentence and str(place) in found[1].hint


def test_a_download_that_has_not_ended_is_named(situation, cache):
    place = put_in_cache(cache, DPT, {"config.json": b"{}"})
    (place / "blobs" / "1.incomplete").write_bytes(b"x")
    assert [each.level for each in models.models(situation)] == ["ok", "warning"]


def test_variables_that_keep_the_hub_away_are_told_and_a_token_is_not(situation, cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:open-sesame@hub.example")
    found = list(models.hub(situation))
    assert [each.level for each in found] == ["warning", "ok"]
    assert "HF_HUB_OFFLINE" in found[0].sentence and "HF_TOKEN is set" in found[1].sentence
    assert not any(secret in each.sentence for each in found for secret in ("hf_secret", "sesame"))


# The computer


def test_the_share_of_a_container_counts(situation, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    monkeypatch.setattr(computer.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(computer.os, "sched_getaffinity", lambda _process: range(64), raising=False)
    (cores,) = computer.processor(situation, tmp_path)
    assert cores.level == "warning" and cores.sentence.startswith("1.5 cores of 64")
    (memory,) = computer.memory(situation, tmp_path)
    assert memory.level == "warning" and memory.sentence == "2.0 GB free of 3.0 GB (this container's share)"


def test_without_a_limit_the_whole_machine_counts(situation, tmp_path):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (memory,) = computer.memory(situation, tmp_path)
    assert "container" not in memory.sentence
    assert list(computer.processor(situation, tmp_path))


def test_a_clock_that_is_far_off(situation, monkeypatch):
    assert [each.level for each in computer.clock(situation)] == ["ok"]
    monkeypatch.setattr(computer.time, "time", lambda: 86_400.0)
    (found,) = computer.clock(situation)
    assert found.level == "fault" and "1970-01-02" in found.sentence


def test_a_python_that_is_too_old(situation, monkeypatch):
    assert [each.level for each in computer.python(situation)] == ["ok"]
    monkeypatch.setattr(computer, "LEAST_PYTHON", (99, 0))
    assert [each.level for each in computer.python(situation)] == ["fault"]
