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
