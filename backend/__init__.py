"""The generation backend: a process of its own, on CUDA or the CPU."""

from importlib.metadata import version

__version__ = version("cyclorama")
