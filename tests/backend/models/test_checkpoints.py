"""Checkpoints come from a folder or from a hub, and whatever is wrong with one is said in a sentence."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from cyclorama.backend.animate.denoisers.loading import load
from cyclorama.backend.models.checkpoints import locate
from cyclorama.backend.models.layout import weight_files
from cyclorama.backend.models.memory import weights_bytes
from cyclorama.backend.models.registry import FAMILIES
from cyclorama.bridge.errors import CycloramaError

from ...tiny_checkpoints import make_checkpoint

CPU = torch.device("cpu")
NAME, COMMIT = "studio/tiny-video", "c0ffee" + 34 * "0"
WEIGHTS = "diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def folder(original, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(original, tmp_path / "tiny")


def refusal(asked):
    with pytest.raises(CycloramaError) as refused:
        asked()
    assert refused.value.sentence.count("\n") == 0
    return refused.value


# A folder on this disk


def test_a_folder_gives_its_components_and_licence(original):
    checkpoint = locate(str(original), ["unet"])

    assert (checkpoint.folder, checkpoint.licence) == (original, "cc0-1.0")
    assert checkpoint.index()["vae"] == ["diffusers", "AutoencoderKLTemporalDecoder"]
    assert checkpoint.has("unet") and checkpoint.has("feature_extractor") and not checkpoint.has("text_encoder")
    assert checkpoint.config("unet")["in_channels"] == 8
    assert type(checkpoint.scheduler()).__name__ == "EulerDiscreteScheduler"


@pytest.mark.parametrize("path", ["{folder}", "{folder}/", "{folder}/vae/..", "."])
def test_the_name_of_a_folder_tells_nothing_of_where_it_lies(path, original, monkeypatch):
    monkeypatch.chdir(original)
    assert locate(path.format(folder=original), []).name == "tiny"


def test_the_weights_lie_in_memory_before_they_are_used(tmp_path):
    """Also those that are stored in the type that is asked for, which libraries map from the file."""
    make_checkpoint(tmp_path / "large")
    AutoencoderKL(block_out_channels=(512,), layers_per_block=2).save_pretrained(tmp_path / "large/vae")
    index = json.loads((tmp_path / "large/model_index.json").read_text()) | {"vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "large/model_index.json").write_text(json.dumps(index))
    for file in (tmp_path / "large/vae").glob("*.fp16.*"):
        file.unlink()

    vae = locate(str(tmp_path / "large"), ["vae"]).model("vae", AutoencoderKL, torch.float32)
    before = psutil.Process().memory_info().rss
    used = all(weight.sum().isfinite() for weight in vae.parameters())

    assert used and weights_bytes(vae) > 100e6
    assert psutil.Process().memory_info().rss - before < 0.1 * weights_bytes(vae)


def test_a_model_is_loaded_for_inference_with_the_weights_of_the_file(original):
    from safetensors.torch import load_file

    vae = locate(str(original), ["vae"]).model("vae", AutoencoderKLTemporalDecoder, torch.float32)

    stored = load_file(original / "vae" / WEIGHTS)
    assert not vae.training and not any(weight.requires_grad for weight in vae.parameters())
    assert all(weight.dtype == torch.float32 for weight in vae.parameters())
    assert all(torch.equal(weight, stored[name].float()) for name, weight in vae.state_dict().items())


def test_the_licence_of_a_card_that_says_other_is_its_name(folder):
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: studio-licence\n---\n")
    assert locate(str(folder), []).licence == "studio-licence"

    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    assert locate(str(folder), []).licence == ""


def test_the_tiny_model_lies_in_the_users_models_folder_unless_told_otherwise(original, monkeypatch, tmp_path):
    monkeypatch.setenv("CYCLORAMA_MODELS", str(tmp_path))
    missing = refusal(lambda: load("tiny", "", CPU))
    shutil.copytree(original, tmp_path / "tiny")

    assert (missing.code, "tiny_checkpoints.py" in missing.hint) == ("checkpoint-needed", True)
    assert load("tiny", "", CPU).name == "tiny"


def test_a_tiny_checkpoint_is_recognised_by_what_is_in_it(original, tmp_path):
    masked = make_checkpoint(tmp_path / "masked", "animate-anything", reads_prompts=False)

    assert type(load("tiny", str(original), CPU)).__name__ == "StableVideoDiffusion"
    assert type(load("tiny", str(masked), CPU)).__name__ == "AnimateAnything"


def test_the_tiny_model_is_never_downloaded():
    assert refusal(lambda: load("tiny", NAME, CPU)).code == "checkpoint-needed"


# What can be wrong with one


def test_an_unknown_model_is_refused_with_those_there_are():
    refused = refusal(lambda: load("sora", "", CPU))

    assert refused.code == "unknown-model" and all(name in refused.hint for name in FAMILIES)


def test_a_folder_that_is_no_checkpoint(tmp_path):
    assert refusal(lambda: locate(str(tmp_path), ["unet"])).code == "checkpoint-without-index"


def test_what_is_neither_folder_nor_hub_id():
    refused = refusal(lambda: locate("/nowhere/at/all", ["unet"]))

    assert refused.code == "checkpoint-not-found" and "/nowhere/at/all" in refused.sentence


@pytest.mark.parametrize("component", ["unet", "vae", "image_encoder", "scheduler", "feature_extractor"])
def test_a_missing_component(folder, component):
    shutil.rmtree(folder / component)

    refused = refusal(lambda: load("svd", str(folder), CPU))

    assert refused.code == "checkpoint-lacks-component"
    assert refused.sentence == f"The checkpoint {folder} has no {component}."


def test_a_component_of_another_class(original):
    refused = refusal(lambda: locate(str(original), ["vae"]).model("vae", AutoencoderKL, torch.float32))

    assert refused.code == "checkpoint-wrong-class"
    found, needed = "AutoencoderKLTemporalDecoder", "AutoencoderKL"
    assert refused.sentence == f"The vae of the checkpoint {original} is of the class {found}, but {needed} is needed."


def test_weights_only_in_a_pickle_are_not_read(folder):
    (folder / "unet" / WEIGHTS).rename(folder / "unet/diffusion_pytorch_model.bin")

    refused = refusal(lambda: load("svd", str(folder), CPU))

    assert refused.code == "checkpoint-lacks-component" and "safetensors" in refused.sentence


def truncate(folder):
    file = folder / "unet" / WEIGHTS
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def break_config(folder):
    (folder / "unet/config.json").write_text('{"in_channels": 8,')


def break_index(folder):
    (folder / "model_index.json").write_text("[]")


def drop_a_weight(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "unet" / WEIGHTS)
    del weights["conv_in.weight"]
    save_file(weights, folder / "unet" / WEIGHTS)


def reshape_a_weight(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "unet" / WEIGHTS)
    save_file(weights | {"conv_in.weight": torch.zeros(1, 2, 3)}, folder / "unet" / WEIGHTS)


def lose_a_shard(folder):
    (folder / "unet" / WEIGHTS).rename(folder / "unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors")
    shards = {"conv_in.weight": "diffusion_pytorch_model.fp16-00002-of-00002.safetensors"}
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.fp16.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))


@pytest.mark.parametrize("damage", [truncate, break_config, break_index, drop_a_weight, reshape_a_weight, lose_a_shard])
def test_a_damaged_checkpoint(folder, damage):
    damage(folder)

    refused = refusal(
        lambda: locate(str(folder), ["unet"]).model("unet", UNetSpatioTemporalConditionModel, torch.float32)
    )

    assert refused.code == "checkpoint-damaged" and str(folder) in refused.sentence
    assert refused.hint == "Put a complete copy of the checkpoint in its place."  # it is the artist's own


RUN_ME = "from pathlib import Path\nPath({mark!r}).touch()\nclass Reader: pass\n"

READ = """
import sys
from cyclorama.backend.models.checkpoints import locate
from cyclorama.bridge.errors import CycloramaError
try:
    locate(sys.argv[1], []).tokenizer()
except CycloramaError as error:
    print(error.code, error.sentence)
try:
    locate(sys.argv[1], []).image_processor()
except CycloramaError as error:
    print(error.code, error.sentence)
"""


@pytest.mark.parametrize("answer", ["y\ny\n", ""], ids=["somebody says yes", "nobody there"])
def test_code_in_a_checkpoint_is_never_run_nor_asked_about(folder, tmp_path, answer):
    mark = tmp_path / "it was run"
    for component, config, reader in [
        ("tokenizer", "tokenizer_config.json", {"AutoTokenizer": ["reader.Reader", None]}),
        ("image_processor", "preprocessor_config.json", {"AutoImageProcessor": "reader.Reader"}),
    ]:
        (folder / component).mkdir()
        (folder / component / config).write_text(json.dumps({"auto_map": reader}))
        (folder / component / "reader.py").write_text(RUN_ME.format(mark=str(mark)))

    told = subprocess.run(
        [sys.executable, "-c", READ, str(folder)],
        input=answer,
        env={**os.environ, "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert told.stdout.splitlines() == [
        f"checkpoint-runs-code The {component} of the checkpoint {folder} brings Python code of its own, "
        "which is never run."
        for component in ("tokenizer", "image_processor")
    ]
    assert not mark.exists()


def test_a_configuration_cannot_choose_compiled_code(tmp_path):
    """transformers would take a model's attention from the hub where that is written in the configuration."""
    folder = make_checkpoint(tmp_path / "kernel")
    file = folder / "image_encoder/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_attn_implementation": "somebody/kernel"}))

    encoder = locate(str(folder), []).model("image_encoder", CLIPVisionModelWithProjection, torch.float32)

    assert encoder.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "unet" / WEIGHTS).touch(),
        lambda folder: (folder / "unet" / WEIGHTS).rename(folder / "unet/diffusion_pytorch_model.safetensors"),
        lambda folder: (folder / "scheduler/scheduler_config.json").write_text("{}"),
        lambda folder: (folder / "model_index.json").write_text("{}"),
    ],
    ids=["saved again", "renamed", "another scheduler", "another pipeline"],
)
def test_the_fingerprint_tells_checkpoints_apart(folder, original, change):
    checkpoint = locate(str(folder), [])
    before = checkpoint.fingerprint
    assert before == checkpoint.fingerprint == locate(str(original), []).fingerprint  # a copy keeps the times

    (folder / "README.md").write_text("Lovely.")
    assert checkpoint.fingerprint == before
    change(folder)
    assert checkpoint.fingerprint != before


def test_in_the_hub_s_cache_the_fingerprint_is_that_of_the_content(original, tmp_path):
    def cache(name, blob):
        folder = tmp_path / name / "models--studio--tiny-video"
        shutil.copytree(original, folder / "snapshots" / COMMIT)
        (folder / "blobs").mkdir()
        weights = folder / "snapshots" / COMMIT / "unet" / WEIGHTS
        shutil.copy(weights, folder / "blobs" / blob)
        weights.unlink()
        weights.symlink_to(folder / "blobs" / blob)
        return locate(str(folder / "snapshots" / COMMIT), []).fingerprint

    assert cache("here", "one") == cache("there", "one") != cache("elsewhere", "two")


def test_halves_are_preferred_and_pickles_and_other_variants_ignored():
    assert weight_files(["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"]) == [
        "model.fp16.safetensors"
    ]
    assert weight_files(["model.ckpt", "diffusion_pytorch_model.ema.safetensors", "config.json"]) == []
    shards = ["diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model.safetensors.index.json"]
    assert weight_files([*reversed(shards), "flax_model.msgpack"]) == shards


# A hub, as far as its client needs one


class HubServer(ThreadingHTTPServer):
    """Has one model: ``NAME``, of ``files`` (path -> bytes); ``gated``: only for who has a token."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Hub)
        self.files, self.gated, self.fetched = files, False, []


class Hub(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{NAME}/tree/"):
            self.answer(json.dumps([self.entry(file) for file in self.server.files]).encode())
        elif path.startswith(f"/api/models/{NAME}"):
            siblings = [{"rfilename": file, "size": len(content)} for file, content in self.server.files.items()]
            model = {"id": NAME, "sha": COMMIT, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
            self.answer(json.dumps(model).encode())
        elif path.startswith(f"/{NAME}/resolve/"):
            self.file(path.split("/", 5)[5])
        else:
            self.refuse(404, "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def file(self, name):
        if self.server.gated and not self.headers["Authorization"]:
            return self.refuse(401, "GatedRepo")
        if name not in self.server.files:
            return self.refuse(404, "EntryNotFound")
        if self.command == "GET":
            self.server.fetched.append(name)
        content = self.server.files[name]
        self.answer(content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def entry(self, file):
        content = self.server.files[file]
        return {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def refuse(self, status, code):
        self.answer(b"", {"X-Error-Code": code}, status)

    def answer(self, content, headers=None, status=200):
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def hub(original):
    paths = [path for path in original.rglob("*") if path.is_file()]
    files = {path.relative_to(original).as_posix(): path.read_bytes() for path in paths}
    files |= {"unet/diffusion_pytorch_model.bin": b"code", "unet/diffusion_pytorch_model.safetensors": b"big"}
    files |= {"svd.safetensors": b"everything in one", "safety_checker/config.json": b"{}"}
    server = HubServer(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


FETCH = """
import json, sys
from cyclorama.backend.models.checkpoints import locate
from cyclorama.bridge.errors import CycloramaError

told = []
try:
    found = locate(sys.argv[1], sys.argv[2].split(","), lambda done, total: told.append((done, total)))
    answer = {"name": found.name, "folder": str(found.folder), "licence": found.licence, "told": told}
except CycloramaError as error:
    answer = {"code": error.code, "sentence": error.sentence, "hint": error.hint}
print(json.dumps(answer))
"""


def fetch(home, hub, components="unet,vae,scheduler", name=NAME, **environment):
    """What ``locate`` says in a process of its own: the hub's client reads its environment when it is imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}" if hub else "http://127.0.0.1:9"
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **environment}
    asked = subprocess.run(
        [sys.executable, "-c", FETCH, name, components],
        env=kept | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(asked.stdout.splitlines()[-1])


def test_a_hub_id_is_fetched_once_and_only_what_is_needed(hub, tmp_path, original):
    first = fetch(tmp_path, hub)
    fetched = sorted(hub.fetched)
    again = fetch(tmp_path, None, HF_HUB_OFFLINE="1")

    assert (first["name"], first["licence"]) == (NAME, "cc0-1.0")
    assert fetched == [
        "README.md",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        f"unet/{WEIGHTS}",
        "vae/config.json",
        f"vae/{WEIGHTS}",
    ]
    total = sum(len(hub.files[file]) for file in fetched)
    assert first["told"][-1] == [total, total]
    assert [done for done, _ in first["told"]] == sorted(done for done, _ in first["told"])
    assert again == first | {"told": []}
    unet = locate(first["folder"], []).model("unet", UNetSpatioTemporalConditionModel, torch.float32)
    assert unet.config.num_frames == 14

    (Path(first["folder"]) / "unet/config.json").write_text("{")
    damaged = refusal(lambda: locate(first["folder"], []).config("unet"))
    assert damaged.hint == f"Delete {tmp_path / 'hub/models--studio--tiny-video'} and fetch it again."


def test_a_component_that_is_not_yet_in_the_cache_is_fetched_too(hub, tmp_path):
    fetch(tmp_path, hub, "scheduler")
    hub.fetched.clear()

    found = fetch(tmp_path, hub, "scheduler,vae")

    assert sorted(hub.fetched) == ["vae/config.json", f"vae/{WEIGHTS}"]
    assert locate(found["folder"], []).has("vae")


def test_a_model_that_the_hub_does_not_know(hub, tmp_path):
    refused = fetch(tmp_path, hub, name="studio/nothing")

    assert refused["code"] == "checkpoint-not-found"
    assert refused["sentence"] == "There is neither a folder studio/nothing nor a model of that name on the hub."


def test_a_gated_model_needs_its_licence_accepted_and_a_token(hub, tmp_path):
    hub.gated = True

    refused, allowed = fetch(tmp_path, hub), fetch(tmp_path, hub, HF_TOKEN="hf_of_somebody_who_accepted")

    assert refused["code"] == "checkpoint-gated"
    assert NAME in refused["hint"] and "HF_TOKEN" in refused["hint"]
    assert allowed["licence"] == "cc0-1.0"


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["no network", "told to stay offline"])
def test_without_a_network_what_is_not_in_the_cache_cannot_be_had(tmp_path, environment):
    refused = fetch(tmp_path, None, **environment)

    assert refused["code"] == "checkpoint-offline"
    assert refused["sentence"] == f"{NAME} is not on this disk, and the hub cannot be reached."
