"""The hub: a checkpoint's files fetched into its cache, once, and only those that are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...bridge.errors import CycloramaError
from .layout import PREPARATION, WHOLE, index_components, is_complete, read_json, wanted_files

Report = Callable[[int, int], None]
"""Told how many of how many bytes have been fetched; may raise to stop."""

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

PATIENCE_SECONDS = 10.0
"""For the hub's first answer. Its client would wait for ever in a network that swallows what is sent."""


def from_hub(name: str, components: Sequence[str], report: Report) -> Path:
    """Folder of the hub's snapshot, from its cache when all of it is there. Honours HF_ENDPOINT, HF_TOKEN, HF_HOME.

    Raises ``CycloramaError``: all that ``checkpoints.locate`` may, but for what is wrong with the files themselves.
    """
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
            "checkpoint-download-failed", f"{name} could not be saved: {first_sentence(error)}."
        ) from error


def _connection_error() -> type[Exception]:
    """What the library that the hub's client talks through raises when there is no connection."""
    from huggingface_hub import errors

    return errors.HTTPError  # pyright: ignore[reportPrivateImportUsage] (another library's in each major version)


def snapshot(name: str) -> Path | None:
    """Where the hub's cache has something of the model ``name``, whole or not."""
    from huggingface_hub import errors, try_to_load_from_cache

    if not HUB_ID.fullmatch(name):
        return None
    try:
        found = (try_to_load_from_cache(name, file) for file in ("model_index.json", "config.json"))
        return next((Path(file).parent for file in found if isinstance(file, str)), None)
    except errors.HFValidationError:
        return None


def _cached(name: str, components: Sequence[str]) -> Path | None:
    """The snapshot in the hub's cache, if those of its components that are asked for are complete in it."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(name, "config.json" if WHOLE in components else "model_index.json")
    if not isinstance(index, str):
        return None
    folder = Path(index).parent
    if WHOLE in components:
        return folder if is_complete(folder) and (folder / PREPARATION).is_file() else None
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


def first_sentence(error: Exception) -> str:
    """What a library's error says first."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
