"""Between the light of a panorama and the pictures that video models know: 8-bit photographs.

A panorama with values in 0..1 is such a picture already: only the sRGB curve is applied. One with more light (HDR) is
exposed like a photograph, and its highlights are compressed by a shoulder: the sRGB curve up to ``_KNEE``, and from
there on the logarithm of the light, without a kink. On the shoulder a model's error of 0.01 changes the light by 5.3 %,
however bright it is: as much as at the knee, and less than anywhere below it. White is 3.15 times the light of a plain
sRGB curve's white. What is brighter still (suns, lamps) is white for the model; ``lights`` gives it back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from ..sphere.colour import linear_from_srgb, srgb_from_linear
from ..sphere.equirectangular import latitudes

_KNEE = 0.4
"""Display value where the shoulder begins; a mid-grey of 18 % light is 0.46."""

_SLOPE = 2.4 / (_KNEE + 0.055)
"""d ln(light) / d(display value) on the shoulder: as the sRGB curve has it at the knee, 5.27."""

# The sRGB curve above its linear toe, IEC 61966-2-1.
_KNEE_LIGHT = ((_KNEE + 0.055) / 1.055) ** 2.4
_WHITE_LIGHT = _KNEE_LIGHT * math.exp(_SLOPE * (1 - _KNEE))
"""Light (after exposure) that is just white, 3.15."""

_MIDDLE_GREY = 0.18
"""Where the geometric mean of a photograph's light sits."""

_HIGHLIGHTS = ((0.10, 1.0), (0.02, _WHITE_LIGHT))
"""At most this share of the sphere is lighter than that, however dark the rest; so nights stay dark."""

_DARKEST = 1e-4
"""Light that counts as black in the geometric mean."""


@dataclass(frozen=True)
class Exposure:
    """How the light of one panorama becomes a display picture, and back. Each colour channel by itself.

    Attributes:
        factor: light is multiplied by this first.
        is_hdr: whether highlights are compressed; if not, light is in 0..1 and ``factor`` is 1.
    """

    factor: float
    is_hdr: bool

    @classmethod
    def of(cls, image: Float[np.ndarray, "height width 3"]) -> Exposure:
        """The exposure for a scene-linear panorama: none at all if its values are in 0..1."""
        if image.max() <= 1:
            return cls(1.0, is_hdr=False)
        luminance = image.reshape(len(image), -1, 3) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
        area = np.repeat(np.cos(latitudes(len(image)))[:, None], luminance.shape[1], axis=1)
        mean = np.exp(np.average(np.log(luminance + _DARKEST), weights=area))
        factors = [_MIDDLE_GREY / mean]
        factors += [light / max(_upper_quantile(luminance, area, share), _DARKEST) for share, light in _HIGHLIGHTS]
        return cls(float(min(factors)), is_hdr=True)

    @property
    def white(self) -> float:
        """Light of the panorama that is just white; more cannot be told apart."""
        return _WHITE_LIGHT / self.factor if self.is_hdr else 1.0

    def to_display(self, linear: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """Scene-linear light -> sRGB display values in 0..1, float32."""
        if not self.is_hdr:
            return srgb_from_linear(linear)
        light = np.asarray(linear, np.float32) * np.float32(self.factor)
        bent = _KNEE + np.log(np.maximum(light, _KNEE_LIGHT) / _KNEE_LIGHT) / _SLOPE
        return np.where(light < _KNEE_LIGHT, srgb_from_linear(light), np.minimum(bent, 1.0)).astype(np.float32)

    def to_linear(self, display: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """Inverse of ``to_display``; display values are clipped to 0..1, so the brightest light is ``white``."""
        display = np.clip(np.asarray(display, np.float32), 0.0, 1.0)
        if not self.is_hdr:
            return linear_from_srgb(display)
        bent = _KNEE_LIGHT * np.exp(_SLOPE * (np.maximum(display, _KNEE) - _KNEE))
        light = np.where(display < _KNEE, linear_from_srgb(display), bent)
        return (light / self.factor).astype(np.float32)

    def lights(self, image: Float[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 3"]:
        """How many times brighter than ``white`` the still panorama is: at least 1, and 1 wherever it is not.

        Times ``to_linear(to_display(image))`` this is ``image``; times a frame of the video, its suns shine again.
        """
        return np.maximum(image / np.float32(self.white), 1.0).astype(np.float32)


def _upper_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The value that ``share`` of the weight lies above."""
    order = np.argsort(values, axis=None)[::-1]
    above = np.cumsum(weights.ravel()[order])
    return float(values.ravel()[order[np.searchsorted(above, share * above[-1])]])
