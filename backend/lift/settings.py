"""How a fit is made: three named ways, the two papers' and ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..raster.splats import Look
from .densify import Densification
from .losses import DISTURBED_4K4DGEN, DISTURBED_TIP4GEN, Disturbance, Weights
from .optimiser import Limits, Rates

Views = Literal["icosahedron", "any"]
"""Where a step of the fit looks: along one of 20 axes, roll 0, or anywhere, rolled anyhow."""


@dataclass(frozen=True)
class FitSettings:
    """One way to fit.

    Attributes:
        iterations: of Adam, for what stands still and for each frame of what moves; 0: the geometry stays as it was
            seeded, and the colours that show the video best are solved for (``colours.solved``).
        mode: of the rasterizer.
        views, fov: what one iteration sees; radians.
        size: pixels of a view; 0: a quarter of the panorama's width.
        weights: of the losses (4K4DGen eq. 5, TiP4GEN eq. 12).
        disturbance: of the camera, for the semantic loss.
        densification: Gaussians are added and removed by it.
        rates, limits: of Adam's steps.
        hold, solver_iterations: see ``colours.solved``.
    """

    iterations: int = 0
    mode: Look = "tents"
    views: Views = "icosahedron"
    fov: float = float(np.radians(80))
    size: int = 0
    weights: Weights = field(default_factory=Weights)
    disturbance: Disturbance = field(default_factory=Disturbance)
    densification: Densification = field(default_factory=lambda: Densification(kind="none"))
    rates: Rates = field(default_factory=Rates)
    limits: Limits = field(default_factory=Limits)
    hold: float = 0.1
    solver_iterations: int = 5


FAST = FitSettings()
"""Ours: surfels as Blender draws them, and colours by least squares."""

AS_4K4DGEN = FitSettings(
    iterations=10_000,
    mode="classic",
    weights=Weights(),
    disturbance=DISTURBED_4K4DGEN,
    densification=Densification(kind="default", stop=5_000),
)
"""4K4DGen section 3.4 and its appendix C: 20 views of 80°, a quarter of the panorama wide.
Gaussians multiply in the first half of the fit, as in 3DGS."""

AS_TIP4GEN = FitSettings(
    iterations=15_000,
    mode="classic",
    views="any",
    fov=float(np.radians(90)),
    size=512,
    weights=Weights(lpips=0.05, temporal=0.0, semantic=1.0),
    disturbance=DISTURBED_TIP4GEN,
    densification=Densification(kind="default", stop=7_500),
)
"""TiP4GEN eq. 12 to 15 and appendix A.2: any view of 90°, 512 pixels."""

NAMED = {"fast": FAST, "4k4dgen": AS_4K4DGEN, "tip4gen": AS_TIP4GEN}
