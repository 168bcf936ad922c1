"""Shadows and reflections of the artist's objects on a 4D scene: rendered apart on its proxies, multiplied in.

Splats are light, and light takes no shadow. So a second view layer renders the proxies as shadow catchers, without the
splats: its *Shadow Catcher* pass is by how much the set grows darker (or lighter) where the objects stand. The
compositor multiplies the picture by it, as far as a pixel shows the set: at an object's edge only its share. Cycles
only.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from ...bridge.errors import CycloramaError
from .collections import SHOWN, add_apart, add_proxy, is_shown, keeps_apart
from .packages import opened, package_path
from .proxy import COVER, proxy_object
from .scene_object import PROXY, parts, root_of, roots

LAYER = "Cyclorama Shadows"
_LABEL = "Cyclorama Shadows"


def set_up(scene: bpy.types.Scene) -> None:
    """Add the view layer and the compositor's nodes, or bring them in step with the 4D scenes that are there now."""
    _proxies_in_step(scene)
    for root in roots(scene):
        mixed = [part for part in parts(root, *SHOWN) if not _is_apart(part, scene)]
        if mixed:
            add_apart(scene, root, mixed, f"{root.name} splats")
    if LAYER not in scene.view_layers:
        scene.view_layers.new(LAYER)
    layer = scene.view_layers[LAYER]
    layer.cycles.use_pass_shadow_catcher = True
    if COVER not in layer.aovs:
        cover = layer.aovs.add()
        cover.name, cover.type = COVER, "VALUE"
    for shown, excluded in list(_excluded(scene)):
        if shown.exclude != excluded:
            shown.exclude = excluded
    _compose(scene)


def take_down(scene: bpy.types.Scene) -> None:
    """Take the view layer and the nodes away; the picture then reaches the compositor's output as before."""
    if LAYER in scene.view_layers:
        scene.view_layers.remove(scene.view_layers[LAYER])
    tree = _compositor(scene)
    if tree is None:
        return
    for node in [node for node in tree.nodes if node.label == _LABEL]:
        if node.bl_idname != "CompositorNodeRLayers":
            source = _input(node, 1).links[0].from_socket if _input(node, 1).links else None
            for link in list(_output(node).links):
                if source is not None:
                    tree.links.new(source, link.to_socket)
        tree.nodes.remove(node)


def is_set_up(scene: bpy.types.Scene) -> bool:
    """Whether the scene renders shadows on 4D scenes."""
    return LAYER in scene.view_layers


def is_in_step(scene: bpy.types.Scene) -> bool:
    """Whether the view layer shows what it should: objects and proxies of the 4D scenes that are shown, no splats."""
    splats = [part for root in roots(scene) for part in parts(root, *SHOWN)]
    return (
        all(_is_apart(part, scene) for part in splats)
        and not _orphans(scene)
        and not list(_wanted(scene))
        and all(shown.exclude == excluded for shown, excluded in _excluded(scene))
    )


def _is_apart(part: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    there = {scene.collection, *scene.collection.children_recursive}
    return all(keeps_apart(found, *SHOWN) for found in part.users_collection if found in there)


def _excluded(scene: bpy.types.Scene) -> Iterator[tuple[bpy.types.LayerCollection, bool]]:
    """Each collection in the view layer of the shadows, and whether it is left out there, as the first layer has it."""
    usual = next(layer for layer in scene.view_layers if layer.name != LAYER)
    waiting = [(usual.layer_collection, scene.view_layers[LAYER].layer_collection, False)]
    while waiting:
        seen, shown, out = waiting.pop(0)
        if seen.collection != scene.collection:
            if keeps_apart(seen.collection, PROXY):
                out = out or not any(is_shown(root, usual) for root in map(root_of, seen.collection.objects) if root)
            else:
                out = seen.exclude or keeps_apart(seen.collection, *SHOWN)
            yield shown, out
        waiting += [(*pair, out) for pair in zip(seen.children, shown.children, strict=True)]


def can_be_set_up(scene: bpy.types.Scene) -> bool:
    """Whether there is a 4D scene, and a proxy, be it of one that was deleted."""
    return bool(roots(scene) and _proxies(scene))


def _proxies(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    return [thing for thing in scene.objects if thing.cyclorama.role == PROXY]


def _orphans(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Proxies whose 4D scene was deleted: as their collection is left out, they are not selected with the rest."""
    there = set(roots(scene))
    return [proxy for proxy in _proxies(scene) if root_of(proxy) not in there]


def _wanted(scene: bpy.types.Scene) -> Iterator[tuple[bpy.types.Object, bpy.types.Object]]:
    """4D scenes without a proxy (a duplicate, as Blender leaves theirs behind), each with one of the same package."""
    shapes = {root.cyclorama.package: proxy for proxy in _proxies(scene) if (root := root_of(proxy))}
    for root in roots(scene):
        if root.cyclorama.package in shapes and not any(True for _ in parts(root, PROXY)):
            yield root, shapes[root.cyclorama.package]


def _proxies_in_step(scene: bpy.types.Scene) -> None:
    shapes = dict(_wanted(scene))
    for root in roots(scene):
        if any(True for _ in parts(root, PROXY)):
            continue
        proxy = shapes[root].copy() if root in shapes else _made(root)
        if proxy is not None:
            add_proxy(scene, root, proxy)
    for proxy in _orphans(scene):
        mesh = proxy.data
        bpy.data.objects.remove(proxy)
        if not mesh.users:
            bpy.data.meshes.remove(mesh)


def _made(root: bpy.types.Object) -> bpy.types.Object | None:
    """A proxy from the scene's package; None where that has no distances or cannot be read."""
    try:
        depth = opened(package_path(root)).depth_frames()
        return proxy_object(f"{root.name} proxy", depth[0]) if depth else None
    except CycloramaError:
        return None  # playback says why


def _compose(scene: bpy.types.Scene) -> None:
    """Multiply every other view layer's picture by the shadows, wherever it goes."""
    tree = _made_compositor(scene)
    if any(node.label == _LABEL for node in tree.nodes):
        return
    pictures = [node for node in tree.nodes if node.bl_idname == "CompositorNodeRLayers" and node.layer != LAYER]
    if not pictures:
        pictures = [_first_picture(tree, scene)]
    shadows = tree.nodes.new("CompositorNodeRLayers")
    shadows.scene, shadows.layer, shadows.label = scene, LAYER, _LABEL
    shadows.location = (pictures[0].location.x, pictures[0].location.y - 420)
    caught = next(socket for socket in shadows.outputs if socket.name in ("Shadow Catcher", "ShadowCatcher"))
    for picture in pictures:
        multiply = _multiply_node(tree)
        tree.links.new(shadows.outputs[COVER], _input(multiply, 0))
        multiply.location = (picture.location.x + 320, picture.location.y - 120)
        shown = picture.outputs["Image"]
        targets = [link.to_socket for link in shown.links]
        tree.links.new(shown, _input(multiply, 1))
        tree.links.new(caught, _input(multiply, 2))
        for target in targets:
            tree.links.new(_output(multiply), target)


def _compositor(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The compositor's nodes, which Blender 5 keeps in a node group; None where there are none."""
    return getattr(scene, "compositing_node_group", None) or getattr(scene, "node_tree", None)


def _made_compositor(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The same, made where there are none."""
    if not hasattr(scene, "compositing_node_group"):
        scene.use_nodes = True
    elif scene.compositing_node_group is None:
        tree = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        tree.nodes.new("NodeGroupOutput").location = (700, 0)
        scene.compositing_node_group = tree
    made = _compositor(scene)
    assert made is not None
    return made


def _first_picture(tree: bpy.types.NodeTree, scene: bpy.types.Scene) -> bpy.types.Node:
    """The render, led straight to the compositor's output."""
    picture = tree.nodes.new("CompositorNodeRLayers")
    picture.scene = scene
    picture.layer = next(layer.name for layer in scene.view_layers if layer.name != LAYER)
    kinds = ("CompositorNodeComposite", "NodeGroupOutput")
    output = next((node for node in tree.nodes if node.bl_idname in kinds), None)
    if output is None:
        output = tree.nodes.new(kinds[0])
    tree.links.new(picture.outputs["Image"], output.inputs[0])
    return picture


def _multiply_node(tree: bpy.types.NodeTree) -> bpy.types.Node:
    if hasattr(bpy.types, "CompositorNodeMixRGB"):
        node = tree.nodes.new("CompositorNodeMixRGB")
    else:
        node = tree.nodes.new("ShaderNodeMix")
        node.data_type = "RGBA"
    node.blend_type = "MULTIPLY"
    node.label = _LABEL
    return node


def _input(node: bpy.types.Node, number: int) -> bpy.types.NodeSocket:
    """0: the factor; 1 and 2: the pictures."""
    return [socket for socket in node.inputs if socket.enabled][number]


def _output(node: bpy.types.Node) -> bpy.types.NodeSocket:
    return next(socket for socket in node.outputs if socket.enabled)
