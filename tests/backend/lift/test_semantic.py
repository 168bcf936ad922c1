"""The semantic loss compares what its network says of views, moves the disturbed ones, and says so if it has none."""

import json
import shutil
import threading

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, interpolate
from transformers import BitImageProcessorPil, Dinov2Model, ViTImageProcessorPil, ViTModel

from cyclorama.backend.lift.semantic import SemanticLoss
from cyclorama.backend.models.registry import FEATURES, FREE_LICENCES, licence_of

from ...tiny_features import make_features
from ..models.test_checkpoints import NAME, HubServer, refusal
from .test_perceptual import fetch

CPU = torch.device("cpu")
KINDS = ("dinov2", "dino")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("features")
    return {kind: make_features(root / kind, kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def loss(folders, kind):
    return SemanticLoss(CPU, kind, str(folders[kind]))


def pixels(size, seed=1):
    """8-bit pictures, which are what the networks' own image processors read."""
    return np.random.default_rng(seed).integers(0, 256, (3, size, size, 3), np.uint8)


def views(size, seed=1):
    return torch.from_numpy(pixels(size, seed)) / 255


def expected_tokens(folder, kind, size):
    """By transformers' own reader, told to crop nothing."""
    if kind == "dinov2":
        reader, network = BitImageProcessorPil.from_pretrained(folder), Dinov2Model.from_pretrained(folder)
        how = {"do_center_crop": False, "size": {"height": 56, "width": 56}}
    else:
        reader, network = ViTImageProcessorPil.from_pretrained(folder), ViTModel.from_pretrained(folder)
        how = {}
    with torch.no_grad():
        return network.eval()(**reader(list(pixels(size)), return_tensors="pt", **how)).last_hidden_state[:, 0]


def test_its_tokens_are_those_of_transformers_own_reader_and_network(folders, kind, loss):
    expected = expected_tokens(folders[kind], kind, loss.size)

    found = loss.tokens(views(loss.size))

    assert loss.size == {"dinov2": 56, "dino": 32}[kind]
    assert found.dtype == torch.float32 and float((found.norm(dim=1) - 1).abs().max()) < 1e-6
    assert float((cosine_similarity(found, expected) - 1).abs().max()) < 1e-6
    assert float(cosine_similarity(expected[:1], expected[1:]).max()) < 0.99  # they tell pictures apart


def test_the_loss_is_one_minus_the_cosine_of_the_tokens(folders, kind, loss):
    tokens = expected_tokens(folders[kind], kind, loss.size)
    others = tokens[[1, 2, 0]]

    found = loss(views(loss.size), views(loss.size)[[1, 2, 0]])

    assert found.item() == pytest.approx((1 - cosine_similarity(tokens, others)).mean().item(), rel=1e-4)
    assert loss(views(loss.size), views(loss.size)).item() == 0


def test_larger_views_are_seen_whole_and_smoothed(kind, loss):
    """None of a view is cropped away, and no pixel of it is skipped."""
    small = views(8).permute(0, 3, 1, 2)
    near, far = (
        interpolate(small, (size, size), mode="bicubic").clamp(0, 1).permute(0, 2, 3, 1)
        for size in (loss.size, 4 * loss.size)
    )
    assert loss(near, far).item() < 0.05 * loss(near, near.flip(2)).item()

    seen = far.clone().requires_grad_(True)
    loss(near.flip(2), seen).backward()
    assert float((seen.grad.abs().sum(-1) > 0).double().mean()) > 0.95


def test_only_the_disturbed_view_is_moved(loss):
    still, moved = views(loss.size).requires_grad_(True), views(loss.size, seed=2).requires_grad_(True)

    loss(still, moved).backward()

    assert still.grad is None and bool(moved.grad.isfinite().all()) and float(moved.grad.abs().max()) > 0
    assert not any(weight.requires_grad or weight.grad is not None for weight in loss._network.parameters())


def test_its_gradient_makes_the_views_alike(loss):
    still, moved = views(loss.size), views(loss.size, seed=2).requires_grad_(True)
    optimiser = torch.optim.Adam([moved], lr=0.01)
    before = loss(still, moved).item()

    for _ in range(20):
        optimiser.zero_grad()
        loss(still, moved).backward()
        optimiser.step()

    assert loss(still, moved).item() < 0.5 * before


def test_light_beyond_white_is_seen_as_white(loss):
    bright = views(loss.size) + 0.5

    assert torch.equal(loss.tokens(bright), loss.tokens(bright.clamp(max=1)))


def test_half_precision_says_the_same_but_for_its_rounding(folders, kind, loss):
    """Also of the gradient, although that is smaller than half precision's smallest numbers."""
    half = SemanticLoss(CPU, kind, str(folders[kind]), dtype=torch.float16)
    values, slopes = [], []
    for precise in (loss, half):
        moved = views(loss.size, seed=2).requires_grad_(True)
        value = 1e-4 * precise(views(loss.size), moved)
        value.backward()
        values.append(value.item())
        slopes.append(moved.grad)

    assert values[1] == pytest.approx(values[0], rel=0.02)
    assert float(slopes[0].abs().median()) < 2**-20
    assert 0 < float((slopes[1] - slopes[0]).norm()) < 0.1 * float(slopes[0].norm())
    assert half.fingerprint != loss.fingerprint


# Its network


def test_it_names_its_network_and_licence(kind, loss):
    assert (loss.name, loss.licence) == (kind, "cc0-1.0")
    assert licence_of(FEATURES[kind].checkpoint) in FREE_LICENCES


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half of it"), "incomplete"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "safetensors"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json"),
        (lambda folder: change(folder / "preprocessor_config.json", image_mean=[1, 2]), "cannot be understood"),
        (lambda folder: change(folder / "config.json", architectures=["CLIPModel"]), "CLIPModel"),
        (shutil.rmtree, "neither a folder"),
    ],
    ids=["truncated", "a pickle", "no preparation", "nonsense", "another network", "nothing"],
)
def test_a_network_that_cannot_be_had_is_refused_with_a_way_on(folders, tmp_path, damage, reason):
    copy = shutil.copytree(folders["dinov2"], tmp_path / "copy")
    damage(copy)

    refused = refusal(lambda: SemanticLoss(CPU, checkpoint=str(copy)))

    assert refused.code == "loss-without-network"
    assert "semantic loss" in refused.sentence and str(copy) in refused.sentence and reason in refused.sentence
    assert refused.hint.endswith("To go on without that loss, choose 'none' as its checkpoint.")
    assert "--" not in refused.hint


def test_its_network_is_fetched_by_its_id(folders, tmp_path):
    hub = HubServer({path.name: path.read_bytes() for path in folders["dinov2"].iterdir()})
    threading.Thread(target=hub.serve_forever, daemon=True).start()

    found = fetch(tmp_path, hub, "semantic", "SemanticLoss")
    hub.shutdown()
    hub.server_close()

    assert (found["name"], found["licence"]) == (NAME, "cc0-1.0")
    assert sorted(hub.fetched) == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
