"""Building node trees in a few words."""

from __future__ import annotations

from typing import Any

import bpy


def empty_tree(holder: bpy.types.Material | bpy.types.World) -> bpy.types.NodeTree:
    """The node tree of a material or world, without nodes."""
    if holder.node_tree is None:  # Blender 4.5; later ones always have it
        holder.use_nodes = True
    tree = holder.node_tree
    assert tree
    tree.nodes.clear()
    return tree


def add(tree: bpy.types.NodeTree, kind: str, inputs: dict[Any, Any] | None = None, **properties) -> bpy.types.Node:
    """A new node with its properties set; an input is given a value, or linked when it is given a socket."""
    node = tree.nodes.new(kind)
    for name, value in properties.items():
        setattr(node, name, value)
    for name, value in (inputs or {}).items():
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, node.inputs[name])
        else:
            node.inputs[name].default_value = value
    return node


def arrange(tree: bpy.types.NodeTree) -> None:
    """Lay the nodes out from left to right in the order they were added, so that an artist can read them."""
    for number, node in enumerate(tree.nodes):
        node.location = (200 * (number // 3), -240 * (number % 3))


def local_group(name: str, version: int) -> bpy.types.NodeTree | None:
    """This file's own node group of that name, if it was built by this version; one built otherwise steps aside."""
    tree = bpy.data.node_groups.get((name, None))
    if tree is None or tree.get(_VERSION) == version:
        return tree
    tree.name = f"{name} (before)"
    return None


def new_group(name: str, version: int, kind: str = "GeometryNodeTree") -> bpy.types.NodeTree:
    """An empty node group that ``local_group`` finds."""
    tree = bpy.data.node_groups.new(name, kind)
    tree[_VERSION] = version
    return tree


_VERSION = "cyclorama_version"


def declare(tree: bpy.types.NodeTree, name: str, kind: str, default: Any = None) -> str:
    """A new input of a node group, of a type as in ``NodeSocketFloat``; returns its identifier."""
    socket = tree.interface.new_socket(name, in_out="INPUT", socket_type=f"NodeSocket{kind}")
    if default is not None:
        socket.default_value = default
    return socket.identifier


def attribute(tree: bpy.types.NodeTree, name: str, kind: str) -> bpy.types.NodeSocket:
    """In geometry nodes: the values of a named attribute, of a type as in ``FLOAT_VECTOR``."""
    return add(tree, "GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind).outputs["Attribute"]


def without(tree: bpy.types.NodeTree, geometry: bpy.types.NodeSocket, *names: str) -> bpy.types.NodeSocket:
    """In geometry nodes: ``geometry`` without attributes that nothing needs from there on."""
    for name in names:
        geometry = add(tree, "GeometryNodeRemoveAttribute", {"Geometry": geometry, "Name": name}).outputs[0]
    return geometry


def maths(tree: bpy.types.NodeTree, operation: str, *values) -> bpy.types.NodeSocket:
    """The result of a node *Math*."""
    return add(tree, "ShaderNodeMath", dict(enumerate(values)), operation=operation).outputs[0]


def vector(tree: bpy.types.NodeTree, operation: str, *values) -> bpy.types.NodeSocket:
    """The result of a node *Vector Math*: a number where the operation makes one."""
    outputs = add(tree, "ShaderNodeVectorMath", dict(enumerate(values)), operation=operation).outputs
    return outputs["Value" if operation in ("DOT_PRODUCT", "LENGTH", "DISTANCE") else "Vector"]


def larger(tree: bpy.types.NodeTree, first, second) -> bpy.types.NodeSocket:
    """In geometry nodes: whether ``first`` > ``second``, as a Boolean (a plain *Math* makes a number)."""
    return add(tree, "FunctionNodeCompare", {0: first, 1: second}, data_type="FLOAT", operation="GREATER_THAN").outputs[
        0
    ]


def both(tree: bpy.types.NodeTree, operation: str, *values) -> bpy.types.NodeSocket:
    """The result of a node *Boolean Math*."""
    return add(tree, "FunctionNodeBooleanMath", dict(enumerate(values)), operation=operation).outputs[0]


def switch(tree: bpy.types.NodeTree, kind: str, when, otherwise, then) -> bpy.types.NodeSocket:
    """``then`` when ``when`` is so; what is not chosen is not computed, if ``when`` is one value for all."""
    node = add(tree, "GeometryNodeSwitch", input_type=kind)
    for name, value in (("Switch", when), ("False", otherwise), ("True", then)):
        socket = next(socket for socket in node.inputs if socket.enabled and socket.name == name)
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, socket)
        else:
            socket.default_value = value
    return next(socket for socket in node.outputs if socket.enabled)


def chance(tree: bpy.types.NodeTree, least: float, most: float, seed: int = 0) -> bpy.types.NodeSocket:
    """In geometry nodes: a number for each element, by its ``id`` or else index: the same in every frame."""
    node = add(tree, "FunctionNodeRandomValue", {"Seed": seed}, data_type="FLOAT")
    minimum, maximum = (socket for socket in node.inputs if socket.enabled and socket.name in ("Min", "Max"))
    minimum.default_value, maximum.default_value = least, most
    return next(socket for socket in node.outputs if socket.enabled)
