"""A scene to judge the motion by: small, and lifted the fastest way."""

import bpy

settings = bpy.context.scene.cyclorama

settings.width = 768
settings.lift = "direct"
settings.gaussians = 0
settings.steps = 12
settings.spherical_steps = 5
settings.compression = "none"
