"""Gaussians to spots in the picture of one camera, and gradients back, for all modes.

What is cut off of a spot is what is fainter than 1/255, never more. (gsplat draws surfels in those tiles only that 3.33
standard deviations, by the box around the outline at one, touch: of one much smaller than a pixel the disc may end at a
tile's border.)
"""

from __future__ import annotations

from math import isfinite

from numba import prange

from .ewa import ewa_gradient, ewa_spot
from .kernels import parallel_kernel
from .spots import NEAR
from .surfels import surfel_gradient, surfel_spot
from .view_space import add_gradients, axes_in_view, mean_and_distance


@parallel_kernel
def project(lens, width, height, position, rotation, scale, opacity, surfels, antialiased, low_pass, spots):
    """Fill ``spots`` (as ``Spots.empty`` gives them) with what the camera sees of the Gaussians.

    Whatever cannot be drawn is left out: with NaN or infinity, nearer than ``NEAR``, too faint, outside the picture;
    surfels without extent.
    """
    distances, z_depths = spots.distance, spots.z_depth
    for i in prange(len(position)):
        mean, distance = mean_and_distance(lens, position[i])
        if mean[2] > NEAR and isfinite(distance):
            distances[i], z_depths[i] = distance, mean[2]
            axes, solid = axes_in_view(lens, rotation[i], scale[i]), float(opacity[i])
            if surfels:
                surfel_spot(i, lens, width, height, mean, axes, solid, low_pass, spots)
            else:
                ewa_spot(i, lens, width, height, mean, axes, solid, antialiased, spots)


@parallel_kernel
def project_back(
    lens, width, height, position, rotation, scale, surfels, antialiased, low_pass,
    radii, v_centre, v_shape, v_distance, v_position, v_rotation, v_scale,
):  # fmt: skip
    """Add to the gradients of position, rotation and scale those of one camera's spots, where ``radii`` > 0."""
    for i in prange(len(position)):
        if radii[i] > 0:
            mean, _ = mean_and_distance(lens, position[i])
            axes = axes_in_view(lens, rotation[i], scale[i])
            if surfels:
                v_axes, v_mean = surfel_gradient(lens, mean, axes, v_centre[i], v_shape[i], low_pass)
            else:
                v_axes, v_mean = ewa_gradient(lens, width, height, mean, axes, v_centre[i], v_shape[i], antialiased)
            add_gradients(
                lens, position[i], rotation[i], scale[i], v_mean, v_axes, v_distance[i],
                v_position[i], v_rotation[i], v_scale[i],
            )  # fmt: skip
