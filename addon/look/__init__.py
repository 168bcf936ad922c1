"""How splats look: node groups and materials, built in code; and the artist's controls of them."""

from .dressing import dress, light

__all__ = ["dress", "light"]
