"""LPIPS is Zhang's, sees what an eye sees, and says so when its network cannot be had."""

import json
import os
import shutil
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from cyclorama.backend.lift.perceptual import CHANNELS, HEADS, HEADS_LICENCE, PerceptualLoss, heads
from cyclorama.backend.models.registry import FEATURES, FREE_LICENCES, licence_of

from ...tiny_features import make_features
from ..models.test_checkpoints import NAME, HubServer, refusal

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_features(tmp_path_factory.mktemp("features") / "vgg16", "vgg16")


@pytest.fixture(scope="module")
def lpips(folder):
    return PerceptualLoss(CPU, str(folder))


@pytest.fixture(scope="module")
def pictures():
    """Two views with something to see at every scale."""
    chance = torch.Generator().manual_seed(0)
    scales = [torch.rand(2, 3, size, size, generator=chance) for size in (4, 8, 16, 32)]
    summed = torch.stack([interpolate(scale, (32, 32), mode="bicubic") for scale in scales]).mean(0)
    return summed.clamp(0, 1).permute(0, 2, 3, 1)


def blurred(pictures):
    return interpolate(avg_pool2d(pictures.permute(0, 3, 1, 2), 4), scale_factor=4).permute(0, 2, 3, 1)


def test_the_heads_are_one_for_each_stage_and_never_reward_a_difference():
    assert [head.shape for head in heads()] == [(channels,) for channels in CHANNELS]
    assert all(bool((head >= 0).all()) and float(head.max()) > 0.1 for head in heads())
    assert HEADS.stat().st_size < 8000
    text = HEADS.with_name("lpips_vgg.LICENSE.txt").read_text()
    assert "Redistribution and use" in text and "Zhang" in text and HEADS_LICENCE in FREE_LICENCES


def straightforward(weights, first, second):
    """As in the paper and its scaling layer: pictures in -1..1, a layer after the other, features as directions."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    layers = ["", "", "pool", "", "", "pool", "", "", "", "pool", "", "", "", "pool", "", "", ""]
    total = 0.0
    seen = [(((2 * picture - 1) - shift) / scale).permute(2, 0, 1)[None].double() for picture in (first, second)]
    number, stage = 0, 0
    for index, layer in enumerate(layers):
        if layer == "pool":
            seen = [nn.MaxPool2d(2)(picture) for picture in seen]
            number += 1
            continue
        weight, bias = (weights[f"features.{number}.{kind}"].double() for kind in ("weight", "bias"))
        seen = [conv2d(picture, weight, bias, padding=1).relu() for picture in seen]
        number += 2
        if index + 1 == len(layers) or layers[index + 1] == "pool":
            units = [picture[0] / picture[0].norm(dim=0) for picture in seen]
            total += float(((units[0] - units[1]) ** 2 * heads()[stage][:, None, None]).sum(0).mean())
            stage += 1
    return total


def test_it_is_what_the_paper_s_formula_says_of_the_network(folder, lpips, pictures):
    weights = load_file(folder / "model.safetensors")
    other = blurred(pictures)
    expected = [straightforward(weights, *pair) for pair in zip(pictures, other, strict=True)]

    assert min(expected) > 0.01
    assert lpips(pictures, other).item() == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_equal_pictures_do_not_differ_and_more_blur_differs_more(lpips, pictures):
    slightly = 0.7 * pictures + 0.3 * blurred(pictures)

    assert lpips(pictures, pictures).item() == 0
    assert 0 < lpips(slightly, pictures) < lpips(blurred(pictures), pictures)


def test_its_gradient_leads_to_the_picture(lpips, pictures):
    rendered = blurred(pictures).requires_grad_(True)
    optimiser = torch.optim.Adam([rendered], lr=0.01)
    before = lpips(rendered, pictures).item()

    for _ in range(8):
        optimiser.zero_grad()
        lpips(rendered, pictures).backward()
        assert rendered.grad is not None and bool(rendered.grad.isfinite().all())
        optimiser.step()

    assert lpips(rendered, pictures).item() < 0.7 * before


def test_its_gradient_is_a_number_where_the_network_sees_nothing(folder, pictures):
    blind = PerceptualLoss(CPU, str(folder))
    layers: Any = blind._network.features
    layers["28"].bias.fill_(-1e6)
    layers["2"].bias.sub_(2)  # some pixels have none of the first stage's features left

    for rendered, target in [(pictures, pictures), (blurred(pictures), pictures), (pictures * 0, pictures)]:
        rendered = rendered.clone().requires_grad_(True)
        value = blind(rendered, target)
        value.backward()
        assert bool(value.isfinite()) and bool(rendered.grad.isfinite().all())


def test_neither_the_target_nor_the_network_is_fitted(lpips, pictures):
    target = pictures.clone().requires_grad_(True)

    lpips(blurred(pictures).requires_grad_(True), target).backward()

    assert target.grad is None
    assert not any(weight.requires_grad or weight.grad is not None for weight in lpips._network.parameters())


def test_light_beyond_white_is_seen_as_white(lpips, pictures):
    assert lpips(pictures + 0.5, pictures) == lpips((pictures + 0.5).clamp(max=1), pictures)


def test_half_precision_says_the_same_but_for_its_rounding(folder, lpips, pictures):
    """Also of the gradient, although that is smaller than half precision's smallest numbers."""
    half = PerceptualLoss(CPU, str(folder), dtype=torch.float16)
    values, slopes = [], []
    for loss in (lpips, half):
        rendered = (0.9 * pictures + 0.1 * blurred(pictures)).requires_grad_(True)
        value = 1e-3 * loss(rendered, pictures)
        value.backward()
        values.append(value.item())
        slopes.append(rendered.grad)

    assert values[1] == pytest.approx(values[0], rel=0.02)
    assert float(slopes[0].abs().median()) < 2**-24
    assert float((slopes[1] - slopes[0]).norm()) < 0.1 * float(slopes[0].norm())
    assert half.fingerprint != lpips.fingerprint


# Its network


def test_it_names_its_network_and_licence(lpips):
    assert (lpips.name, lpips.licence) == ("vgg16", "cc0-1.0")
    assert licence_of(FEATURES["vgg16"].checkpoint) in FREE_LICENCES


def truncate(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def drop_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["features.28.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def reshape_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"features.0.weight": torch.zeros(64, 1, 3, 3)}, folder / "model.safetensors", {"format": "pt"})


def keep_a_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def be_another_network(folder):
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text('{"architecture": "resnet18"}')


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "incomplete"),
        (drop_a_weight, "features.28.bias"),
        (reshape_a_weight, "features.0.weight"),
        (keep_a_pickle, "safetensors"),
        (be_another_network, "resnet18"),
        (shutil.rmtree, "neither a folder"),
    ],
)
def test_a_network_that_cannot_be_had_is_refused_with_a_way_on(folder, tmp_path, damage, reason):
    copy = shutil.copytree(folder, tmp_path / "copy")
    damage(copy)

    refused = refusal(lambda: PerceptualLoss(CPU, str(copy)))

    assert refused.code == "loss-without-network"
    assert "perceptual loss" in refused.sentence and str(copy) in refused.sentence and reason in refused.sentence
    assert refused.hint.endswith("To go on without that loss, choose 'none' as its checkpoint.")
    assert "--" not in refused.hint


FETCH = """
import json, sys, torch
from cyclorama.backend.lift.{module} import {loss}
from cyclorama.bridge.errors import CycloramaError

try:
    found = {loss}(torch.device("cpu"), checkpoint=sys.argv[1])
    answer = {{"name": found.name, "licence": found.licence, "fingerprint": found.fingerprint}}
except CycloramaError as error:
    answer = {{"code": error.code, "sentence": error.sentence}}
print(json.dumps(answer))
"""


def fetch(home, hub, module="perceptual", loss="PerceptualLoss", **environment):
    """What a loss says in a process of its own: the hub's client reads its environment when it is imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}" if hub else "http://127.0.0.1:9"
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **environment}
    asked = [sys.executable, "-c", FETCH.format(module=module, loss=loss), NAME]
    told = subprocess.run(asked, env=kept | settings, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(told.stdout.splitlines()[-1])


def test_its_network_is_fetched_once_by_its_id(folder, tmp_path):
    """Although timm keeps no ``preprocessor_config.json`` beside it."""
    hub = HubServer({path.name: path.read_bytes() for path in folder.iterdir()} | {"pytorch_model.bin": b"code"})
    threading.Thread(target=hub.serve_forever, daemon=True).start()

    first = fetch(tmp_path, hub)
    hub.shutdown()
    hub.server_close()

    assert (first["name"], first["licence"]) == (NAME, "cc0-1.0")
    assert sorted(hub.fetched) == ["README.md", "config.json", "model.safetensors"]
    assert fetch(tmp_path, None, HF_HUB_OFFLINE="1") == first


def test_without_a_network_connection_it_says_which_loss_goes_without(tmp_path):
    refused = fetch(tmp_path, None)

    assert refused["code"] == "loss-without-network"
    assert refused["sentence"] == (
        f"The perceptual loss has no network to compare pictures by: {NAME} is not on this disk, "
        "and the hub cannot be reached."
    )
