"""What stands still in a panoramic video, when nobody painted what moves.

Two witnesses. Colour: a pixel changes by more than the video's noise. Motion: optical flow on tangent views, from the
first frame. Flat parts have no flow that could be trusted, and fine ones change colour by a tremble that is none of our
business: so colour alone decides where there is nothing to follow, and where there is, a change counts if it is more
than a shift by ``SLACK`` pixels explains.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from ..sphere.colour import srgb_from_linear
from ..sphere.equirectangular import directions, latitudes
from ..sphere.icosphere import VIEW_FOV, view_rotations
from ..sphere.periodic import blur, dilate, gradient, label, resize
from ..sphere.sampling import sample_views, tangent_views
from ..sphere.views import rays
from .predicting import exposure_for

SLACK = 0.3
"""Displacement in pixels of the panorama (of the width we work at) that still counts as standing still."""

LARGEST_WIDTH = 1024
"""Wider videos are reduced to this: their noise falls, and motion that shows only beyond it moves no geometry."""

_VIEW_SIZE = 256  # pixels
_FLOW_FRAMES = 12
"""Frames that flow is estimated to; colour is compared in all."""

_BLUR = 1.0  # pixels, before anything is compared
_NOISE_QUANTILE = 0.2
"""Noise is what the stillest fifth of the sphere shows, so that up to four fifths may move."""

_LEAST_NOISE, _LARGEST_NOISE = 0.5 / 255, 6 / 255
"""Of differences in sRGB 0..1, after the blur: more is no noise, even if everything changes so."""

_NOISES = 4.0
"""Standard deviations of a difference that noise keeps within, but for specks."""

_MEAN_OF_NOISE = 0.798
"""Mean absolute value of normally distributed numbers of standard deviation 1."""

_TEXTURE = 1.0
"""Contrast per pixel, in noise, from which on flow is trusted: rather a still place too few than a moving one held."""

_WINDOW = 7  # pixels of a view that a displacement is judged by

_VIEW_EDGE = 0.3
"""From this far inside a view's edge (share of its half width) its flow counts less and less."""

_SMALLEST_MOVING, _SMALLEST_STILL = 1e-4, 1e-3
"""Share of the sphere that a moving thing has at least (less is noise), and a still place between moving ones (less is
a hole in a moving thing: its plain inside, which looks the same wherever it is)."""

_GROW = 3
"""Pixels that moving regions grow: flow and blur see a moving thing's border too small."""


def still(frames: Float[np.ndarray, "frame height width 3"]) -> Bool[np.ndarray, "height width"]:
    """What neither moves nor changes over the whole video, with a margin around what does.

    Args:
        frames: scene-linear Rec.709; what is white at their exposure (``exposure_for``) is not told apart. The camera
            stands still: if it does not, only plain parts (a clear sky) seem to.

    Returns:
        All True for one frame. All False if everything changes, as when the video has a cut.
    """
    shape = frames.shape[1:3]
    if len(frames) == 1:
        return np.ones(shape, bool)
    exposure = float(np.nan_to_num(exposure_for(frames), nan=1.0))
    first = _display(frames[0], exposure)
    noise, changes = _changes(frames, first, exposure)
    moves = changes | _moves(frames, first, exposure, noise)
    moves = _without_specks(moves, _SMALLEST_MOVING)
    if not moves.any():
        return np.ones(shape, bool)
    moves = ~_without_specks(~dilate(moves, _GROW), _SMALLEST_STILL)
    return resize((~moves).astype(np.float32), *shape) > 0.999


def _display(frame: Float[np.ndarray, "height width 3"], exposure: float) -> Float32[np.ndarray, "rows columns 3"]:
    """sRGB 0..1 of the width we work at, a little blurred."""
    width = min(frame.shape[1], LARGEST_WIDTH)
    return blur(srgb_from_linear(exposure * resize(frame.astype(np.float32), width // 2, width)), _BLUR)


def _changes(
    frames: Float[np.ndarray, "frame height width 3"], first: Float32[np.ndarray, "rows columns 3"], exposure: float
) -> tuple[float, Bool[np.ndarray, "rows columns"]]:
    """The noise, and where a frame's colour differs from the first by more than it and a shift by ``SLACK`` explain."""
    changed = np.zeros(first.shape[:2], bool)
    slack = SLACK * np.nan_to_num(gradient(first))
    noises = []
    for frame in frames[1:]:
        difference = np.abs(_display(frame, exposure) - first)
        noise = float(np.clip(_noise(difference.mean(axis=-1)), _LEAST_NOISE, _LARGEST_NOISE))
        changed |= np.nan_to_num(difference.max(axis=-1), nan=np.inf) > _NOISES * noise + slack
        noises.append(noise)  # each frame's own: a flash must not hide what moves in the others
    return float(np.median(noises)), changed


def _noise(difference: Float32[np.ndarray, "rows columns"]) -> float:
    """Standard deviation of what noise makes two frames differ by, from the stillest part of the sphere."""
    local = blur(difference, 4.0)  # its mean, which noise alone makes the same everywhere
    middle = slice(len(local) // 6, len(local) - len(local) // 6)  # a pole's rows show few things many times
    return float(np.nan_to_num(np.quantile(local[middle], _NOISE_QUANTILE))) / _MEAN_OF_NOISE


def _moves(
    frames: Float[np.ndarray, "frame height width 3"],
    first: Float32[np.ndarray, "rows columns 3"],
    exposure: float,
    noise: float,
) -> Bool[np.ndarray, "rows columns"]:
    """Where flow from the first frame to others is more than ``SLACK`` pixels, as most views say that show it."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    before = _grey_views(first)
    seen_by = [_Texture(one, noise) for one in before]
    votes = np.zeros(before.shape, np.float32)
    for number in np.unique(np.linspace(1, len(frames) - 1, _FLOW_FRAMES).round().astype(int)):
        after = _grey_views(_display(frames[number], exposure))
        for view, texture in enumerate(seen_by):
            displacement = flow.calc(before[view], after[view], None)  # pyright: ignore[reportCallIssue, reportArgumentType]
            moved = texture.shows(displacement)
            votes[view] = np.maximum(votes[view], moved > SLACK * 2 * np.pi / first.shape[1])
    return _most(votes, len(first))


class _Texture:
    """The structure tensor of a view: in which directions, and where at all, a displacement would show."""

    def __init__(self, grey: UInt8[np.ndarray, "row column"], noise: float):
        picture = grey.astype(np.float32) / 255
        across, down = (cv2.Scharr(picture, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1)))
        self._xx, self._xy, self._yy = (
            cv2.blur(product, (_WINDOW, _WINDOW)) for product in (across * across, across * down, down * down)
        )
        middle, half = (self._xx + self._yy) / 2, (self._xx - self._yy) / 2
        self._largest = middle + np.hypot(half, self._xy)
        self._contrast = np.sqrt(self._largest) > _TEXTURE * noise

    def shows(self, flow: Float32[np.ndarray, "row column 2"]) -> Float32[np.ndarray, "row column"]:
        """Angle in radians that each pixel moves by; along an edge, which cannot be seen, and where plain: 0."""
        x, y = flow[..., 0], flow[..., 1]
        squared = self._xx * x * x + 2 * self._xy * x * y + self._yy * y * y
        share = np.sqrt(np.maximum(squared, 0) / np.maximum(self._largest, 1e-12)) / np.maximum(np.hypot(x, y), 1e-6)
        return np.where(self._contrast, share * _angle(flow), 0)


def _angle(flow: Float32[np.ndarray, "row column 2"]) -> Float32[np.ndarray, "row column"]:
    """Angle in radians (small ones) between where a view's pixels look before and after they moved."""
    before = rays(_VIEW_SIZE, _VIEW_SIZE, VIEW_FOV)
    after = before.copy()
    after[..., :2] += flow * (2 * np.tan(VIEW_FOV / 2) / _VIEW_SIZE)
    one, other = (towards / np.linalg.norm(towards, axis=-1, keepdims=True) for towards in (before, after))
    return np.linalg.norm(other - one, axis=-1)


def _grey_views(display: Float32[np.ndarray, "rows columns 3"]) -> UInt8[np.ndarray, "view row column"]:
    grey = torch.from_numpy(np.nan_to_num(display).mean(axis=-1))[None]
    views = tangent_views(grey, torch.from_numpy(view_rotations()), _VIEW_SIZE, _VIEW_SIZE, float(VIEW_FOV), "bilinear")
    return (views[:, 0].clamp(0, 1) * 255).round().byte().numpy()


def _most(votes: Float32[np.ndarray, "view row column"], height: int) -> Bool[np.ndarray, "height width"]:
    """What the views say together, each trusted less towards its edge, where things come in and go out."""
    inside = np.clip((1 - np.abs((np.arange(_VIEW_SIZE) + 0.5) / _VIEW_SIZE * 2 - 1)) / _VIEW_EDGE, 0.02, 1)
    trust = np.minimum(inside[:, None], inside[None, :]).astype(np.float32)
    pictures = torch.from_numpy(np.stack([votes * trust, np.broadcast_to(trust, votes.shape)], axis=1))
    towards = torch.from_numpy(directions(height))
    said, _ = sample_views(pictures, torch.from_numpy(view_rotations()), float(VIEW_FOV), towards)
    yes, all_votes = said.sum(dim=0).numpy()
    return yes > 0.5 * all_votes


def _without_specks(mask: Bool[np.ndarray, "height width"], smallest: float) -> Bool[np.ndarray, "height width"]:
    """The mask without regions that have a smaller share of the sphere than ``smallest``."""
    labels, count = label(mask)
    area = np.broadcast_to(np.cos(latitudes(len(mask)))[:, None], mask.shape)
    share = np.bincount(labels.ravel(), area.ravel(), count + 1) / area.sum()
    large = share >= smallest
    large[0] = False
    return large[labels]
