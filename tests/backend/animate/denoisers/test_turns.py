"""Networks take turns on the device. "meta" is one that every machine has; nothing can be copied back from it."""

import pytest
import torch
from torch import nn

from cyclorama.backend.animate.denoisers.turns import Turns


class Network(nn.Module):
    """With a weight that two of its parts share, and a buffer that it makes anew where it computes."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("positions", torch.arange(float(width)))

    def forward(self, x):
        self.positions = self.positions.to(x.device, copy=True)
        return self.norm(self.second(self.first(x))) + self.positions


class MovedInPlace(Network):
    """Moves as torch moves to a GPU: parameters stay the same objects with other contents, buffers become others."""

    def to(self, *args, **kwargs):
        return self._apply(torch.clone)


@pytest.fixture(params=[Network, MovedInPlace])
def networks(request):
    return {name: request.param(width).eval().requires_grad_(False) for name, width in [("large", 8), ("small", 4)]}


def tensors(network):
    return {**dict(network.named_parameters(remove_duplicate=False)), **dict(network.named_buffers())}


def test_weights_come_back_from_the_device_without_being_copied(networks):
    before = {name: (weight, weight.data_ptr(), weight.clone()) for name, weight in tensors(networks["large"]).items()}
    turns = Turns(networks, {}, torch.device("meta"))

    network = turns.bring("large")
    network(torch.zeros(1, 8, device=network.norm.weight.device))
    assert all(weight.data_ptr() != before[name][1] for name, weight in tensors(network).items())
    turns.release()

    after = tensors(networks["large"])
    assert after.keys() == before.keys()
    for name, (weight, address, content) in before.items():
        assert after[name] is weight and weight.data_ptr() == address
        torch.testing.assert_close(weight, content, rtol=0, atol=0)
    assert networks["large"].first.weight is networks["large"].second.weight


@pytest.mark.parametrize("networks", [Network], indirect=True)
def test_only_one_network_lies_on_the_device(networks):
    turns = Turns(networks, {}, torch.device("meta"))

    def there():
        return [name for name, network in networks.items() if all(part.is_meta for part in tensors(network).values())]

    turns.bring("large")
    assert there() == ["large"]
    turns.bring("small")
    assert there() == ["small"]
    turns.put_away("large")
    assert there() == ["small"]
    turns.put_away("small")
    assert there() == []


@pytest.mark.parametrize("networks", [Network], indirect=True)
def test_a_network_that_did_not_fit_comes_back_whole(networks, monkeypatch):
    moved = []

    def refuse(module, *args, **kwargs):
        if moved:
            raise torch.OutOfMemoryError("CUDA out of memory")
        moved.append(module)
        return whole(module, *args, **kwargs)

    whole = nn.Linear._apply
    monkeypatch.setattr(nn.Linear, "_apply", refuse)
    turns = Turns(networks, {}, torch.device("meta"))

    with pytest.raises(torch.OutOfMemoryError):
        turns.bring("large")
    turns.release()

    assert not any(weight.is_meta for weight in tensors(networks["large"]).values())
