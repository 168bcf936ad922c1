"""Daylight for the test scenes that are outdoors."""

from __future__ import annotations

import math

import bpy


def daylight(sun_latitude: float, sun_longitude: float) -> None:
    """A clear sky and a sun towards longitude and latitude (degrees, as in the picture)."""
    latitude, longitude = math.radians(sun_latitude), math.radians(sun_longitude)
    tree = bpy.context.scene.world.node_tree
    sky = tree.nodes.new("ShaderNodeTexSky")
    sky.sky_type, sky.sun_disc = "MULTIPLE_SCATTERING", False
    sky.sun_elevation, sky.sun_rotation = latitude, longitude
    background = tree.nodes["Background"]
    tree.links.new(sky.outputs[0], background.inputs["Color"])
    background.inputs["Strength"].default_value = 0.12
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.angle, light.color = 4.5, math.radians(1.0), (1.0, 0.94, 0.84)
    sun = bpy.data.objects.new("sun", light)
    sun.rotation_euler = (math.pi / 2 - latitude, 0, math.pi - longitude)
    sun.visible_camera = False
    bpy.context.scene.collection.objects.link(sun)
