"""A program that installs, repairs and removes the backend's environment; Blender's Python runs it, outside Blender.

It needs nothing but the standard library, and says what it does in lines of JSON.
"""
