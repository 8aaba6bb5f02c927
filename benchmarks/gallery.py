"""Pictures of many kinds, each shrunk by a Gaussian of its own: for looking at estimates one by one."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from sr_ops.camera.kernels import gaussian
from sr_ops.estimation.estimate import Estimate
from sr_ops.estimation.signs import Signs

from .kernel_shots import Camera, shots
from .quality import OUT, Case

HERE = OUT / "gallery"

SIGMAS = (0.3, 1.2)
"""LR pixels: between them widths along and across are drawn, of any direction."""

SEED = 5

SCALE, SIDE = 2, 384
"""SIDE: HR pixels; larger pictures are cut to their middle."""

SATELLITE = ("test_tiled", "OSBS_029", "cogeo", "image_rgb_mask", "201404_13SED190110_201404_0x1500m_CL_1_nodata")
"""Of satellite/: three bands of 8 bits, all or nearly all of them known."""

Covariance = tuple[float, float, float]
"""xx, xy, yy in LR pixels squared."""


@dataclass(frozen=True)
class Shot:
    """A picture, and the Gaussian that shrank it."""

    case: Case
    covariance: Covariance
    along: float
    across: float
    """Standard deviations in LR pixels; `along` is the direction."""
    degrees: float

    def error(self, found: Covariance) -> float:
        return apart(found, self.covariance)


def cameras(number: int, scale: int, noise: float) -> list[Camera]:
    """Gaussians in their place, the same at every scale but for their size, drawn one after the other."""
    return [_camera(along, across, degrees, scale, noise) for along, across, degrees in _draws(number)]


def covariance_of(along: float, across: float, degrees: float) -> Covariance:
    """Of a Gaussian of these standard deviations."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    first, second = along**2, across**2
    return first * cosine**2 + second * sine**2, (first - second) * cosine * sine, first * sine**2 + second * cosine**2


def apart(one: Covariance, other: Covariance) -> float:
    """Frobenius norm of the difference."""
    xx, xy, yy = (a - b for a, b in zip(one, other, strict=True))
    return math.hypot(xx, math.sqrt(2) * xy, yy)


def estimated(levels: Tensor) -> Estimate | None:
    """The camera of (C, H, W) of 8-bit levels, as srpipe estimates it."""
    return Signs(levels.float() / 255, None, 1 / 255).estimate


def gallery(data: Path, noise: float) -> list[Shot]:
    """Set5, Set14, Kodak and satellite pictures at x2; of a picture the Gaussian is the same with noise and without."""
    hrs = [path for folder in ("set5", "set14", "kodak") for path in sorted((data / folder).glob("*.png"))]
    hrs += [data / "satellite" / f"{name}.tif" for name in SATELLITE]
    drawn = zip(hrs, _draws(len(hrs)), strict=True)
    return [_shot(hr, along, across, degrees, noise) for hr, (along, across, degrees) in drawn]


def _draws(number: int) -> list[tuple[float, float, float]]:
    draw = np.random.default_rng(SEED)
    return [(draw.uniform(*SIGMAS), draw.uniform(*SIGMAS), draw.uniform(0, 180)) for _ in range(number)]


def _camera(along: float, across: float, degrees: float, scale: int, noise: float) -> Camera:
    first, second = scale * along, scale * across
    spec = f"gaussian:{first:.4f},{second:.4f},{degrees:.2f}"
    name = f"noise{noise:g}" if noise else "clean"
    return Camera(name, gaussian(first, second, degrees, scale), spec, noise, f"{noise:g}")


def _shot(hr: Path, along: float, across: float, degrees: float, noise: float) -> Shot:
    folder = HERE / hr.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    middle = folder / f"{hr.stem}.png"
    with Image.open(hr) as picture:
        width, height = (min(side, SIDE) // SCALE * SCALE for side in picture.size)
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        picture.crop((left, top, left + width, top + height)).save(middle)
    camera = _camera(along, across, degrees, SCALE, noise)
    (case,) = shots(f"gallery-{hr.parent.name}", [middle], SCALE, [camera], folder / "lr")
    return Shot(case, covariance_of(along, across, degrees), along, across, degrees)
