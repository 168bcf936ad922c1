"""A scene to judge the shot by: 1024 pixels around the horizon, fitted."""

import bpy

settings = bpy.context.scene.cyclorama

settings.width = 1024
settings.lift = "fast"
settings.gaussians = 0
settings.steps = 25
settings.spherical_steps = 10
settings.compression = "none"
