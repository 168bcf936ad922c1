"""Networks that take turns on the device: one of them lies there at a time, whole or block by block.

Weights never change, so they stay in main memory, too: to take a network from the device nothing is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.hooks.group_offloading import apply_group_offloading
from diffusers.hooks.hooks import HookRegistry
from torch import Tensor, nn

from ...models.memory import weights_bytes

GROUP_OFFLOADING_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")


class Turns:
    """Whose turn it is to lie on the device.

    Args:
        networks: by name, all on the CPU.
        stacks: of the large ones among them, the module that holds the list of blocks.
        device: where they compute; with the CPU nothing ever moves.
    """

    def __init__(self, networks: Mapping[str, Any], stacks: Mapping[str, nn.Module], device: torch.device):
        self._networks, self._stacks, self._device = networks, stacks, device
        self._placement, self._in_use = "whole", ""
        self._at_home: list[_Place] = []

    def bring(self, name: str) -> Any:
        """The network, laid out on the device; the one that was there leaves it first."""
        network = self._networks[name]
        if self._in_use != name:
            self.release()
            self._in_use = name
            if self._placement == "blocks" and name in self._stacks:
                self._lay_in_blocks(self._stacks[name])
            else:
                self._at_home = [_Place.of(module) for module in network.modules()]
                network.to(self._device)
        return network

    def put_away(self, name: str) -> Any:
        """The network, on the CPU."""
        if self._in_use == name:
            self.release()
        return self._networks[name]

    def place(self, placement: str) -> None:
        """From the next ``bring`` on; one of ``Denoiser.placements``."""
        self.release()
        self._placement = placement

    def release(self) -> None:
        """Nothing lies on the device after it."""
        if not self._in_use:
            return
        name, self._in_use = self._in_use, ""
        if name in self._stacks:
            hooks = HookRegistry.check_if_exists_or_initialize(self._stacks[name])
            for hook in GROUP_OFFLOADING_HOOKS:
                hooks.remove_hook(hook, recurse=True)
        if self._at_home:
            for place in self._at_home:
                place.put_back()
            self._at_home = []
        else:
            self._networks[name].to("cpu")
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def weight_bytes(self, name: str) -> int:
        """What weights take on the device while it is that network's turn; on a CPU those of all networks."""
        if self._device.type == "cpu":
            return weights_bytes(*self._networks.values())
        whole = weights_bytes(self._networks[name])
        if self._placement != "blocks" or name not in self._stacks:
            return whole
        blocks = [weights_bytes(block) for block in _blocks(self._stacks[name])]
        return whole - sum(blocks) + 2 * max(blocks)  # one computes, the next one comes

    def _lay_in_blocks(self, stack: nn.Module) -> None:
        apply_group_offloading(
            stack,
            onload_device=self._device,
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=self._device.type == "cuda",
            low_cpu_mem_usage=True,  # else all weights would be pinned, besides the copies that are in memory already
        )


@dataclass(frozen=True)
class _Place:
    """The weights of one module (of its own, not of those in it) as they lie now.

    A move to a device can put other tensors in their place (buffers) or give them another content (parameters); both
    are undone.
    """

    tables: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    contents: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, module: nn.Module) -> _Place:
        tables = module._parameters, module._buffers
        weights = [weight for table in tables for weight in table.values() if weight is not None]
        return cls(tuple((table, dict(table)) for table in tables), tuple((weight, weight.data) for weight in weights))

    def put_back(self) -> None:
        for table, before in self.tables:
            table.clear()
            table.update(before)
        for weight, content in self.contents:
            weight.data = content


def _blocks(stack: nn.Module) -> list[nn.Module]:
    return [block for blocks in stack.children() if isinstance(blocks, nn.ModuleList) for block in blocks]
