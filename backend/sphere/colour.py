"""Between scene-linear Rec.709 and sRGB (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np


def linear_from_srgb(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0..1 -> scene-linear, float32."""
    srgb = np.asarray(srgb, np.float32)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """Scene-linear (clipped to 0..1) -> sRGB 0..1, float32."""
    linear = np.clip(np.asarray(linear, np.float32), 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def psnr(srgb_a: np.ndarray, srgb_b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two sRGB images in 0..1."""
    error = np.mean((srgb_a.astype(np.float64) - srgb_b) ** 2)
    return float("inf") if error == 0 else float(-10 * np.log10(error))
