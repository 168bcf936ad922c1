"""How much memory a computation will take, how much there is, and how much is in use.

The user gives a budget; how much is computed at once is chosen to fit into it. To know beforehand what a model takes,
it is run without computing anything: torch's fake tensors have shapes, types and storages, but no numbers.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SHARE_OF_FREE = {"cuda": 0.85, "cpu": 0.70}
"""Of the memory that is free, what an automatic budget takes; on a CPU the artist's other programs need some."""

SCRATCH_BYTES = {"cuda": 256 << 20, "cpu": 32 << 20}
"""What convolution and matrix libraries take for themselves beside tensors. 20 to 30 MiB were measured on a CPU; for
CUDA it is a guess: a workspace of 32 MiB for each cuBLAS handle and those that cuDNN's heuristics choose."""

_SAMPLING_SECONDS = 0.02

_M_MMAP_THRESHOLD = -3
"""In glibc's malloc.h."""

_KEPT_AT_MOST = 1 << 20
"""Freed blocks larger than this go back to the system at once."""


def activation_bytes(call: Callable[[], object], *modules: nn.Module) -> int:
    """The most bytes of tensors made by ``call`` that are alive at once. Nothing is computed, no memory taken.

    Tensors from outside (weights, inputs made before) do not count. Libraries' scratch memory is not seen
    (``SCRATCH_BYTES``). All tensors have to be on one device, it does not matter which: the bytes are the same.

    Args:
        call: runs the model on tensors of the right shape and type; it may not look at their values.
        modules: the networks it runs; whatever happens to their weights inside is undone.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with torch.no_grad(), _weights_kept(modules), fake, _FusedAttention(), _LiveStorages() as storages:
        call()
    return storages.peak_bytes


def weights_bytes(*modules: nn.Module) -> int:
    """Bytes of the parameters and buffers of ``modules``; shared ones count once."""
    tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    return sum(storage.nbytes() for storage in {tensor.untyped_storage() for tensor in tensors})


@dataclass(frozen=True)
class Budget:
    """The memory that cyclorama may have in use at its peak.

    Attributes:
        bytes: on a GPU of the device's memory, for tensors; on a CPU of the main memory, for the whole process.
        device: whose memory.
    """

    bytes: int
    device: torch.device

    @classmethod
    def of(cls, asked_bytes: int, device: torch.device) -> Budget:
        """The user's budget; 0: what is in use plus ``SHARE_OF_FREE`` of what is free.

        On a CPU freed memory goes back to the system at once from now on; else a process
        gets up to twice as large as its tensors.
        """
        if device.type == "cpu":
            _give_freed_memory_back()
        if asked_bytes:
            return cls(asked_bytes, device)
        return cls(memory_in_use(device) + int(SHARE_OF_FREE[device.type] * _free_bytes(device)), device)

    def left(self) -> int:
        """Bytes left for tensors, libraries' scratch taken off; negative when more than the budget is in use."""
        return self.bytes - memory_in_use(self.device) - SCRATCH_BYTES[self.device.type]


def memory_in_use(device: torch.device) -> int:
    """Bytes in use now: by tensors on a GPU; by the process (resident) on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return psutil.virtual_memory().available


def _give_freed_memory_back() -> None:
    # glibc keeps freed blocks of up to 32 MiB for reuse, once it has seen such blocks freed, and they lie scattered. A
    # threshold that is set stays where it is.
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and keeps nothing
        if mallopt:
            mallopt(_M_MMAP_THRESHOLD, _KEPT_AT_MOST)


class Watch:
    """What ``watch`` has seen."""

    def __init__(self, device: torch.device):
        self._device = device
        self._seen = memory_in_use(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def look(self) -> None:
        """Take the memory in use at this moment into account."""
        on_cuda = self._device.type == "cuda"
        now = torch.cuda.max_memory_allocated(self._device) if on_cuda else memory_in_use(self._device)
        self._seen = max(self._seen, now)

    @property
    def peak_bytes(self) -> int:
        """The most ``memory_in_use`` since the watch began."""
        self.look()
        return self._seen


@contextmanager
def watch(device: torch.device) -> Iterator[Watch]:
    """Follow the peak of the memory in use: exact on a GPU; on a CPU by a look every 20 ms (may miss shorter peaks)."""
    watched, stop = Watch(device), threading.Event()

    def look_again_and_again() -> None:
        while not stop.wait(_SAMPLING_SECONDS):
            watched.look()

    sampler = threading.Thread(target=look_again_and_again, name="memory watch", daemon=True)
    sampler.start()
    try:
        yield watched
    finally:
        watched.look()
        stop.set()
        sampler.join()


def shots_at_once(bytes_for: Callable[[int], int], available: int, most: int) -> int:
    """The largest number of shots up to ``most`` whose ``bytes_for`` are ``available``; 0: not even one's are.

    ``bytes_for`` grows by about the same for every shot.
    """
    first = bytes_for(1)
    if first > available:
        return 0
    each = bytes_for(2) - first if most > 1 else first
    shots = min(most, 1 + (available - first) // max(each, 1))
    while shots > 2 and bytes_for(shots) > available:
        shots -= 1
    return shots


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation failed because memory ran out, on whatever device."""
    says = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in says)
    )


class _LiveStorages(TorchDispatchMode):
    """Counts the bytes of tensors' storages that are made while it is entered, as long as they live."""

    def __init__(self):
        super().__init__()
        self.peak_bytes = 0
        self._live_bytes = 0
        self._alive: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, tuple) else (result,)
        for made, returned in zip(results, func._schema.returns, strict=False):
            if returned.alias_info is None:  # else a view of something, or changed in place
                for tensor in tree_leaves(made):
                    if isinstance(tensor, Tensor):
                        self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def freed(_: weakref.ref) -> None:
            del self._alive[key]
            self._live_bytes -= size

        self._alive[key] = weakref.ref(storage, freed)
        self._live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)


class _FusedAttention(TorchFunctionMode):
    """On a GPU attention takes its output alone, for all sizes that our models have.

    Torch chooses the kernel by asking the GPU; for fake tensors, where none is, it would take the one that writes the
    whole matrix of weights. On a CPU it chooses as for real tensors.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            query, value = (args[0], args[2]) if len(args) > 2 else (kwargs["query"], kwargs["value"])
            if query.device.type != "cpu":
                return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **kwargs)


@contextmanager
def _weights_kept(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Put the weights back that something (a hook that moves them, say) replaced by fake ones."""
    tables: list[dict] = []
    for module in modules:
        for part in module.modules():
            tables += [part._parameters, part._buffers]
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, kept in zip(tables, before, strict=True):
            table.clear()
            table.update(kept)
