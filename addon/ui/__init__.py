"""What the artist sees."""

from .panel import register, unregister

__all__ = ["register", "unregister"]
