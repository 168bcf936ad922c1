"""A request back into the artist's settings: the inverse of ``request``."""

from __future__ import annotations

import bpy

from ..bridge.messages import Generate
from .properties import LOCAL_PROMPTS, RECIPE_SETTINGS
from .regions.settings import load_regions


def load(scene: bpy.types.Scene, asked: Generate) -> tuple[str, ...]:
    """Set everything in ``scene`` as it was asked for then; where scenes are put stays as it is.

    What the request did not carry because nothing read it (see ``request.unread``) gets the recipe's default.

    Returns:
        A sentence for each mask that is gone.
    """
    settings = scene.cyclorama
    settings.panorama_source, settings.panorama = "FILE", asked.panorama
    for name in RECIPE_SETTINGS:
        setattr(settings, name, getattr(asked.settings, name))
    for name, prompt in zip(LOCAL_PROMPTS, asked.settings.local_prompts or ("",) * len(LOCAL_PROMPTS), strict=True):
        setattr(settings, name, prompt)
    return load_regions(scene, asked.settings.regions)
