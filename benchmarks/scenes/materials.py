"""Materials of the test scenes: procedural, with detail at several sizes, so that features can be tracked on them."""

from __future__ import annotations

import bpy

Colour = tuple[float, float, float]


class _Tree:
    """A node tree that is written down node by node."""

    def __init__(self, name: str):
        self.material = bpy.data.materials.new(name)
        self.tree = self.material.node_tree
        self.tree.nodes.clear()

    def node(self, kind: str, settings: dict | None = None, **inputs) -> bpy.types.Node:
        """A node with properties and inputs set; an input that is a socket is linked. ``_`` stands for a space."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in (settings or {}).items():
            setattr(node, name, value)
        for name, value in inputs.items():
            self.put(node.inputs[name.replace("_", " ")], value)
        return node

    def put(self, socket: bpy.types.NodeSocket, value) -> None:
        """Link or set one input."""
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = (*value, 1.0) if socket.type == "RGBA" else value

    def mix(self, share, first, second) -> bpy.types.NodeSocket:
        """``first`` where ``share`` is 0, ``second`` where it is 1."""
        node = self.node("Mix", {"data_type": "RGBA"})
        colours = [socket for socket in node.inputs if socket.type == "RGBA"]
        for socket, value in zip([node.inputs[0], *colours], (share, first, second), strict=True):
            self.put(socket, value)
        return next(socket for socket in node.outputs if socket.type == "RGBA")

    def noise(self, position, size: float, detail: float = 6.0) -> bpy.types.NodeSocket:
        """Noise stretched to 0..1, with features of ``size`` metres."""
        value = self.node("TexNoise", Vector=position, Scale=1 / size, Detail=detail, Roughness=0.65).outputs[0]
        return self.node("MapRange", Value=value, From_Min=0.3, From_Max=0.7).outputs[0]

    def speckled(self, dark, light, size: float) -> bpy.types.NodeSocket:
        """Two colours mixed by fine noise, and shaded by coarse noise."""
        position = self.node("TexCoord").outputs["Object"]
        fine = self.mix(self.noise(position, size), dark, light)
        shade = self.node("MapRange", Value=self.noise(position, 9 * size, 3.0), To_Min=0.65, To_Max=1.15).outputs[0]
        return self.node("VectorMath", {"operation": "SCALE"}, Vector=fine, Scale=shade).outputs[0]

    def finish(self, colour, roughness=0.9, bump: bpy.types.NodeSocket | None = None, bump_height=0.02, **inputs):
        """Close the tree with a principled surface."""
        surface = self.node("BsdfPrincipled", Base_Color=colour, Roughness=roughness, **inputs)
        if bump is not None:
            normal = self.node("Bump", Height=bump, Distance=bump_height, Strength=0.8)
            self.put(surface.inputs["Normal"], normal.outputs[0])
        self.tree.links.new(surface.outputs[0], self.node("OutputMaterial").inputs["Surface"])
        return self.material


def plain(name: str, colour: Colour, roughness: float = 0.5, metallic: float = 0.0) -> bpy.types.Material:
    """One colour."""
    return _Tree(name).finish(colour, roughness, Metallic=metallic)


def speckled(name: str, dark: Colour, light: Colour, size: float, roughness: float = 0.9) -> bpy.types.Material:
    """Stone, bark, leaves, plaster, asphalt: two colours in grains of ``size`` metres, slightly bumpy."""
    tree = _Tree(name)
    position = tree.node("TexCoord").outputs["Object"]
    grain = tree.noise(position, size)
    return tree.finish(tree.speckled(dark, light, size), roughness, bump=grain, bump_height=0.2 * size)


def bricks(
    name: str,
    first: Colour,
    second: Colour,
    joint: Colour,
    width: float,
    height: float,
    gap: float,
    offset: float = 0.5,
) -> bpy.types.Material:
    """Bricks, planks or tiles on the UVs (metres), with grain; ``offset``: how far every other row is shifted."""
    tree = _Tree(name)
    pattern = _pattern(tree, first, second, joint, width, height, gap, offset)
    position = tree.node("TexCoord").outputs["Object"]
    shade = tree.node("MapRange", Value=tree.noise(position, 0.25), To_Min=0.7, To_Max=1.1).outputs[0]
    colour = tree.node("VectorMath", {"operation": "SCALE"}, Vector=pattern.outputs["Color"], Scale=shade).outputs[0]
    return tree.finish(colour, 0.75)


def facade(name: str, dark: Colour, light: Colour, width: float, storey: float) -> bpy.types.Material:
    """A house wall in which every ``width`` x ``storey`` metres there is a window (UVs in metres)."""
    tree = _Tree(name)
    wall = tree.speckled(dark, light, 0.35)
    frames = _pattern(tree, (0.75, 0.73, 0.68), (0.7, 0.68, 0.62), (0, 0, 0), width, storey, 0.26 * storey, 0.0)
    panes = _pattern(tree, (0.015, 0.02, 0.03), (0.09, 0.12, 0.15), (0, 0, 0), width, storey, 0.3 * storey, 0.0)
    is_wall, is_frame = frames.outputs["Factor"], panes.outputs["Factor"]
    window = tree.mix(is_frame, panes.outputs["Color"], frames.outputs["Color"])
    roughness = tree.node("MapRange", Value=is_frame, To_Min=0.12, To_Max=0.8).outputs[0]
    return tree.finish(tree.mix(is_wall, window, wall), roughness)


def terrain(name: str, shore_height: float) -> bpy.types.Material:
    """Grass on the flat, rock where it is steep, sand below ``shore_height`` (z in metres)."""
    tree = _Tree(name)
    position = tree.node("TexCoord").outputs["Object"]
    grass = tree.mix(
        tree.noise(position, 6.0), tree.speckled((0.03, 0.07, 0.012), (0.13, 0.19, 0.04), 0.35), (0.17, 0.15, 0.05)
    )
    rock = tree.speckled((0.10, 0.09, 0.08), (0.32, 0.29, 0.26), 1.6)
    sand = tree.speckled((0.22, 0.17, 0.10), (0.42, 0.35, 0.24), 0.12)
    upward = tree.node("SeparateXYZ", Vector=tree.node("NewGeometry").outputs["Normal"]).outputs["Z"]
    steep = tree.node("MapRange", Value=upward, From_Min=0.93, From_Max=0.82).outputs[0]
    height = tree.node("SeparateXYZ", Vector=position).outputs["Z"]
    low = tree.node("MapRange", Value=height, From_Min=shore_height + 0.25, From_Max=shore_height).outputs[0]
    colour = tree.mix(low, tree.mix(steep, grass, rock), sand)
    return tree.finish(colour, 0.95, bump=tree.noise(position, 0.3), bump_height=0.06)


def water(name: str) -> bpy.types.Material:
    """Opaque water: dark, glossy; the waves are in the mesh, ripples finer than it in the material."""
    tree = _Tree(name)
    ripples = tree.noise(tree.node("TexCoord").outputs["Object"], 0.6)
    return tree.finish((0.01, 0.045, 0.05), 0.06, bump=ripples, bump_height=0.012, IOR=1.33)


def cloud(name: str) -> bpy.types.Material:
    """White, and a little bright by itself, as light scatters through a cloud."""
    tree = _Tree(name)
    colour = tree.speckled((0.72, 0.74, 0.78), (0.95, 0.95, 0.95), 2.5)
    return _no_lamp(tree.finish(colour, 1.0, Emission_Color=(0.75, 0.82, 0.95), Emission_Strength=0.25))


def glowing(name: str, colour: Colour, strength: float) -> bpy.types.Material:
    """A lamp's surface: lamps are meshes here, so that they have a distance like all else."""
    return _Tree(name).finish((0.0, 0.0, 0.0), Emission_Color=colour, Emission_Strength=strength)


def distance_to_viewer(name: str, far: float) -> bpy.types.Material:
    """Shines with the distance along the ray, in metres, at most ``far``: rendered, its colour is the ground truth."""
    tree = _Tree(name)
    along_ray = tree.node("CameraData").outputs["View Distance"]
    nearest = tree.node("Math", {"operation": "MINIMUM"})
    tree.put(nearest.inputs[0], along_ray)
    tree.put(nearest.inputs[1], far)
    shine = tree.node("Emission", Strength=nearest.outputs[0], Color=(1.0, 1.0, 1.0))
    tree.tree.links.new(shine.outputs[0], tree.node("OutputMaterial").inputs["Surface"])
    return _no_lamp(tree.material)


def _no_lamp(material: bpy.types.Material) -> bpy.types.Material:
    """Cycles need not look for light from here: to list every triangle as a lamp takes it seconds a frame."""
    material.cycles.emission_sampling = "NONE"
    return material


def _pattern(tree: _Tree, first, second, joint, width, height, gap, offset) -> bpy.types.Node:
    settings = {"offset": offset, "offset_frequency": 2, "squash": 1.0}
    return tree.node(
        "TexBrick",
        settings,
        Vector=tree.node("TexCoord").outputs["UV"],
        Color1=first,
        Color2=second,
        Mortar=joint,
        Scale=1.0,
        Mortar_Size=gap,
        Mortar_Smooth=0.02,
        Brick_Width=width,
        Row_Height=height,
    )
