"""A hub's cache with made-up checkpoints in it, laid out as the hub's client does."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

COMMIT = "c0ffee" + 34 * "0"
WEIGHTS = save({"weight": np.zeros(64, np.float32)})
CONFIG = b'{"model_type": "tiny"}'

NETWORK = {"config.json": CONFIG, "preprocessor_config.json": b"{}", "model.safetensors": WEIGHTS}
PIPELINE = {
    "model_index.json": json.dumps(
        {"_class_name": "P", "unet": ["diffusers", "U"], "scheduler": ["diffusers", "S"], "safety": [None, None]}
    ).encode(),
    "unet/config.json": CONFIG,
    "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
    "scheduler/scheduler_config.json": b"{}",
}


def put_in_cache(cache: Path, name: str, files: dict[str, bytes]) -> Path:
    """The model's folder in the cache: blobs, links to them in a snapshot, and ``main``."""
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    (place / "blobs").mkdir()
    for path, content in files.items():
        blob = place / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        link = place / "snapshots" / COMMIT / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return place
