"""Diffusion checkpoints in diffusers' folder layout: found on this disk or fetched from the hub, and loaded.

A checkpoint is a folder with a ``model_index.json`` and a folder for each of its components. Only safetensors are ever
read: weights in pickle files can run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...bridge.errors import CycloramaError
from .memory import is_out_of_memory
from .registry import licence_of

if TYPE_CHECKING:
    import torch

Report = Callable[[int, int], None]
"""Told how many of how many bytes have been fetched; may raise to stop."""

CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json", "tokenizer_config.json")
WEIGHTS = re.compile(r"(model|diffusion_pytorch_model)(?P<half>\.fp16)?(-\d+-of-\d+)?\.safetensors")
WEIGHT_INDEX = re.compile(r"(model|diffusion_pytorch_model)(\.safetensors\.index(?P<half>\.fp16)?\.json)")
SIDE_FILES = (".json", ".txt", "spiece.model")  # configurations and vocabularies
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """A diffusion checkpoint in diffusers' folder layout, on this disk.

    Attributes:
        folder: that holds ``model_index.json``.
        name: as the user named it: hub id or folder.
        licence: SPDX id or the licence's name, "" when neither model card nor registry says.
    """

    folder: Path
    name: str
    licence: str

    def index(self) -> dict[str, Any]:
        """``model_index.json``: component -> [library, class]. Raises ``CycloramaError`` ("checkpoint-damaged")."""
        return _read_json(self.folder / "model_index.json")

    def has(self, component: str) -> bool:
        """Whether the checkpoint has that component, on this disk."""
        return _config_file(self.folder / component) is not None

    def config(self, component: str) -> dict[str, Any]:
        """The component's configuration.

        Raises ``CycloramaError`` ("checkpoint-lacks-component", "checkpoint-damaged").
        """
        file = _config_file(self.folder / component)
        if file is None:
            raise CycloramaError(
                "checkpoint-lacks-component",
                f"The checkpoint {self.name} has no {component}.",
                f"It has {_listed(self._components())}. Is it meant for another --model?",
            )
        return _read_json(file)

    def model(self, component: str, cls: type, dtype: torch.dtype) -> Any:
        """A network of the checkpoint, on the CPU, for inference only.

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
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:  # what the libraries raise
            if is_out_of_memory(error):
                raise
            raise self._damaged(component, _first_sentence(error)) from error
        if missing := sorted(loading["missing_keys"]):
            raise self._damaged(component, f"it lacks {len(missing)} weights, among them {missing[0]}")
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
        except (ValueError, TypeError, NotImplementedError) as error:
            raise self._damaged("scheduler", _first_sentence(error)) from error

    def tokenizer(self, component: str = "tokenizer") -> Any:
        """The transformers tokenizer. Raises as ``config`` does."""
        from transformers import AutoTokenizer

        self.config(component)
        try:
            return AutoTokenizer.from_pretrained(self.folder / component, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(component, _first_sentence(error)) from error

    def _components(self) -> list[str]:
        return sorted(name for name in _index_components(self.index()) if self.has(name))

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
                f"The checkpoint {self.name} has no weights of its {component} in safetensors.",
                "Weights in .bin or .ckpt files are not read, because such files can run code.",
            )
        if missing := _missing_shards(self.folder / component, files):
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
            f"The {component} of the checkpoint {self.name} cannot be loaded: {reason}.",
            f"Delete {_whole_of(self.folder)} and fetch it again.",
        )

    def _wrong_class(self, component: str, found: str, needed: str) -> CycloramaError:
        return CycloramaError(
            "checkpoint-wrong-class",
            f"The {component} of the checkpoint {self.name} is of the class {found}, but {needed} is needed.",
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
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _from_hub(name, components, report)
    if not (folder / "model_index.json").is_file():
        raise CycloramaError(
            "checkpoint-without-index",
            f"{name} is not a checkpoint in diffusers' layout: it has no model_index.json.",
            "Pass the folder that holds model_index.json.",
        )
    return Checkpoint(folder, name, _licence_in_card(folder / "README.md") or licence_of(name))


def weight_files(names: Iterable[str]) -> list[str]:
    """Of a component's file names those that hold weights to load: in fp16 where there are such, else as they are."""
    matches = [match for name in names if (match := WEIGHTS.fullmatch(name) or WEIGHT_INDEX.fullmatch(name))]
    half = [match.string for match in matches if ".fp16" in match.string]
    return sorted(half or (match.string for match in matches))


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
    wanted = _index_components(_read_json(folder / "model_index.json")) & set(components)
    return folder if all(_is_complete(folder / component) for component in wanted) else None


def _is_complete(component: Path) -> bool:
    if not component.is_dir() or (config := _config_file(component)) is None:
        return False
    files = weight_files(path.name for path in component.iterdir())
    return not _missing_shards(component, files) and (bool(files) or config.name != "config.json")


def _download(name: str, components: Sequence[str], report: Report) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    siblings = HfApi().model_info(name, files_metadata=True).siblings or []
    sizes = {file.rfilename: file.size or 0 for file in siblings}
    wanted = _wanted_files(sizes, components)
    progress = _progress_bar(sum(sizes[file] for file in wanted), report)
    return Path(snapshot_download(name, allow_patterns=wanted, tqdm_class=progress))


def _wanted_files(files: Iterable[str], components: Sequence[str]) -> list[str]:
    wanted = ["model_index.json", "README.md"]
    paths = [file.split("/") for file in files]
    for component in components:
        names = [path[1] for path in paths if len(path) == 2 and path[0] == component]
        side = [name for name in names if name.endswith(SIDE_FILES) and not WEIGHT_INDEX.fullmatch(name)]
        wanted += [f"{component}/{file}" for file in sorted({*side, *weight_files(names)})]
    return [file for file in wanted if file in set(files)]


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


def _whole_of(folder: Path) -> Path:
    """What to delete so that nothing of a checkpoint is left: the hub's cache keeps its files beside the snapshots."""
    return folder.parent.parent if folder.parent.name == "snapshots" else folder


def _index_components(index: dict[str, Any]) -> set[str]:
    return {name for name, value in index.items() if isinstance(value, list) and len(value) == 2 and value[1]}


def _config_file(component: Path) -> Path | None:
    return next((component / name for name in CONFIGS if (component / name).is_file()), None)


def _missing_shards(component: Path, files: Sequence[str]) -> list[str]:
    """Weight files that the component's shard index names and that are not there."""
    needed: set[str] = set()
    for name in filter(WEIGHT_INDEX.fullmatch, files):
        needed |= set(_read_json(component / name).get("weight_map", {}).values())
    return sorted(name for name in needed if not (component / name).is_file())


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        raise CycloramaError(
            "checkpoint-damaged", f"The checkpoint's file {file} cannot be read.", "Fetch the checkpoint again."
        ) from error
    return content


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
