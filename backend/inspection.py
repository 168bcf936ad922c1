"""What is in a scene package, for people and for programs."""

from __future__ import annotations

from ..bridge.scene import Scene, SceneInfo


def facts(scene: Scene) -> dict:
    """The figures of a package: counts, sizes in bytes, and how small it is beside storing every frame whole."""
    info = scene.info
    by_kind = sizes(info)
    gaussians = by_kind["static"] + by_kind["moving"] + by_kind["frames"]
    per_gaussian = 4 * (3 + 4 + 3 + 4)
    whole = info.frame_count * (info.static_count + info.moving_count) * per_gaussian
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
        "bytes": by_kind,
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
    """``facts`` as lines for a terminal."""
    seconds = found["frame_count"] / found["frame_rate"]
    sizes_in_words = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in found["bytes"].items() if size)
    low, high = found["bounds"]
    box = " x ".join(f"{b - a:.1f}" for a, b in zip(low, high, strict=True))
    radius = "not measured" if found["safe_radius"] is None else f"{found['safe_radius']:.2f} m"
    lines = [
        f"{found['path']}: a 4D scene, package version {found['version']}",
        f"made by      {found['generator']}, seed {found['seed']}",
        f"time         {found['frame_count']} frames at {found['frame_rate']:g} a second = {seconds:.2f} s"
        + (", loops" if found["loops"] else ""),
        f"Gaussians    {found['static_count']:,} static, {found['moving_count']:,} moving",
        f"size         {sizes_in_words}; "
        f"{found['share_of_every_frame_whole']:.0%} of storing every frame's Gaussians whole",
        f"extent       {box} m; safe radius: {radius}",
        f"colour       {found['colour']}",
        "models       " + (", ".join(found["models"]) or "none (embedded)"),
        *(f"note         {note}" for note in found["notes"]),
        "All files are there, whole, and match their checksums; all values are sound.",
    ]
    return "\n".join(lines)
