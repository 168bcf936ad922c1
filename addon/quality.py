"""Quality presets: Blender's own kind, shipped in ``presets/`` and made by the artist; and which of them is set now."""

from __future__ import annotations

import ast
from pathlib import Path

import bpy

from .properties import GenerateSettings

SUBFOLDER = "cyclorama/generate"
"""Below every ``presets`` folder of Blender."""

_ROOT = Path(__file__).resolve().parents[1]
"""The extension's own folder, which holds ``presets``."""

VALUES = (
    *("animator", "model", "agreement", "steps", "spherical_steps"),
    *("frames", "fps", "strength"),
    *("estimator", "align"),
    *("lift", "gaussians", "inpainter", "iterations", "densify", "compression"),
    "width",
)
"""What an artist's own preset holds: how a scene is made, and nothing of this one panorama."""

_known: dict[str, dict[str, object]] | None = None


def chosen(settings: GenerateSettings) -> str:
    """The preset whose values are all set now, of several the one that says most; "" for none."""
    fitting = [(len(values), name) for name, values in presets().items() if _fits(settings, values)]
    return max(fitting)[1] if fitting else ""


def presets() -> dict[str, dict[str, object]]:
    """All presets by name, each with the values it sets. Read once; see ``forget``."""
    global _known
    if _known is None:
        folders = [Path(folder) for folder in bpy.utils.preset_paths(SUBFOLDER)]
        files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
        _known = {bpy.path.display_name(file.stem, title_case=False): values_of(file) for file in files}
    return _known


def values_of(preset: Path) -> dict[str, object]:
    """What ``preset`` sets, by the names of the settings; {} for a file that is no preset."""
    try:
        lines = ast.parse(preset.read_text(encoding="utf-8")).body
        return {
            line.targets[0].attr: ast.literal_eval(line.value)
            for line in lines
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Attribute) and not _is_bpy(line.value)
        }
    except (OSError, ValueError, SyntaxError):
        return {}


def forget() -> None:
    """Presets were added or removed: look again."""
    global _known
    _known = None


def _is_bpy(value: ast.expr) -> bool:
    return isinstance(value, ast.Attribute)


def _fits(settings: GenerateSettings, values: dict[str, object]) -> bool:
    return bool(values) and all(_same(getattr(settings, name, None), value) for name, value in values.items())


def _same(is_set: object, value: object) -> bool:
    if isinstance(is_set, float) and isinstance(value, float):
        return abs(is_set - value) <= 1e-6 * max(1.0, abs(value))  # Blender stores single precision
    return is_set == value


def register() -> None:
    """Let Blender find the shipped presets."""
    bpy.utils.register_preset_path(str(_ROOT))


def unregister() -> None:
    """No longer."""
    bpy.utils.unregister_preset_path(str(_ROOT))
    forget()
