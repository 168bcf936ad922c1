"""The managed backend: an environment of its own, made by Blender's Python, that no artist has to know pip for.

``installer`` is a program of its own (standard library only) that does the work; ``session`` starts and watches it.
"""
