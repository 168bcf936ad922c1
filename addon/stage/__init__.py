"""A 4D scene as Blender data: splats, playback, world light, camera."""
