"""What is in a scene package, for people and for programs."""

from __future__ import annotations

import msgspec

from ..bridge.errors import quotable
from ..bridge.gaussians import COLUMNS
from ..bridge.rounding import Error
from ..bridge.scene import Scene, SceneInfo

_LONGEST_LINE = 10_000
"""Characters; a scene may have notes."""

_BYTES_PER_GAUSSIAN = 4 * sum(COLUMNS.values())
"""Stored as they are: float32."""


def facts(scene: Scene) -> dict:
    """The figures of a package: counts, sizes in bytes, and how small it is beside storing every frame whole."""
    info = scene.info
    by_kind = sizes(info)
    gaussians = by_kind["static"] + by_kind["moving"] + by_kind["frames"]
    whole = info.frame_count * (info.static_count + info.moving_count) * _BYTES_PER_GAUSSIAN
    return {
        "path": str(scene.folder),
        "version": info.version,
        "generator": f"{info.generator.name} {info.generator.version}, {info.generator.recipe}",
        "settings": info.generator.settings,
        "seed": info.seed,
        "models": [f"{model.id} ({model.licence})" for model in info.models],
        "colour": info.colour,
        "frame_rate": info.frame_rate,
        "frame_count": info.frame_count,
        "loops": info.loops,
        "static_count": info.static_count,
        "moving_count": info.moving_count,
        "bounds": info.bounds,
        "safe_radius": info.safe_radius,
        "safe_radii": [{"direction": [x, y, z], "metres": metres} for x, y, z, metres in info.safe_radii],
        "bytes": by_kind,
        "bytes_in_all": sum(by_kind.values()),
        "bytes_per_frame": by_kind["frames"] / info.frame_count,
        "encodings": sorted({file.encoding for file in info.files.values() if file.encoding}),
        "error": msgspec.to_builtins(info.error),
        "share_of_every_frame_whole": gaussians / whole if whole else 1.0,
        "notes": list(info.notes),
    }


def sizes(info: SceneInfo) -> dict[str, int]:
    """Bytes by kind of file."""
    kinds: dict[str, int] = dict.fromkeys(("static", "moving", "frames", "video", "depth", "other"), 0)
    for name, file in info.files.items():
        kind = name.split("/")[0].split(".")[0]
        kinds[kind if kind in kinds else "other"] += file.bytes
    return kinds


def in_words(found: dict) -> str:
    """``facts`` as lines for a terminal, which a scene's own words must not command."""
    seconds = found["frame_count"] / found["frame_rate"]
    frames = "one frame" if found["frame_count"] == 1 else f"{found['frame_count']} frames"
    sizes_in_words = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in found["bytes"].items() if size)
    low, high = found["bounds"]
    box = " x ".join(f"{b - a:.1f}" for a, b in zip(low, high, strict=True))
    share = found["share_of_every_frame_whole"]
    lines = [
        f"{found['path']}: a 4D scene, package version {found['version']}",
        f"made by      {found['generator']}, seed {found['seed']}",
        f"time         {frames} at {found['frame_rate']:g} a second = {seconds:.2f} s"
        + (", loops" if found["loops"] else ""),
        f"Gaussians    {found['static_count']:,} static, {found['moving_count']:,} moving",
        f"size         {found['bytes_in_all'] / 1e6:.1f} MB: {sizes_in_words}",
        f"             {found['bytes_per_frame'] / 1e6:.2f} MB of moving Gaussians a frame; all Gaussians are "
        f"{_percent(share)} of storing every frame's whole",
        f"compression  {_compression(found)}",
        f"extent       {box} m; safe radius: {_safe_radius(found)}",
        f"colour       {found['colour']}",
        "models       " + (", ".join(found["models"]) or "none (embedded)"),
        *(f"note         {note}" for note in found["notes"]),
        "All files are there, whole, and match their checksums; all values are sound.",
    ]
    return "\n".join(quotable(line, _LONGEST_LINE) for line in lines)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _compression(found: dict) -> str:
    if found["error"] is None:
        return ", ".join(found["encodings"]) or "none: all numbers as they were made"
    error = msgspec.convert(found["error"], Error)
    bounds = [
        f"directions within {error.direction_degrees:g}°",
        f"distances {100 * error.distance_share:g} %",
        f"rotations {error.rotation_degrees:g}°",
        f"sizes {100 * error.scale_share:g} %",
        f"colours {255 * error.colour_srgb:.2f} of 255 sRGB steps",
        f"opacities {error.opacity:g}",
    ]
    return f"{', '.join(found['encodings'])}: {', '.join(bounds)}"


def _safe_radius(found: dict) -> str:
    if found["safe_radius"] is None:
        return "not measured"
    widest = max((each["metres"] for each in found["safe_radii"]), default=found["safe_radius"])
    least = f"{found['safe_radius']:.2f} m"
    return least if widest == found["safe_radius"] else f"{least}, up to {widest:.2f} m by direction"
