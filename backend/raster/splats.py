"""What is rasterized and from where: Gaussians and cameras as tensors, and the pictures they give."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...bridge.gaussians import Gaussians, colour_from_radiance, radiance_from_colour

Mode = Literal["classic", "antialiased", "surfels"]
"""How a Gaussian becomes a spot in the picture. "classic": 3DGS, projected by the derivative at its centre (EWA) and
widened by 0.3 pixel²; "antialiased": the same, with the opacity lowered by what the widening added (Mip-Splatting);
"surfels": 2DGS, its local xy plane met by each pixel's ray, the third scale unread."""

Look = Literal["classic", "antialiased", "surfels", "tents"]
"""A mode, or "tents": surfels as our node group draws them in Blender, cut at two standard deviations and met by each
ray in the order it meets them (``tents``). On the CPU only, and only colours have gradients."""


@dataclass(frozen=True)
class Splats:
    """n Gaussians in scene space as float32 tensors on one device; any of them may require a gradient.

    Attributes:
        position: (n, 3) metres.
        rotation: (n, 4) quaternion w, x, y, z of any length; turns local axes into scene space.
        scale: (n, 3) linear standard deviations in metres along the local axes.
        opacity: (n,) 0..1.
        colour: (n, 3) scene-linear Rec.709, not premultiplied.
    """

    position: Float[Tensor, "n 3"]
    rotation: Float[Tensor, "n 4"]
    scale: Float[Tensor, "n 3"]
    opacity: Float[Tensor, " n"]
    colour: Float[Tensor, "n 3"]

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, chosen) -> Splats:
        """Those chosen by an index tensor, mask or slice."""
        return Splats(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def of(cls, gaussians: Gaussians, device: torch.device | str = "cpu") -> Splats:
        """Gaussians of the bridge as tensors."""
        radiance = gaussians.radiance
        arrays = (
            gaussians.position,
            gaussians.rotation,
            gaussians.scale,
            radiance[:, 3],
            colour_from_radiance(radiance),
        )
        return cls(*(torch.from_numpy(np.array(array, np.float32)).to(device) for array in arrays))

    def gaussians(self) -> Gaussians:
        """The inverse of ``of``; rotations become unit quaternions."""
        rotation = torch.nn.functional.normalize(self.rotation, dim=1)
        position, rotation, scale, opacity, colour = (
            tensor.detach().cpu().numpy() for tensor in (self.position, rotation, self.scale, self.opacity, self.colour)
        )
        return Gaussians(position, rotation, scale, radiance_from_colour(colour, opacity))


@dataclass(frozen=True)
class Cameras:
    """c perspective cameras with pictures of one size (OpenCV: x right, y down, z forward; pixel centres at i + ½).

    Attributes:
        position: (c, 3) float32, metres, scene space.
        R_scene_from_view: (c, 3, 3) float32.
        focal: (c, 2) float32, pixels, horizontal and vertical.
        centre: (c, 2) float32, principal point in pixels: (width / 2, height / 2) in the middle.
        width, height: pixels.
    """

    position: Float[Tensor, "c 3"]
    R_scene_from_view: Float[Tensor, "c 3 3"]
    focal: Float[Tensor, "c 2"]
    centre: Float[Tensor, "c 2"]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.position)

    def __getitem__(self, chosen: slice | list[int]) -> Cameras:
        """Those chosen."""
        tensors = {name: getattr(self, name)[chosen] for name in ("position", "R_scene_from_view", "focal", "centre")}
        return replace(self, **tensors)

    @classmethod
    def square(
        cls,
        R_scene_from_view: Float[np.ndarray, "c 3 3"],
        size: int,
        fov: float,
        position: Float[np.ndarray, "*c 3"] | tuple[float, float, float] = (0.0, 0.0, 0.0),
        device: torch.device | str = "cpu",
    ) -> Cameras:
        """Square pictures of ``size`` pixels that see ``fov`` radians across.

        Args:
            position: of all of them, or of each.
        """
        rotations = torch.as_tensor(np.asarray(R_scene_from_view, np.float32), device=device)
        count = len(rotations)
        focal = size / 2 / float(np.tan(fov / 2))
        places = torch.as_tensor(np.asarray(position, np.float32), device=device).expand(count, 3)
        return cls(
            position=places.contiguous(),
            R_scene_from_view=rotations,
            focal=torch.full((count, 2), focal, device=device),
            centre=torch.full((count, 2), size / 2, device=device),
            width=size,
            height=size,
        )


@dataclass(frozen=True)
class Rendered:
    """Pictures of c cameras.

    Attributes:
        colour: (c, height, width, 3) scene-linear Rec.709, premultiplied; with the background where one was given.
        alpha: (c, height, width) 0..1, how much of the background is covered.
        distance: (c, height, width) metres along the ray: the mean over the Gaussians that are seen, each counted at
            its centre and by its share in the pixel; 0 where there is none.
        centres: (c, n, 2) where the Gaussians' centres are in the picture, pixels; keeps its gradient if one is taken
            (for densification).
        radii: (c, n) int32, pixels their spots reach to; 0: not in the picture.
    """

    colour: Float[Tensor, "c height width 3"]
    alpha: Float[Tensor, "c height width"]
    distance: Float[Tensor, "c height width"]
    centres: Float[Tensor, "c n 2"]
    radii: Tensor
