"""Diffusion checkpoints in diffusers' folder layout: found on this disk or fetched from the hub, and loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...bridge.errors import CycloramaError
from .layout import (
    CONFIGS,
    WEIGHTS,
    config_file,
    fingerprint,
    how_to_mend,
    index_components,
    is_complete,
    missing_shards,
    read_json,
    wanted_files,
    weight_files,
)
from .memory import is_out_of_memory
from .registry import licence_of

if TYPE_CHECKING:
    import torch

Report = Callable[[int, int], None]
"""Told how many of how many bytes have been fetched; may raise to stop."""

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

PATIENCE_SECONDS = 10.0
"""For the hub's first answer. Its client would wait for ever in a network that swallows what is sent."""


@dataclass(frozen=True)
class Checkpoint:
    """A diffusion checkpoint in diffusers' folder layout, on this disk.

    Attributes:
        folder: that holds ``model_index.json``.
        address: hub id or path of the folder, as the user gave it: for errors.
        name: for others to read: hub id or the folder's own name, without the folders it lies in.
        licence: SPDX id or the licence's name, "" when neither model card nor registry says.
    """

    folder: Path
    address: str
    name: str
    licence: str

    @property
    def fingerprint(self) -> str:
        """Tells its weights and settings from others, without reading the weights."""
        return fingerprint(self.folder)

    def index(self) -> dict[str, Any]:
        """``model_index.json``: component -> [library, class]. Raises ``CycloramaError`` ("checkpoint-damaged")."""
        return read_json(self.folder / "model_index.json")

    def has(self, component: str) -> bool:
        """Whether the checkpoint has that component, on this disk."""
        return config_file(self.folder / component) is not None

    def config(self, component: str) -> dict[str, Any]:
        """The component's configuration.

        Raises ``CycloramaError`` ("checkpoint-lacks-component", "checkpoint-damaged").
        """
        file = config_file(self.folder / component)
        if file is None:
            raise CycloramaError(
                "checkpoint-lacks-component",
                f"The checkpoint {self.address} has no {component}.",
                f"It has {_listed(self._components())}. Is it meant for another --model?",
            )
        return read_json(file)

    def model(self, component: str, cls: type, dtype: torch.dtype) -> Any:
        """A network of the checkpoint, on the CPU, all of it in memory, for inference only.

        Args:
            component: "unet", "vae" ...
            cls: a diffusers ``ModelMixin`` or a transformers ``PreTrainedModel``; what the component has to be.
            dtype: of its weights; those that the class keeps in float32 stay so.

        Raises ``CycloramaError``: "checkpoint-lacks-component", "checkpoint-wrong-class", "checkpoint-damaged".
        """
        self._check_class(component, cls)
        half = self._check_weights(component)
        _silence_progress_bars()
        try:
            network, loading = cls.from_pretrained(
                self.folder / component,
                variant="fp16" if half else None,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=dtype,
                **_own_attention(cls),
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:  # as the libraries do
            if is_out_of_memory(error):
                raise
            raise self._damaged(component, _first_sentence(error)) from error
        if missing := sorted(loading["missing_keys"]):
            raise self._damaged(component, f"it lacks {len(missing)} weights, among them {missing[0]}")
        _read_into_memory(network)
        return network.eval().requires_grad_(False)

    def scheduler(self) -> Any:
        """The diffusers scheduler of the class that the checkpoint names.

        Raises ``CycloramaError`` ("checkpoint-lacks-component", "checkpoint-wrong-class", "checkpoint-damaged").
        """
        import diffusers
        from diffusers.schedulers.scheduling_utils import SchedulerMixin

        config = self.config("scheduler")
        name = str(config.get("_class_name"))
        cls = getattr(diffusers, name, None)
        if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin)):
            raise self._wrong_class("scheduler", name, "one of diffusers' schedulers")
        try:
            return cls.from_config(config)  # pyright: ignore[reportAttributeAccessIssue] (all of them have it)
        except (ValueError, TypeError, NotImplementedError, ImportError) as error:
            raise self._damaged("scheduler", _first_sentence(error)) from error

    def tokenizer(self, component: str = "tokenizer") -> Any:
        """The transformers tokenizer.

        Raises ``CycloramaError``: "checkpoint-lacks-component", "checkpoint-runs-code", "checkpoint-damaged".
        """
        from transformers import AutoTokenizer

        return self._processor(AutoTokenizer, component)

    def image_processor(self, component: str = "image_processor") -> Any:
        """The transformers image processor. Raises as ``tokenizer`` does."""
        from transformers import AutoImageProcessor

        return self._processor(AutoImageProcessor, component)

    def _processor(self, cls: Any, component: str) -> Any:
        self.config(component)
        folder = self.folder / component
        try:
            return cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # whatever a configuration can make of transformers' many classes
            if is_out_of_memory(error):
                raise
            if any("auto_map" in read_json(folder / name) for name in CONFIGS if (folder / name).is_file()):
                raise self._runs_code(component) from error
            raise self._damaged(component, _first_sentence(error)) from error

    def _components(self) -> list[str]:
        return sorted(name for name in index_components(self.index()) if self.has(name))

    def _check_class(self, component: str, cls: type) -> None:
        config = self.config(component)
        named = self.index().get(component)
        found = [config.get("_class_name"), *(config.get("architectures") or [])]
        found += [named[1]] if isinstance(named, list) and len(named) == 2 else []
        found = [name for name in found if name]
        if found and cls.__name__ not in found:
            raise self._wrong_class(component, found[0], cls.__name__)

    def _check_weights(self, component: str) -> bool:
        """Whether the weights to load are the fp16 ones. All files of them have to be there and whole."""
        from safetensors import SafetensorError, safe_open

        files = weight_files(path.name for path in (self.folder / component).iterdir())
        if not any(WEIGHTS.fullmatch(name) for name in files):
            raise CycloramaError(
                "checkpoint-lacks-component",
                f"The checkpoint {self.address} has no weights of its {component} in safetensors.",
                "Weights in .bin or .ckpt files are not read, because such files can run code.",
            )
        if missing := missing_shards(self.folder / component, files):
            raise self._damaged(component, f"{missing[0]} is missing")
        for name in filter(WEIGHTS.fullmatch, files):
            try:
                with safe_open(self.folder / component / name, "pt"):
                    pass
            except (SafetensorError, OSError) as error:
                raise self._damaged(component, f"{name} is incomplete or no safetensors file") from error
        return any(".fp16" in name for name in files)

    def _damaged(self, component: str, reason: str) -> CycloramaError:
        return CycloramaError(
            "checkpoint-damaged",
            f"The {component} of the checkpoint {self.address} cannot be loaded: {reason}.",
            how_to_mend(self.folder),
        )

    def _runs_code(self, component: str) -> CycloramaError:
        return CycloramaError(
            "checkpoint-runs-code",
            f"The {component} of the checkpoint {self.address} brings Python code of its own, which is never run.",
            "Choose a checkpoint that needs no code.",
        )

    def _wrong_class(self, component: str, found: str, needed: str) -> CycloramaError:
        return CycloramaError(
            "checkpoint-wrong-class",
            f"The {component} of the checkpoint {self.address} is of the class {found}, but {needed} is needed.",
            "Is the checkpoint meant for another --model?",
        )


def locate(name: str, components: Sequence[str], report: Report = lambda done, total: None) -> Checkpoint:
    """The checkpoint ``name``, fetched from the hub when it is not on this disk.

    Args:
        name: a folder, or a hub id ("stabilityai/stable-video-diffusion-img2vid").
        components: those that will be used; no others are fetched. Ones that the checkpoint does not have are left out.
        report: told of the download's progress.

    Raises ``CycloramaError``: "checkpoint-not-found", "checkpoint-without-index", "checkpoint-gated",
    "checkpoint-offline", "checkpoint-download-failed", "checkpoint-damaged".
    """
    folder, own_name = Path(name).expanduser(), name
    if folder.is_dir():
        own_name = Path(os.path.normpath(folder.absolute())).name
    else:
        folder = _from_hub(name, components, report)
    if not (folder / "model_index.json").is_file():
        raise CycloramaError(
            "checkpoint-without-index",
            f"{name} is not a checkpoint in diffusers' layout: it has no model_index.json.",
            "Pass the folder that holds model_index.json.",
        )
    licence = _licence_in_card(folder / "README.md") or licence_of(name)
    return Checkpoint(folder, name, own_name, licence)


def _from_hub(name: str, components: Sequence[str], report: Report) -> Path:
    """Folder of the hub's snapshot, from its cache when all of it is there. Honours HF_ENDPOINT, HF_TOKEN, HF_HOME."""
    from huggingface_hub import errors

    if not HUB_ID.fullmatch(name):
        raise _not_found(name)
    if (cached := _cached(name, components)) is not None:
        return cached
    try:
        return _download(name, components, report)
    except errors.GatedRepoError as error:
        raise CycloramaError(
            "checkpoint-gated",
            f"{name} can only be downloaded by those who accepted its licence.",
            f"Accept it at https://huggingface.co/{name} and set HF_TOKEN to a token of that account.",
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise _not_found(name) from error
    except errors.HfHubHTTPError as error:
        raise CycloramaError(
            "checkpoint-download-failed",
            f"{name} could not be downloaded: the hub answered with error {error.response.status_code}.",
            "Try again later.",
        ) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, _connection_error()) as error:
        raise CycloramaError(
            "checkpoint-offline",
            f"{name} is not on this disk, and the hub cannot be reached.",
            "Connect to the internet, or pass a folder that holds the checkpoint.",
        ) from error
    except OSError as error:
        raise CycloramaError(
            "checkpoint-download-failed", f"{name} could not be saved: {_first_sentence(error)}."
        ) from error


def _connection_error() -> type[Exception]:
    """What the library that the hub's client talks through raises when there is no connection."""
    from huggingface_hub import errors

    return errors.HTTPError  # pyright: ignore[reportPrivateImportUsage] (another library's in each major version)


def _cached(name: str, components: Sequence[str]) -> Path | None:
    """The snapshot in the hub's cache, if those of its components that are asked for are complete in it."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(name, "model_index.json")
    if not isinstance(index, str):
        return None
    folder = Path(index).parent
    wanted = index_components(read_json(folder / "model_index.json")) & set(components)
    return folder if all(is_complete(folder / component) for component in wanted) else None


def _download(name: str, components: Sequence[str], report: Report) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    siblings = HfApi().model_info(name, files_metadata=True, timeout=PATIENCE_SECONDS).siblings or []
    sizes = {file.rfilename: file.size or 0 for file in siblings}
    wanted = wanted_files(sizes, components)
    progress = _progress_bar(sum(sizes[file] for file in wanted), report)
    return Path(snapshot_download(name, allow_patterns=wanted, tqdm_class=progress))


def _progress_bar(total: int, report: Report) -> type:
    """What the hub's client calls a progress bar, shown nowhere: it tells ``report``."""
    from tqdm import tqdm

    class Progress(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            self._counts_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._counts_bytes:
                report(min(int(self.n), total), total)

    return Progress


def _not_found(name: str) -> CycloramaError:
    return CycloramaError(
        "checkpoint-not-found",
        f"There is neither a folder {name} nor a model of that name on the hub.",
        "Check its spelling; a private model also needs HF_TOKEN.",
    )


def _licence_in_card(card: Path) -> str:
    """The licence that a model card's metadata name: its own name where the id only says "other"."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        metadata = ModelCard.load(card).data.to_dict()
    except (OSError, ValueError, YAMLError):  # no card, or none with readable metadata: then nothing is said
        return ""
    licence = str(metadata.get("license") or "")
    return str(metadata.get("license_name") or licence) if licence == "other" else licence


def _own_attention(cls: type) -> dict[str, str]:
    """Of transformers' networks: torch's attention. Else a configuration can name compiled code on the hub instead."""
    supported = getattr(cls, "_supports_sdpa", None)  # diffusers' networks have no such choice
    return {} if supported is None else {"attn_implementation": "sdpa" if supported else "eager"}


def _read_into_memory(network: torch.nn.Module) -> None:
    """Make ordinary memory of weights that are mapped from their file; else they would be read when they are used.

    Libraries map those that are stored in the type that is asked for. One after the other, because for a while it is in
    memory twice.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if not tensor.untyped_storage().resizable():  # as torch says of memory that it did not take itself
            tensor.data = tensor.data.clone()


def _silence_progress_bars() -> None:
    """The libraries draw their own into whatever terminal there is."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "no components at all"


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
