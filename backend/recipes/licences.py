"""Which licences an artist has to read before work is sold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...bridge.scene import Model
from ..models.registry import FREE_LICENCES


def licence_notes(models: Iterable[Model]) -> Iterator[str]:
    """A sentence for each model whose licence may not leave commercial work free, or is not known."""
    for model in models:
        if model.licence.lower() not in FREE_LICENCES:
            licence = (
                f"The licence of {model.id} is {model.licence}" if model.licence else f"{model.id} names no licence"
            )
            yield f"{licence}: read it before you use this scene in commercial work."
