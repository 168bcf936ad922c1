"""A scene to render: as fine as the panorama, up to 2048 pixels around the horizon, fitted."""

import bpy

settings = bpy.context.scene.cyclorama

settings.width = 0
settings.lift = "fast"
settings.gaussians = 0
settings.steps = 25
settings.spherical_steps = 10
settings.compression = "none"
