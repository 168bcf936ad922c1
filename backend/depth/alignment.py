"""How the views of a video are corrected so that they agree: the result of every way to align them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from .predictions import Kind, Predictions


@dataclass(frozen=True)
class Alignment:
    """Corrections of an estimator's values: ``(scale · value + shift) · exp(bend)``.

    The result is, up to one factor for each frame, 1 / z for the kind "disparity" and z for the others, z being the
    depth along the view's axis.

    Attributes:
        scale: (frame, view), positive.
        shift: (frame, view, nodes, nodes) values at nodes spread evenly over the view, each in the middle of its share
            (one node: the same everywhere; as many as pixels: one each), bilinear between them.
        bend: the same, of the logarithm; 0 where no method bends.
        trust: (frame, view) beside the other views; 1, or next to nothing for a view that contradicts them.
        disagreement: by how much views differ where they overlap: usual natural logarithm of their ratio.
        notes: what is to be said of it, a sentence each.
    """

    scale: Float[np.ndarray, "frame view"]
    shift: Float[np.ndarray, "frame view rows columns"]
    bend: Float[np.ndarray, "frame view rows columns"]
    trust: Float[np.ndarray, "frame view"]
    disagreement: float
    notes: tuple[str, ...] = ()

    def corrected(self, predictions: Predictions, frame: int, view: int) -> Float[np.ndarray, "row column"]:
        """What the view says of 1 / z or z after the correction; NaN where it says nothing."""
        values = predictions.values[frame, view]
        straight = self.scale[frame, view] * values + spread(self.shift[frame, view], len(values))
        return straight * np.exp(spread(self.bend[frame, view], len(values)))


def spread(nodes: Float[np.ndarray, "rows columns"], size: int) -> Float[np.ndarray, "size size"]:
    """Values at nodes as values at the pixels of a view."""
    if len(nodes) == size:
        return nodes
    return cv2.resize(np.asarray(nodes, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def cosine_power(kind: Kind) -> int:
    """What power of z / distance turns 1 / z or z into 1 / distance or distance."""
    return 1 if kind == "disparity" else -1
