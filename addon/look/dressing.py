"""Parts of a 4D scene get what shows them, and follow the controls of their root."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from . import controls
from .controls import CONTROLS, drive, drive_by_engine, ensure, input_path, set_input
from .grade import GROUP as GRADE
from .grade import IS_GRADED, ON_PARTS, grade_group
from .nodes import add
from .surfels import GROUP as SURFELS
from .surfels import surfel_group

_DRIVEN = {
    "Density": "density",
    "Crop Outside": "crop_outside",
    "Faint": "floater_opacity",
    "Large": "floater_size",
    "Alone": "floater_alone",
    "Sorted": "eevee_sorted",
}
"""Input of the splats' (and points') modifier -> the control it follows."""

_BACKGROUND = "ShaderNodeBackground"


def dress(part: bpy.types.Object, root: bpy.types.Object) -> None:
    """Make splats or points of a 4D scene follow its root's controls, animated or not, with or without the add-on.

    May be called again at any time; nothing is doubled then. A part with another way to be shown (no modifier
    *Surfels*) is graded only.
    """
    ensure(root)
    _grade(part, root)
    modifier = shown_by(part)
    if modifier is None:
        return
    own = {item.name for item in modifier.node_group.interface.items_tree if item.item_type == "SOCKET"}
    for name, control in _DRIVEN.items():
        if name in own:
            drive(part, input_path(modifier, name), {"v": (root, CONTROLS[control].path)}, "v")
    if "Gain" in own:
        _grade_by_nodes(part, modifier, root)
    if "Engine" in own:
        drive_by_engine(part, input_path(modifier, "Engine"))
        drive(part, input_path(modifier, "Hidden"), {"v": (part, "hide_render")}, "v")
    crop(root)


def shown_by(part: bpy.types.Object) -> bpy.types.NodesModifier | None:
    """The modifier that draws this part and can filter it, if it has one."""
    for modifier in part.modifiers:
        group = modifier.node_group if modifier.type == "NODES" else None
        if group and any(item.name == "Crop Box" for item in group.interface.items_tree):
            return modifier
    return None


def crop(root: bpy.types.Object) -> None:
    """Tell all parts which box their root is cropped by."""
    box = root.cyclorama_look.crop
    for part in root.children_recursive:
        if modifier := shown_by(part):
            set_input(modifier, "Crop Box", box)
            set_input(modifier, "Crop", box is not None)


def join_for_eevee(root: bpy.types.Object, for_render: bool) -> None:
    """For a render of a scene in EEVEE, let the first part that is rendered draw the splats of all, sorted.

    EEVEE sorts no face between two objects, so each part hands its own to the one before. At all other times, and for
    other engines, nothing hangs on the camera or on another part: else all splats would be computed anew whenever one
    of them moves.
    """
    modifiers = {part: shown_by(part) for part in root.children_recursive if _is_surfels(part)}
    parts = list(modifiers)
    in_eevee = any("EEVEE" in scene.render.engine for scene in root.users_scene)
    sorts = for_render and in_eevee and controls.value(root, "eevee_sorted")
    seen = [part for part in parts if sorts and not part.hide_render]
    for part, modifier in modifiers.items():
        assert modifier is not None
        if modifier.node_group != surfel_group(sorts):
            modifier.node_group = surfel_group(sorts)
        behind = seen.index(part) if part in seen else 0
        others = seen[behind + 1] if part in seen and behind + 1 < len(seen) else None
        set_input(modifier, "Others", others)
        set_input(modifier, "Yields", behind > 0)


def _is_surfels(part: bpy.types.Object) -> bool:
    modifier = shown_by(part)
    return modifier is not None and modifier.node_group.name.startswith(SURFELS)


def _grade(part: bpy.types.Object, root: bpy.types.Object) -> None:
    if ON_PARTS not in part:
        part[ON_PARTS] = [0.0] * 4
    path = f'["{ON_PARTS}"]'
    for channel, (sources, gain) in enumerate(_gains(root)):
        drive(part, path, sources, f"{gain} - 1", channel)
    drive(part, path, {"s": (root, CONTROLS["saturation"].path)}, "s - 1", 3)
    if IS_GRADED not in part:
        part[IS_GRADED] = 0.0
    tint = {letter: (root, f"{CONTROLS['tint'].path}[{channel}]") for channel, letter in enumerate("rgb")}
    others = {letter: (root, CONTROLS[name].path) for letter, name in (("s", "saturation"), ("e", "exposure"))}
    off = "abs(s - 1) + abs(e) + abs(r - 1) + abs(g - 1) + abs(b - 1)"
    drive(part, f'["{IS_GRADED}"]', tint | others, f"{off} > 0")


def _grade_by_nodes(part: bpy.types.Object, modifier: bpy.types.NodesModifier, root: bpy.types.Object) -> None:
    """For splats that Blender draws itself, which have no material of ours."""
    for channel, (sources, gain) in enumerate(_gains(root)):
        drive(part, input_path(modifier, "Gain"), sources, gain, channel)
    drive(part, input_path(modifier, "Saturation"), {"s": (root, CONTROLS["saturation"].path)}, "s")


def _gains(root: bpy.types.Object) -> Iterator[tuple[dict[str, tuple[bpy.types.ID, str]], str]]:
    """For red, green and blue: what ``drive`` needs for tint · 2^exposure."""
    for channel in range(3):
        yield (
            {
                "t": (root, f"{CONTROLS['tint'].path}[{channel}]"),
                "e": (root, CONTROLS["exposure"].path),
            },
            "t * pow(2, e)",
        )


def light(world: bpy.types.World, root: bpy.types.Object) -> None:
    """Grade the world as its 4D scene, so that light and backdrop stay one.

    Its picture is graded before it becomes light. A world without node *Background* is left as it is.
    """
    ensure(root)
    tree = world.node_tree
    grade = tree.nodes.get(GRADE) or _into_the_light(tree)
    if grade is None:
        return
    path = f'nodes["{GRADE}"].inputs[{{}}].default_value'
    for channel, (sources, gain) in enumerate(_gains(root)):
        drive(tree, path.format(1), sources, gain, channel)
    drive(tree, path.format(2), {"s": (root, CONTROLS["saturation"].path)}, "s")


def _into_the_light(tree: bpy.types.NodeTree) -> bpy.types.Node | None:
    background = next((node for node in tree.nodes if node.bl_idname == _BACKGROUND), None)
    if background is None:
        return None
    colour = background.inputs["Color"]
    grade = add(tree, "ShaderNodeGroup", node_tree=grade_group(), name=GRADE)
    grade.location = (background.location.x, background.location.y + 200)
    if colour.is_linked:
        tree.links.new(colour.links[0].from_socket, grade.inputs[0])
    else:
        grade.inputs[0].default_value = colour.default_value
    tree.links.new(grade.outputs[0], colour)
    return grade


def _all(for_render: bool) -> None:
    for thing in bpy.data.objects:
        if CONTROLS["exposure"].key in thing and thing.library is None:
            join_for_eevee(thing, for_render)


@bpy.app.handlers.persistent
def _for_rendering(_scene_or_file=None, _unused=None) -> None:
    _all(for_render=True)


@bpy.app.handlers.persistent
def _for_work(_scene_or_file=None, _unused=None) -> None:
    """Later, where there is a window: a render ends in a thread of its own."""
    if bpy.app.background:
        _all(for_render=False)
    elif not bpy.app.timers.is_registered(_soon):
        bpy.app.timers.register(_soon, first_interval=0.1)


def _soon() -> None:
    _all(for_render=False)


_HANDLERS = {
    _for_rendering: ("render_init", "save_pre"),  # a farm without the add-on renders the file as it is saved
    _for_work: ("render_complete", "render_cancel", "save_post", "load_post"),
}


def register() -> None:
    """Sort for EEVEE's renders, and no longer than they take."""
    for function, events in _HANDLERS.items():
        for event in events:
            getattr(bpy.app.handlers, event).append(function)


def unregister() -> None:
    """No longer."""
    for function, events in _HANDLERS.items():
        for event in events:
            getattr(bpy.app.handlers, event).remove(function)
    if bpy.app.timers.is_registered(_soon):
        bpy.app.timers.unregister(_soon)
