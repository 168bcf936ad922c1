"""Checkpoints of diffusers' pipelines and of transformers' networks: found on this disk or on the hub, and loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...bridge.errors import CycloramaError
from .hub import Report, first_sentence, from_hub, snapshot
from .layout import (
    CONFIGS,
    PREPARATION,
    WEIGHTS,
    WHOLE,
    config_file,
    fingerprint,
    how_to_mend,
    index_components,
    missing_shards,
    read_json,
    weight_files,
)
from .memory import is_out_of_memory
from .registry import licence_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this disk: a pipeline's in diffusers' folder layout, or one network's in transformers' flat one.

    Attributes:
        folder: that holds ``model_index.json``; of a single network, whose one component is ``WHOLE``, ``config.json``.
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

    def model(self, component: str, cls: type, dtype: torch.dtype, unused: str = "", **settings: Any) -> Any:
        """A network of the checkpoint, on the CPU, all of it in memory, for inference only.

        Args:
            component: "unet", "vae" ...; ``WHOLE`` of a single network's checkpoint.
            cls: a diffusers ``ModelMixin`` or a transformers ``PreTrainedModel``; what the component has to be.
            dtype: of its weights; those that the class keeps in float32 stay so.
            unused: weights with such a prefix are in no computation, and may be missing.
            settings: are put in the place of those in its configuration.

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
                **_own_attention(cls, self.config(component)),
                **settings,
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:  # as the libraries do
            if is_out_of_memory(error):
                raise
            raise self.damaged(component, first_sentence(error)) from error
        missing = sorted(name for name in loading["missing_keys"] if not (unused and name.startswith(unused)))
        if missing:
            raise self.damaged(component, f"it lacks {len(missing)} weights, among them {missing[0]}")
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
            raise self.wrong_class("scheduler", name, "one of diffusers' schedulers")
        try:
            return cls.from_config(config)  # pyright: ignore[reportAttributeAccessIssue] (all of them have it)
        except (ValueError, TypeError, NotImplementedError, ImportError) as error:
            raise self.damaged("scheduler", first_sentence(error)) from error

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

    def preparation(self) -> dict[str, Any]:
        """How a single network's pictures are prepared: its ``preprocessor_config.json``.

        Raises ``CycloramaError`` ("checkpoint-lacks-component", "checkpoint-damaged").
        """
        file = self.folder / PREPARATION
        if not file.is_file():
            raise CycloramaError(
                "checkpoint-lacks-component",
                f"The checkpoint {self.address} has no {PREPARATION}, which says how pictures are prepared for it.",
                how_to_mend(self.folder),
            )
        return read_json(file)

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
            raise self.damaged(component, first_sentence(error)) from error

    def _components(self) -> list[str]:
        return sorted(name for name in index_components(self.index()) if self.has(name))

    def _check_class(self, component: str, cls: type) -> None:
        config = self.config(component)
        named = self.index().get(component) if component != WHOLE else None
        found = [config.get("_class_name"), *(config.get("architectures") or [])]
        found += [named[1]] if isinstance(named, list) and len(named) == 2 else []
        found = [name for name in found if name]
        if found and cls.__name__ not in found:
            raise self.wrong_class(component, found[0], cls.__name__)

    def _check_weights(self, component: str) -> bool:
        """Whether the weights to load are the fp16 ones. All files of them have to be there and whole."""
        from safetensors import SafetensorError, safe_open

        files = weight_files(path.name for path in (self.folder / component).iterdir())
        if not any(WEIGHTS.fullmatch(name) for name in files):
            raise CycloramaError(
                "checkpoint-lacks-component",
                f"The checkpoint {self.address} has no weights{component and f' of its {component}'} in safetensors.",
                "Weights in .bin or .ckpt files are not read, because such files can run code.",
            )
        if missing := missing_shards(self.folder / component, files):
            raise self.damaged(component, f"{missing[0]} is missing")
        for name in filter(WEIGHTS.fullmatch, files):
            try:
                with safe_open(self.folder / component / name, "pt"):
                    pass
            except (SafetensorError, OSError) as error:
                raise self.damaged(component, f"{name} is incomplete or no safetensors file") from error
        return any(".fp16" in name for name in files)

    def damaged(self, component: str, reason: str) -> CycloramaError:
        """The error that says so. ``reason`` is half a sentence."""
        return CycloramaError(
            "checkpoint-damaged",
            f"{self._called(component)} cannot be loaded: {reason}.",
            how_to_mend(self.folder),
        )

    def _runs_code(self, component: str) -> CycloramaError:
        return CycloramaError(
            "checkpoint-runs-code",
            f"The {component} of the checkpoint {self.address} brings Python code of its own, which is never run.",
            "Choose a checkpoint that needs no code.",
        )

    def wrong_class(self, component: str, found: str, needed: str) -> CycloramaError:
        """The error that says so, for whoever needs a component of another class."""
        return CycloramaError(
            "checkpoint-wrong-class",
            f"{self._called(component)} is of the class {found}, but {needed} is needed.",
            f"Is the checkpoint meant for another {'--estimator' if component == WHOLE else '--model'}?",
        )

    def _called(self, component: str) -> str:
        return f"The {component} of the checkpoint {self.address}" if component else f"The checkpoint {self.address}"


def locate(name: str, components: Sequence[str], report: Report = lambda done, total: None) -> Checkpoint:
    """The pipeline's checkpoint ``name``, fetched from the hub when it is not on this disk.

    Args:
        name: a folder, or a hub id ("stabilityai/stable-video-diffusion-img2vid").
        components: those that will be used; no others are fetched. Ones that the checkpoint does not have are left out.
        report: told of the download's progress.

    Raises ``CycloramaError``: "checkpoint-not-found", "checkpoint-without-index", "checkpoint-gated",
    "checkpoint-offline", "checkpoint-download-failed", "checkpoint-damaged".
    """
    found = _found(name, components, report)
    if not (found.folder / "model_index.json").is_file():
        raise CycloramaError(
            "checkpoint-without-index",
            f"{name} is not a checkpoint in diffusers' layout: it has no model_index.json.",
            "Pass the folder that holds model_index.json.",
        )
    return found


def locate_network(name: str, report: Report = lambda done, total: None) -> Checkpoint:
    """The single network's checkpoint ``name``, in transformers' flat layout; otherwise as ``locate``.

    Raises ``CycloramaError``: "checkpoint-wrong-class" for a pipeline's, "checkpoint-without-config", and those of
    ``locate``.
    """
    found = _found(name, (WHOLE,), report)
    if (found.folder / "config.json").is_file():
        return found
    if (found.folder / "model_index.json").is_file():
        raise found.wrong_class(WHOLE, str(found.index().get("_class_name")), "a single network")
    raise CycloramaError(
        "checkpoint-without-config",
        f"{name} is not a checkpoint in transformers' layout: it has no config.json.",
        "Pass the folder that holds config.json and model.safetensors.",
    )


def identity(name: str) -> str | None:
    """What tells the checkpoint of that hub id or folder from all others; None while it is not on this disk."""
    folder: Path | None = Path(name).expanduser()
    if not folder.is_dir():
        folder = snapshot(name)
    if folder is None:
        return None
    found = _described(name, folder)
    return repr((found.name, found.licence, found.fingerprint))


def _found(name: str, components: Sequence[str], report: Report) -> Checkpoint:
    folder = Path(name).expanduser()
    return _described(name, folder if folder.is_dir() else from_hub(name, components, report))


def _described(name: str, folder: Path) -> Checkpoint:
    own_name = name
    if Path(name).expanduser().is_dir():
        own_name = Path(os.path.normpath(folder.absolute())).name
    licence = _licence_in_card(folder / "README.md") or licence_of(name)
    return Checkpoint(folder, name, own_name, licence)


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


def _own_attention(cls: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Of transformers' networks: torch's attention. Else a configuration can name compiled code on the hub instead."""
    supported = getattr(cls, "_supports_sdpa", None)  # diffusers' networks have no such choice
    if supported is None:
        return {}
    own = "sdpa" if supported else "eager"
    backbone = config.get("backbone_config")
    if not isinstance(backbone, dict):
        return {"attn_implementation": own}
    return {"attn_implementation": {"": own, "backbone_config": _backbone_attention(backbone.get("model_type"))}}


def _backbone_attention(model_type: Any) -> str:
    from transformers import CONFIG_MAPPING, MODEL_FOR_BACKBONE_MAPPING

    try:
        backbone: Any = MODEL_FOR_BACKBONE_MAPPING[CONFIG_MAPPING[model_type]]
    except KeyError:  # nothing that transformers knows
        return "eager"
    return "sdpa" if getattr(backbone, "_supports_sdpa", False) else "eager"  # convolutional ones have no attention


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
