"""The artist's controls of a 4D scene: custom properties of its root, and drivers that carry them to its parts.

Custom properties and drivers without Python: both are Blender's own, so that what is set and animated is rendered
alike on a farm without the add-on, is linked, appended, overridden and copied with the objects, and never asks for the
permission to run scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import bpy


@dataclass(frozen=True)
class Control:
    """One custom property of a root: its name there, its name and tooltip in panels, its default and limits."""

    key: str
    name: str
    tooltip: str
    default: Any
    limits: dict[str, Any]

    @property
    def path(self) -> str:
        """Its RNA path from the root."""
        return f'["{self.key}"]'


CONTROLS = {
    control.key.removeprefix("cyclorama_"): control
    for control in (
        Control(
            "cyclorama_exposure",
            "Exposure",
            "Brightens the 4D scene, in stops",
            0.0,
            {"min": -32.0, "max": 32.0, "soft_min": -5.0, "soft_max": 5.0},
        ),
        Control(
            "cyclorama_saturation",
            "Saturation",
            "0 is grey, 1 as generated",
            1.0,
            {"min": 0.0, "max": 10.0, "soft_min": 0.0, "soft_max": 2.0},
        ),
        Control(
            "cyclorama_tint",
            "Tint",
            "Colour the 4D scene is multiplied by",
            (1.0, 1.0, 1.0),
            {"min": 0.0, "soft_min": 0.0, "soft_max": 1.0, "subtype": "COLOR"},
        ),
        Control(
            "cyclorama_density",
            "Density",
            "Share of the splats that the viewport shows; renders show all",
            1.0,
            {"min": 0.01, "max": 1.0, "soft_min": 0.01, "soft_max": 1.0, "subtype": "FACTOR"},
        ),
        Control(
            "cyclorama_crop_outside",
            "Keep Outside",
            "Leave out what is in the box, in place of what is not",
            False,
            {},
        ),
        Control(
            "cyclorama_floater_opacity",
            "Fainter Than",
            "Leave out splats of less opacity; 0 keeps all",
            0.0,
            {"min": 0.0, "max": 1.0, "soft_min": 0.0, "soft_max": 1.0, "subtype": "FACTOR"},
        ),
        Control(
            "cyclorama_floater_size",
            "Larger Than",
            "Leave out splats that look larger than this from where the panorama was taken; 0 keeps all",
            0.0,
            {"min": 0.0, "max": pi / 2, "soft_min": 0.0, "soft_max": pi / 6, "subtype": "ANGLE"},
        ),
        Control(
            "cyclorama_floater_alone",
            "Alone Within",
            "Leave out splats with no other within so many times their own size; 0 keeps all",
            0.0,
            {"min": 0.0, "max": 1000.0, "soft_min": 0.0, "soft_max": 10.0},
        ),
        Control(
            "cyclorama_eevee_sorted",
            "Sort for EEVEE",
            "Blend splats in order in EEVEE's renders: smooth with few samples, but not seen in mirrors and through "
            "refracting glass. Without, EEVEE dithers them: in exact order, dim in mirrors, grainy with few samples",
            False,
            {},
        ),
    )
}
"""By their names on ``LookSettings``."""


def ensure(root: bpy.types.Object) -> None:
    """Give a root the controls it lacks, at their defaults."""
    for control in CONTROLS.values():
        if control.key not in root:
            root.update_tag()  # drivers read what was last evaluated, which has none of them
            root[control.key] = control.default
            default = list(control.default) if isinstance(control.default, tuple) else control.default
            root.id_properties_ui(control.key).update(description=control.tooltip, default=default, **control.limits)
            root.property_overridable_library_set(control.path, True)


def value(root: bpy.types.Object, name: str) -> Any:
    """What a control is set to (a tint as a tuple); its default on an object that has none."""
    control = CONTROLS[name]
    found = root.get(control.key, control.default)
    return tuple(found) if isinstance(control.default, tuple) else type(control.default)(found)


def set_value(root: bpy.types.Object, name: str, new: Any) -> None:
    """Set a control, within its limits."""
    ensure(root)
    control = CONTROLS[name]
    low, high = control.limits.get("min", 0.0), control.limits.get("max", 1.0)
    if isinstance(control.default, tuple):
        root[control.key] = [max(float(one), low) for one in new]
    elif isinstance(control.default, bool):
        root[control.key] = bool(new)
    else:
        root[control.key] = min(max(float(new), low), high)
    root.update_tag()  # what is set from Python tells nobody


def input_path(modifier: bpy.types.NodesModifier, name: str) -> str:
    """RNA path, from the modifier's object, of an input of its node group. (Blender 5.2 moved them.)"""
    identifier = _identifier(modifier, name)
    own = f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"]'
    inputs = _inputs(modifier)
    return f'{own}["{identifier}"]' if inputs is None else f"{own}.properties.inputs.{identifier}.value"


def set_input(modifier: bpy.types.NodesModifier, name: str, new: Any) -> None:
    """Set an input of the modifier's node group, if it differs."""
    if get_input(modifier, name) == new:
        return
    identifier, inputs = _identifier(modifier, name), _inputs(modifier)
    if inputs is None:
        modifier[identifier] = new
    else:
        getattr(inputs, identifier).value = new
    modifier.id_data.update_tag()


def get_input(modifier: bpy.types.NodesModifier, name: str) -> Any:
    """What an input of the modifier's node group is."""
    identifier, inputs = _identifier(modifier, name), _inputs(modifier)
    return modifier.get(identifier) if inputs is None else getattr(inputs, identifier).value


def _inputs(modifier: bpy.types.NodesModifier):
    return getattr(getattr(modifier, "properties", None), "inputs", None)


def _identifier(modifier: bpy.types.NodesModifier, name: str) -> str:
    sockets = modifier.node_group.interface.items_tree
    return next(s.identifier for s in sockets if s.item_type == "SOCKET" and s.in_out == "INPUT" and s.name == name)


def drive(
    holder: bpy.types.ID, path: str, sources: dict[str, tuple[bpy.types.ID, str]], expression: str, index: int = -1
) -> None:
    """Make a value of ``holder`` follow others.

    Args:
        path: of the value, from ``holder``.
        sources: letter used in the expression -> data-block and path from there.
        expression: simple enough for Blender to work it out without Python.
        index: which number of a vector.
    """
    holder.driver_remove(path, index)
    driver = holder.driver_add(path, index).driver
    driver.type = "SCRIPTED"
    for letter, (source, source_path) in sources.items():
        variable = driver.variables.new()
        variable.name = letter
        variable.targets[0].id_type = source.id_type
        variable.targets[0].id = source
        variable.targets[0].data_path = source_path
    driver.expression = expression


def drive_by_engine(holder: bpy.types.ID, path: str) -> None:
    """Make a whole number of ``holder`` that of the render engine of whatever scene it is rendered in."""
    holder.driver_remove(path)
    driver = holder.driver_add(path).driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.type = "CONTEXT_PROP"
    variable.targets[0].context_property = "ACTIVE_SCENE"
    variable.targets[0].data_path = "render.engine"
