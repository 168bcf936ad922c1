"""Depth edges: where a nearer surface ends before a farther one; finding them, and making blurred ones sharp again.

Between every two pixels that touch there is a link, to the east or to the north. Slopes are d(log distance) per
radian of arc, which is the tangent of the angle between the surface's normal and the ray. No slope alone tells an
edge from level ground near the horizon or a street's wall, but a plane does: its inverse distance is n·ω / h, so along
a great circle it is a straight line (but for the square of the step). Edges are what is steep and not straight.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ..sphere.equirectangular import latitudes, with_border

_STEEPEST_WALL = 4.0
"""A surface seen at 76° from its normal; up to here all is believed."""

_LEVEL = 1.2
"""Level ground and ceilings are believed up to so many times their own slope, cot φ: real ones undulate."""

_BEND = 0.35
"""Two steps of inverse distance, one after the other, are of one plane if they differ by no more than this share."""

_NOISE = 5.0
"""An edge is a step of more than so many standard deviations of the noise."""

_SMALLEST_STEP = 0.01
"""Of the distance; around the poles neighbours of a row are so close that less would count as steep."""

_LONGEST_BLUR = 5
"""Links that a blurred edge may take; a straight line longer than that is a plane."""

_TAILS = 2
"""A blur with its faint ends may take so many times its width."""

_TURNS = 3
"""A corner's pixel may lead along one blurred edge to a pixel of another, and so on."""

Map = Float[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]
Links = tuple[np.ndarray, np.ndarray]
"""(height, width): from each pixel to the next to the east; (height + 1, width): over each row's upper border to the
north, the first and the last over the poles."""


def depth_edges(distance: Map) -> Mask:
    """Pixels on either side of a depth edge (``DepthVideo.edges``); right across ±180° and over the poles.

    Args:
        distance: along the ray, metres, above 0 and finite.

    An edge is a link that is steep (``steep_links``) and no part of a plane that is seen seven pixels far or more.
    Steps of less than 4 pixel widths of arc (2.5 % at 1024 x 512) are none, nor is what the map's own noise explains.
    """
    east, north = broken_links(distance)
    return east | np.roll(east, 1, axis=1) | north[:-1] | north[1:]


def broken_links(distance: Map, longest_blur: int = _LONGEST_BLUR) -> Links:
    """Which links cross a depth edge (``depth_edges``); a straight line of up to ``longest_blur`` links is no plane."""
    height, width = distance.shape
    margin = _columns(longest_blur, width)
    nearness = with_border(1 / distance.astype(np.float64), margin + 1, longest_blur + 1)
    columns = np.minimum(longest_blur / np.cos(latitudes(height))[:, None], margin)
    rows = np.full((width, 1), longest_blur)
    east = _straight_links(nearness[longest_blur + 1 : -longest_blur - 1], columns)[:, margin + 1 : -margin]
    north = _straight_links(nearness[:, margin + 1 : -margin - 1].T, rows).T[longest_blur:-longest_blur]
    slopes = link_slopes(distance)
    steep_east, steep_north = steep_links(slopes)
    arc, noise = np.pi / height, _noisiest_step(slopes)
    stands_out = np.abs(slopes[0]) * (arc * np.cos(latitudes(height)))[:, None] > noise, np.abs(slopes[1]) * arc > noise
    return steep_east & stands_out[0] & ~east, steep_north & stands_out[1] & ~north


def link_slopes(distance: Map) -> Links:
    """d(log distance) per radian of arc along each link, towards the east and towards the north."""
    height = len(distance)
    arc = np.pi / height
    log_distance = np.log(distance)
    across = np.diff(log_distance, axis=1, append=log_distance[:, :1]) / (arc * np.cos(latitudes(height)))[:, None]
    rise = -np.diff(with_border(log_distance, 1)[:, 1:-1], axis=0) / arc
    return across, rise


def steep_links(slopes: Links) -> Links:
    """Which links are steeper than a wall and, towards the north, than level ground or ceiling at that latitude.

    Both recede towards the horizon, so there only links that recede too are measured by them.
    """
    across, rise = slopes
    height = len(across)
    arc = np.pi / height
    rows_above_horizon = height / 2 - np.arange(height + 1)[:, None]
    level = _LEVEL / np.tan(np.maximum(np.abs(rows_above_horizon) - 0.5, 0.5) * arc)
    recedes = rise * np.sign(rows_above_horizon) <= 0
    steepest = np.where(recedes, np.maximum(level, _STEEPEST_WALL), _STEEPEST_WALL)
    return np.abs(across) > _STEEPEST_WALL, np.abs(rise) > steepest


def _noisiest_step(slopes: Links) -> float:
    """How far apart, in the logarithm, neighbours on one surface may be by noise alone; at least 1 %.

    From the median of the second differences along columns, of which edges and creases are few.
    """
    rise = slopes[1]
    bends = np.abs(np.diff(rise, axis=0)) * np.pi / (len(rise) - 1)
    standard_deviation = float(np.median(bends)) / (0.6745 * np.sqrt(6))  # of one pixel, were they independent
    return max(_NOISE * np.sqrt(2) * standard_deviation, _SMALLEST_STEP)


def sharpened(
    distance: Float32[np.ndarray, "height width"], radius: int = 2, *, as_disparity: bool = False
) -> Float32[np.ndarray, "height width"]:
    """``distance`` without rubber sheets: what networks and resampling blur at an edge goes to one of its sides.

    A pixel that lies on a slope of broken links, the same way on both sides, is put to the end of that slope whose
    distance is nearer to its own in the logarithm, a fair middle of disparity and distance. All others, smooth
    surfaces and crests of thin things among them, keep their values to the bit.

    Args:
        distance: along the ray, metres, above 0 and finite.
        radius: a slope of up to 2·radius + 1 links (of 1/height of a half circle) is a blur, a longer one a surface.
        as_disparity: the blur is known to be one of 1 / distance (estimators that predict disparity): the middle is
            found there. Of anything else this makes near things grow.
    """
    height, width = distance.shape
    longest = 2 * radius + 1
    east, north = broken_links(distance, longest)
    cos = np.cos(latitudes(height))[:, None]
    pixel = np.arange(distance.size).reshape(distance.shape)
    margin = _columns(longest, width)
    ends_across, width_across = _ends(
        with_border(distance, margin, 0),
        with_border(pixel, margin, 0),
        with_border(east, margin, 0)[:, :-1],
        np.minimum(longest / cos, margin / _TAILS),
        as_disparity,
    )
    rows = _TAILS * longest + 1
    ends_along, width_along = _ends(
        with_border(distance, 0, rows).T,
        with_border(pixel, 0, rows).T,
        _over_the_poles(north, rows - 1).T,
        np.full((width, 1), longest),
        as_disparity,
    )
    across, along = (slice(None), slice(margin, -margin)), (slice(None), slice(rows, -rows))
    ends = np.where(width_across[across] * cos <= width_along[along].T, ends_across[across], ends_along[along].T)
    for _ in range(_TURNS):
        ends = ends.ravel()[ends]
    return distance.ravel()[ends]


def _ends(
    distance: Map,
    pixel: Int[np.ndarray, "height width"],
    broken: Mask,
    longest: Float[np.ndarray, "height 1"],
    as_disparity: bool,
) -> tuple[Int[np.ndarray, "height width"], Map]:
    """For pixels within a blurred edge along a row: which ``pixel`` lies at its nearer end, and its width in links.

    A blur is a run of broken links that all rise or all fall. Its width is the whole rise over the steepest step, so
    that faint tails hardly count. Pixels outside, and in what is wider than ``longest``, are their own ends, and their
    width is infinite.
    """
    step = np.where(broken, np.diff(np.log(distance), axis=1), 0)
    run, starts, links = _runs(np.sign(step))
    steepest = np.maximum.reduceat(np.abs(step).ravel(), starts)
    row = starts // step.shape[1]
    first = starts + row
    at_ends = distance.ravel()[[first, first + links]]
    widths = np.abs(np.log(at_ends[1] / at_ends[0])) / np.where(steepest > 0, steepest, 1)
    is_blur = (steepest > 0) & (links <= _TAILS * longest[row, 0]) & (widths <= longest[row, 0])
    inside = np.nonzero((np.diff(run, axis=1, prepend=-1) == 0) & is_blur[run])
    blur = run[inside]
    one, other = at_ends[:, blur]
    middle = 2 / (1 / one + 1 / other) if as_disparity else np.sqrt(one * other)
    second = (distance[inside] < middle) == (other < one)
    end, width = pixel.copy(), np.full(distance.shape, np.inf)
    end[inside] = pixel.ravel()[first[blur] + np.where(second, links[blur], 0)]
    width[inside] = widths[blur]
    return end, width


def _runs(values: np.ndarray) -> tuple[Int[np.ndarray, "height links"], np.ndarray, np.ndarray]:
    """Runs of equal values along rows: the number of each value's run; where runs start in the flat array; lengths."""
    turns = np.diff(values.astype(np.float32), axis=1, prepend=np.nan) != 0  # each row begins anew
    starts = np.flatnonzero(turns)
    return (np.cumsum(turns) - 1).reshape(turns.shape), starts, np.diff(starts, append=turns.size)


def _columns(links: int, width: int) -> int:
    """How many columns so many links of arc are looked for in; at most 16 times as many, next to the poles."""
    return min(16 * links, width // 4)


def _over_the_poles(north: Mask, rows: int) -> Mask:
    """Links to the north, continued by ``rows`` along the meridians on the other side of both poles."""
    half = north.shape[1] // 2
    above, below = (np.roll(part, half, axis=1) for part in (north[rows:0:-1], north[-2 : -2 - rows : -1]))
    return np.concatenate([above, north, below])


def _straight_links(nearness: Map, longest_blur: Float[np.ndarray, "height 1"]) -> Mask:
    """Which links along the rows of a map of inverse distance belong to a straight line longer than a blur."""
    step = np.diff(nearness, axis=1)
    longer = np.maximum(np.abs(step[:, :-1]), np.abs(step[:, 1:]))
    straight = np.pad(np.abs(np.diff(step, axis=1)) <= _BEND * longer, ((0, 0), (1, 1)))
    run, _, lengths = _runs(straight)
    line = straight & (lengths[run] >= longest_blur)
    return line[:, :-1] | line[:, 1:]
