"""The layouts of checkpoints: which files are read, whether all are there, and what tells one apart.

A pipeline's checkpoint (diffusers) is a folder with a ``model_index.json`` and a folder for each of its components. A
single network's (transformers) is flat: it is its only component itself, ``WHOLE``. Only safetensors are ever read:
weights in pickle files can run code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...bridge.errors import CycloramaError

CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json", "tokenizer_config.json")
PREPARATION = "preprocessor_config.json"
WHOLE = ""
"""The one component of a flat checkpoint, as the name of a folder in it: the checkpoint itself."""
WEIGHTS = re.compile(r"(model|diffusion_pytorch_model)(?P<half>\.fp16)?(-\d+-of-\d+)?\.safetensors")
WEIGHT_INDEX = re.compile(r"(model|diffusion_pytorch_model)(\.safetensors\.index(?P<half>\.fp16)?\.json)")
SIDE_FILES = (".json", ".txt", "spiece.model")  # configurations and vocabularies
_LONGEST_JSON = 1 << 25
"""Bytes; a shard index of a large model has one."""


def weight_files(names: Iterable[str]) -> list[str]:
    """Of a component's file names those that hold weights to load: in fp16 where there are such, else as they are."""
    matches = [match for name in names if (match := WEIGHTS.fullmatch(name) or WEIGHT_INDEX.fullmatch(name))]
    half = [match.string for match in matches if ".fp16" in match.string]
    return sorted(half or (match.string for match in matches))


def wanted_files(files: Iterable[str], components: Sequence[str]) -> list[str]:
    """Of the paths in a checkpoint those that these components need."""
    wanted = ["model_index.json", "README.md"]
    for component in components:
        inside = f"{component}/" if component != WHOLE else ""
        paths = [file.removeprefix(inside) for file in files if file.startswith(inside)]
        names = [path for path in paths if "/" not in path]
        side = [name for name in names if name.endswith(SIDE_FILES) and not WEIGHT_INDEX.fullmatch(name)]
        if component == WHOLE:  # whose folder holds whatever its authors keep beside it
            side = [name for name in side if name in ("config.json", PREPARATION)]
        wanted += [inside + file for file in sorted({*side, *weight_files(names)})]
    return [file for file in wanted if file in set(files)]


def is_complete(component: Path) -> bool:
    """Whether the component's folder holds its configuration and all its weights, if it should have any."""
    if not component.is_dir() or (config := config_file(component)) is None:
        return False
    files = weight_files(path.name for path in component.iterdir())
    return not missing_shards(component, files) and (bool(files) or config.name != "config.json")


def config_file(component: Path) -> Path | None:
    """The file with the component's configuration."""
    return next((component / name for name in CONFIGS if (component / name).is_file()), None)


def missing_shards(component: Path, files: Sequence[str]) -> list[str]:
    """Weight files that the component's shard index names and that are not there."""
    needed: set[str] = set()
    for name in filter(WEIGHT_INDEX.fullmatch, files):
        needed |= set(read_json(component / name).get("weight_map", {}).values())
    return sorted(name for name in needed if not (component / name).is_file())


def index_components(index: dict[str, Any]) -> set[str]:
    """Names of the components that a ``model_index.json`` lists."""
    return {name for name, value in index.items() if isinstance(value, list) and len(value) == 2 and value[1]}


def read_json(file: Path) -> dict[str, Any]:
    """An object of the checkpoint. Raises ``CycloramaError`` ("checkpoint-damaged")."""
    try:
        if file.stat().st_size > _LONGEST_JSON:
            raise ValueError("too long")
        content = json.loads(file.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as error:
        raise CycloramaError(
            "checkpoint-damaged", f"The checkpoint's file {file} cannot be read.", how_to_mend(file)
        ) from error
    return content


def hub_cache(path: Path) -> Path | None:
    """The folder of the hub's cache that holds all of the model that ``path`` is of; None for a user's own folder.

    It is ``models--AUTHOR--NAME`` with the files themselves in ``blobs`` and links to them in ``snapshots/COMMIT``.
    """
    folders = (path, *path.parents)
    found = (folder.parent for folder in folders if folder.name == "snapshots")
    return next((folder for folder in found if folder.name.startswith("models--")), None)


def how_to_mend(path: Path) -> str:
    """What to do about a checkpoint, one of whose files or folders is ``path``, that is damaged."""
    if cache := hub_cache(path):
        return f"Delete {cache} and fetch it again."
    return "Put a complete copy of the checkpoint in its place."


def fingerprint(folder: Path) -> str:
    """Tells apart checkpoints with different weights or settings, without reading the weights.

    Of weights the names, sizes and times of change are looked at, or, in the hub's cache, the names of the files linked
    to, which say what is in them; configurations and vocabularies are read.
    """
    digest = hashlib.sha256()
    cached = hub_cache(folder) is not None
    index = folder / "model_index.json"
    paths = [index, *folder.glob("*/*")] if index.is_file() else folder.iterdir()
    for file in sorted(path for path in paths if path.is_file()):
        if content := _identity(file, cached):
            digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:32]


def _identity(file: Path, cached: bool) -> str:
    """What tells the file's content from another's; "" for one that is never read."""
    if WEIGHTS.fullmatch(file.name):
        if cached and file.is_symlink():
            return file.readlink().name
        return f"{file.stat().st_size} {file.stat().st_mtime_ns}"
    if not file.name.endswith(SIDE_FILES):
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
