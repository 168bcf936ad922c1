"""Depth estimators say what their networks say, in numbers whose meaning is known, and refuse what they are not."""

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    ViTConfig,
    ViTForImageClassification,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessorPil,
)

from cyclorama.backend.depth.estimators import load
from cyclorama.backend.depth.transformers_estimator import TransformersEstimator, preparation_of
from cyclorama.backend.models.checkpoints import locate_network
from cyclorama.backend.models.layout import WHOLE
from cyclorama.backend.models.registry import ESTIMATORS
from cyclorama.bridge.errors import CycloramaError

from ...tiny_depth import KINDS, make_estimator
from ..models.test_checkpoints import NAME, HubServer, refusal

CPU = torch.device("cpu")
FOV = math.radians(80)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Makes each kind of checkpoint once."""
    root, made = tmp_path_factory.mktemp("estimators"), {}

    def folder(kind):
        if kind not in made:
            made[kind] = make_estimator(root / kind, kind)
        return made[kind]

    return folder


@pytest.fixture
def copy_of(folders, tmp_path):
    """Copies, to be damaged."""
    return lambda kind: shutil.copytree(folders(kind), tmp_path / kind)


def tiny(folder) -> Any:
    return load("tiny", str(folder), CPU)


def pixels(size, count=3):
    """8-bit pictures, which are what the networks' own image processors read."""
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8)


def as_tensor(pictures):
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255


def relative_error(found, expected):
    return float(((found - expected).abs() / expected.abs().clamp(min=1e-3)).max())


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


# What they say


@pytest.mark.parametrize(
    ("kind", "meaning", "size"),
    [
        ("dpt", "disparity", 64),
        ("dpt-hybrid", "disparity", 64),
        ("dpt-metric", "metric", 56),
        ("depth-anything", "disparity", 56),
        ("depth-anything-metric", "metric", 56),
        ("zoedepth", "metric", 64),
        ("depth-pro", "metric", 128),
    ],
)
def test_an_estimator_says_what_its_numbers_mean_whatever_its_name(folders, kind, meaning, size):
    estimator = tiny(folders(kind))

    assert (estimator.kind, estimator.size) == (meaning, size)
    assert (estimator.name, estimator.licence) == (kind, "cc0-1.0")
    values = estimator.estimate(as_tensor(pixels(size)))
    assert values.shape == (3, size, size) and values.dtype == torch.float32
    assert values.std() > 0.01 * values.mean() > 0


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("dpt", DPTForDepthEstimation),
        ("dpt-hybrid", DPTForDepthEstimation),
        ("dpt-metric", DPTForDepthEstimation),
        ("depth-anything", DepthAnythingForDepthEstimation),
        ("depth-anything-metric", DepthAnythingForDepthEstimation),
    ],
)
def test_its_answer_is_that_of_transformers_own_reader_and_network(folders, kind, cls):
    estimator, pictures = tiny(folders(kind)), pixels(64 if kind in ("dpt", "dpt-hybrid") else 56)
    reader, network = DPTImageProcessorPil.from_pretrained(folders(kind)), cls.from_pretrained(folders(kind)).eval()

    with torch.no_grad():
        answers = network(**reader(list(pictures), return_tensors="pt"))
    sizes = [pictures.shape[1:3]] * len(pictures)
    expected = torch.stack(
        [found["predicted_depth"] for found in reader.post_process_depth_estimation(answers, target_sizes=sizes)]
    )

    assert relative_error(estimator.estimate(as_tensor(pictures)), expected) < 1e-4


def test_zoedepth_sees_a_mirrored_margin_that_its_answer_has_no_more(folders):
    estimator, pictures = tiny(folders("zoedepth")), pixels(64, count=1)
    reader = ZoeDepthImageProcessorPil.from_pretrained(folders("zoedepth"))
    network = ZoeDepthForDepthEstimation.from_pretrained(folders("zoedepth")).eval()

    with torch.no_grad():
        seen = network(**reader(list(pictures), return_tensors="pt")).predicted_depth
    margin = 16  # int(sqrt(64 / 2) * 3), as in ZoeDepth's own code
    whole = interpolate(seen[None], (64 + 2 * margin,) * 2, mode="bicubic", align_corners=False)[0]

    assert seen.shape[-1] == 96
    expected = whole[:, margin:-margin, margin:-margin]
    assert relative_error(estimator.estimate(as_tensor(pictures)), expected) < 1e-4


def test_depth_pro_is_told_the_field_of_view_instead_of_guessing_it(folders):
    """z = f / (w·C), "Depth Pro" section 3.1, with f / w = 1 / (2·tan(80°/2))."""
    estimator, pictures = tiny(folders("depth-pro")), as_tensor(pixels(128))
    network = DepthProForDepthEstimation.from_pretrained(folders("depth-pro")).eval()

    with torch.no_grad():
        answer = network((pictures - 0.5) / 0.5)

    assert answer.field_of_view is not None
    expected = 1 / (2 * math.tan(FOV / 2) * answer.predicted_depth)
    assert relative_error(estimator.estimate(pictures), expected) < 1e-4


def test_a_wall_three_metres_away_is_three_metres_away_to_depth_pro(copy_of):
    """Whoever says C = w / (f·z) of each pixel means z."""
    from safetensors.torch import load_file, save_file

    folder = copy_of("depth-pro")
    weights = load_file(folder / "model.safetensors")
    weights["head.layers.4.weight"].zero_()
    weights["head.layers.4.bias"].fill_(1 / (2 * math.tan(FOV / 2) * 3.0))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    assert tiny(folder).estimate(as_tensor(pixels(128, count=1))).sub(3).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_s_answer_does_not_depend_on_the_others_beside_it(folders, kind):
    estimator = tiny(folders(kind))
    pictures = as_tensor(pixels(estimator.size, count=4))

    together, alone = estimator.estimate(pictures), [estimator.estimate(picture[None]) for picture in pictures]

    assert relative_error(together, torch.cat(alone)) < 1e-4


def test_zoedepth_chooses_indoors_or_outdoors_for_each_picture(copy_of):
    """Its own code lets the pictures of a batch vote, so that one's metres would depend on its neighbours."""
    from safetensors.torch import load_file, save_file

    folder, pictures = copy_of("zoedepth"), as_tensor(pixels(64, count=5))
    votes = []
    first = tiny(folder)
    first._network.metric_head.mlp_classifier.register_forward_hook(lambda part, args, found: votes.append(found))
    for picture in pictures:
        first.estimate(picture[None])
    lead = torch.cat(votes)[:, 0] - torch.cat(votes)[:, 1]
    weights = load_file(folder / "model.safetensors")
    last = next(name for name in sorted(weights, reverse=True) if "mlp_classifier" in name and name.endswith("bias"))
    weights[last][1] += lead.sort().values[1:3].mean()  # two are outdoors now, three indoors
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    estimator = tiny(folder)
    together = estimator.estimate(pictures)
    alone = torch.cat([estimator.estimate(picture[None]) for picture in pictures])

    outvoted = estimator._answers_together(estimator._preparation.prepare(pictures))
    assert relative_error(estimator._preparation.restore(outvoted, 64), alone) > 0.01  # the case is what it should be
    assert relative_error(together, alone) < 1e-4


@pytest.mark.parametrize("kind", ["dpt", "zoedepth", "depth-pro"])
def test_a_picture_of_another_size_is_answered_in_its_own(folders, kind):
    estimator = tiny(folders(kind))
    smooth = as_tensor(pixels(4, count=1))
    native = interpolate(smooth, (estimator.size,) * 2, mode="bicubic").clamp(0, 1)
    larger = interpolate(smooth, (2 * estimator.size,) * 2, mode="bicubic").clamp(0, 1)

    found = estimator.estimate(larger.double())

    assert found.shape == (1, 2 * estimator.size, 2 * estimator.size) and found.dtype == torch.float32
    expected = estimator.estimate(native)
    assert (avg_pool2d(found, 2) - expected).abs().mean() < 0.2 * expected.std()


@pytest.mark.parametrize("kind", ["dpt", "depth-anything-metric", "zoedepth", "depth-pro"])
def test_half_precision_says_the_same_but_for_its_rounding(folders, kind):
    full, checkpoint = tiny(folders(kind)), locate_network(str(folders(kind)))
    half = TransformersEstimator(checkpoint, "", CPU, torch.float16)
    pictures = as_tensor(pixels(full.size))

    expected, found = full.estimate(pictures), half.estimate(pictures.half())

    assert found.dtype == torch.float32 and half.fingerprint != full.fingerprint
    assert 0 < (found - expected).abs().mean() < 0.02 * expected.mean()


def test_old_and_foreign_descriptions_of_the_pictures_are_understood(folders):
    """Of numbers, not pictures: 0..255 with ImageNet's mean, sizes as a number, and none at all."""
    network = tiny(folders("dpt"))._network.config

    of_bytes = preparation_of({"do_rescale": False, "image_mean": [51, 0, 0]}, "DPTForDepthEstimation", network)
    short = preparation_of({"size": {"shortest_edge": 50}, "image_mean": 0.25}, "DPTForDepthEstimation", network)
    plain = preparation_of({"do_normalize": False}, "DPTForDepthEstimation", network)

    assert float(of_bytes.mean[0]) == pytest.approx(0.2)
    assert (of_bytes.size, short.size, float(short.mean[2])) == (384, 48, 0.25)
    assert float(plain.prepare(torch.full((1, 3, 384, 384), 0.7)).max()) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("cls", "config", "told", "sizes"),
    [
        ("DPTForDepthEstimation", DPTConfig, {"size": 384, "ensure_multiple_of": 32}, (384, 0, 384)),
        ("DepthAnythingForDepthEstimation", DepthAnythingConfig, {"size": [518, 518]}, (518, 0, 518)),
        ("ZoeDepthForDepthEstimation", ZoeDepthConfig, {"ensure_multiple_of": 32}, (384, 41, 512)),
        ("DepthProForDepthEstimation", DepthProConfig, {}, (1536, 0, 1536)),
    ],
)
def test_networks_of_the_usual_size_see_what_they_have_learned_from(cls, config, told, sizes):
    """ZoeDepth's processor fits 384 pixels and two margins of int(sqrt(192) * 3) to the nearer of 384 and 512."""
    preparation = preparation_of(told, cls, config())

    assert (preparation.size, preparation.margin, preparation.grid) == sizes
    assert preparation.prepare(torch.rand(1, 3, sizes[0], sizes[0])).shape[-1] == sizes[2]


def test_the_memory_it_will_take_is_known_without_computing(folders):
    for kind in ("depth-anything", "zoedepth"):
        estimator = tiny(folders(kind))
        first = estimator.estimate(as_tensor(pixels(estimator.size)))
        one, three = estimator.estimate_bytes(1), estimator.estimate_bytes(3)

        assert one > 3 * estimator.size**2 * 4 and 2.5 * one < three < 3.5 * one
        assert torch.equal(estimator.estimate(as_tensor(pixels(estimator.size))), first)  # and nothing has changed


# What can be wrong with a checkpoint


def test_weights_that_no_computation_uses_may_be_missing(copy_of):
    """Those of Intel/dpt-large are."""
    from safetensors.torch import load_file, save_file

    folder, pictures = copy_of("dpt"), as_tensor(pixels(64))
    expected = tiny(folder).estimate(pictures)
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "fusion_stage.layers.0.residual_layer1" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})

    assert len(kept) < len(weights)
    assert torch.equal(tiny(folder).estimate(pictures), expected)
    del kept["head.head.2.weight"]
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    assert refusal(lambda: tiny(folder)).code == "checkpoint-damaged"


def test_an_unknown_estimator_is_refused_with_those_there_are():
    refused = refusal(lambda: load("midas", "", CPU))

    assert refused.code == "unknown-estimator" and all(name in refused.hint for name in ESTIMATORS)


@pytest.mark.parametrize("folder", ["", NAME, "/nowhere"])
def test_the_tiny_estimator_needs_a_folder(folder):
    refused = refusal(lambda: load("tiny", folder, CPU))

    assert refused.code == "checkpoint-needed" and "tiny_depth.py" in refused.hint


def test_another_kind_of_estimator_is_named(folders):
    folder = folders("depth-anything")

    refused = refusal(lambda: load("dpt", str(folder), CPU))

    found, needed = "DepthAnythingForDepthEstimation", "DPTForDepthEstimation"
    assert refused.code == "checkpoint-wrong-class"
    assert refused.sentence == f"The checkpoint {folder} is of the class {found}, but {needed} is needed."
    assert "--estimator" in refused.hint


def test_who_asks_for_metres_does_not_get_disparity(folders):
    refused = refusal(lambda: load("depth-anything-metric", str(folders("depth-anything")), CPU))

    assert refused.code == "estimator-not-metric"
    assert load("depth-anything-metric", str(folders("depth-anything-metric")), CPU).kind == "metric"


@pytest.mark.parametrize("name", ["tiny", "depth-pro"])
def test_a_network_that_estimates_no_depth(tmp_path, name):
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ViTForImageClassification(config).save_pretrained(tmp_path)

    refused = refusal(lambda: load(name, str(tmp_path), CPU))

    assert refused.code == "checkpoint-wrong-class" and "ViTForImageClassification" in refused.sentence


def test_a_video_model_s_checkpoint(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableVideoDiffusionPipeline"}')

    refused = refusal(lambda: load("dpt", str(tmp_path), CPU))

    assert refused.code == "checkpoint-wrong-class" and "StableVideoDiffusionPipeline" in refused.sentence


def test_a_folder_that_is_no_checkpoint(tmp_path):
    refused = refusal(lambda: load("dpt", str(tmp_path), CPU))

    assert refused.code == "checkpoint-without-config" and str(tmp_path) in refused.sentence


def truncate(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def break_config(folder):
    (folder / "config.json").write_text('{"architectures": ')


def break_preparation(folder):
    (folder / "preprocessor_config.json").write_text("[]")


def say_nonsense(folder):
    change(folder / "preprocessor_config.json", size={"height": "large"}, image_mean=[1, 2])


def divide_by_nothing(folder):
    change(folder / "preprocessor_config.json", rescale_factor=0, image_std="white")


def name_a_backbone(folder):
    change(folder / "config.json", backbone="somebody/backbone", backbone_config=None)


@pytest.mark.parametrize(
    "damage", [truncate, break_config, break_preparation, say_nonsense, divide_by_nothing, name_a_backbone]
)
def test_a_damaged_checkpoint(copy_of, damage):
    folder = copy_of("depth-anything")
    damage(folder)

    refused = refusal(lambda: tiny(folder))

    assert refused.code == "checkpoint-damaged" and str(folder) in refused.sentence
    assert refused.hint == "Put a complete copy of the checkpoint in its place."


def test_without_a_description_of_its_pictures_a_network_is_not_used(copy_of):
    folder = copy_of("dpt")
    (folder / "preprocessor_config.json").unlink()

    refused = refusal(lambda: tiny(folder))

    assert refused.code == "checkpoint-lacks-component" and "preprocessor_config.json" in refused.sentence


def test_weights_only_in_a_pickle_are_not_read(copy_of):
    folder = copy_of("dpt")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    refused = refusal(lambda: tiny(folder))

    assert refused.sentence == f"The checkpoint {folder} has no weights in safetensors."


@pytest.mark.parametrize("kind", ["dpt", "depth-anything", "zoedepth"])
def test_a_configuration_cannot_choose_compiled_code(copy_of, kind):
    folder = copy_of(kind)
    config = json.loads((folder / "config.json").read_text()) | {"_attn_implementation": "somebody/kernel"}
    if config.get("backbone_config"):
        config["backbone_config"]["_attn_implementation"] = "somebody/kernel"
    (folder / "config.json").write_text(json.dumps(config))

    network = tiny(folder)._network

    attends = getattr(network, "backbone", None) or network
    assert attends.config._attn_implementation == "sdpa"


def test_the_fingerprint_tells_weights_and_preparations_apart(copy_of):
    folder = copy_of("dpt")
    before = locate_network(str(folder)).fingerprint
    (folder / "README.md").write_text("Lovely.")
    assert locate_network(str(folder)).fingerprint == before

    change(folder / "preprocessor_config.json", image_mean=[0.4, 0.4, 0.4])
    second = locate_network(str(folder)).fingerprint
    (folder / "model.safetensors").touch()

    assert len({before, second, locate_network(str(folder)).fingerprint}) == 3


# A hub

FETCH = """
import json, sys
from cyclorama.backend.models.checkpoints import locate_network
from cyclorama.bridge.errors import CycloramaError

told = []
try:
    found = locate_network(sys.argv[1], lambda done, total: told.append((done, total)))
    answer = {"name": found.name, "licence": found.licence, "folder": str(found.folder), "told": told[-1:]}
except CycloramaError as error:
    answer = {"code": error.code, "sentence": error.sentence}
print(json.dumps(answer))
"""


@pytest.fixture
def hub(folders):
    original = folders("depth-anything")
    files = {path.name: path.read_bytes() for path in original.iterdir()}
    files |= {
        "pytorch_model.bin": b"code",
        "trainer_state.json": b"{}",
        "onnx/model.onnx": b"",
        "test.safetensors": b"",
    }
    server = HubServer(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(home, hub, **environment):
    """What ``locate_network`` says in a process of its own: the hub's client reads its environment when imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}" if hub else "http://127.0.0.1:9"
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **environment}
    asked = [sys.executable, "-c", FETCH, NAME]
    told = subprocess.run(asked, env=kept | settings, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(told.stdout.splitlines()[-1])


def test_an_estimator_is_fetched_once_and_only_what_is_needed(hub, tmp_path):
    first = fetch(tmp_path, hub)
    fetched = sorted(hub.fetched)
    again = fetch(tmp_path, None, HF_HUB_OFFLINE="1")

    assert (first["name"], first["licence"]) == (NAME, "cc0-1.0")
    assert fetched == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    total = sum(len(hub.files[file]) for file in fetched)
    assert first["told"] == [[total, total]]
    assert again == first | {"told": []}
    assert load("depth-anything", first["folder"], CPU).kind == "disparity"


def test_a_snapshot_that_lacks_something_is_not_used(hub, tmp_path):
    preparation = hub.files.pop("preprocessor_config.json")
    fetch(tmp_path, hub)
    hub.files["preprocessor_config.json"] = preparation

    assert fetch(tmp_path, None)["code"] == "checkpoint-offline"


def test_a_pipeline_on_the_hub_is_no_estimator(hub, tmp_path):
    hub.files = {"model_index.json": b'{"_class_name": "WanPipeline"}', "unet/config.json": b"{}"}

    refused = fetch(tmp_path, hub)

    assert refused["code"] == "checkpoint-wrong-class" and "WanPipeline" in refused["sentence"]


def test_a_checkpoint_is_its_own_component(folders):
    assert locate_network(str(folders("dpt"))).config(WHOLE)["model_type"] == "dpt"
    with pytest.raises(CycloramaError):
        locate_network(str(folders("dpt"))).config("unet")
