"""Small JPEGs such as makers of satellite and aerial pictures publish: blurred, noisy, off in colour, sharpened, small.

Of every picture the truth is known. All that is random is drawn from the picture's number.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from PIL import Image
from torch import Generator, Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import gaussian

from .matching import blurred, mover

SCALE = 4

SOURCES = {
    "satellite/OSBS_029.tif": 1,
    "satellite/test_tiled.tif": 3,
    "satellite/cogeo.tif": 3,
    "satellite/image_rgb_mask.tif": 1,
    "satellite/pix4d_alpha_nodata.tif": 2,
    "satellite/RGB.byte.tif": 2,
    "satellite/rgb16.tif": 1,
    "satellite/mosaic_cog1.tif": 1,
    **{f"aerial_drone/dji_00{number}_half.jpg": 1 for number in (18, 21, 24, 28, 31, 35)},
    **{f"photos_cc0/{name}.png": 1 for name in ("city", "house", "mies", "nyc", "path")},
    **{f"kodak/kodim{number:02}.png": 1 for number in (1, 5, 8, 14, 19)},
}
"""Files under DATA, and how many crops of each."""

UNSEEN = "satellite/"
"""Where files lie of which the shipped prior has learned nothing."""

SIDES = (256, 480)
"""HR pixels of a crop."""

_PLACES = 4
"""Of so many known places the one with most detail is taken: the open sea shows nothing."""

_KNOWN = 0.99
"""Share of a crop's pixels: a file may declare its white to be nodata."""


@dataclass(frozen=True)
class Crop:
    """A truth."""

    name: str
    seen: bool
    """Whether the shipped prior may have learned from it."""
    hr: Tensor
    """(3, H, W) uint8, sides multiples of SCALE."""


@dataclass(frozen=True)
class Maker:
    """What is done to a scene until it is a small JPEG; lengths in LR pixels, levels of 8 bits."""

    sigmas: tuple[float, float]
    degrees: float
    shift: tuple[float, float]
    """HR pixels by which the small picture lies beside its truth."""
    noise: float
    """Standard deviation at the middle level."""
    of_light: float
    """Share of the noise's variance that grows with the level."""
    smooth: float
    """Share of the variance that neighbours have in common."""
    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    stretch: float
    """1: from the least half percent to the greatest, all levels are used."""
    amount: float
    radius: float
    """Of the sharpening."""
    quality: int
    colours_halved: bool
    """4:2:0 instead of 4:4:4."""


def drawn(number: int) -> Maker:
    """That of a picture."""
    generator = np.random.default_rng([14, number])

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def rather(low: float, high: float) -> float:
        """More often near the higher end."""
        return max(between(low, high), between(low, high))

    sigma = between(0.3, 0.6)
    return Maker(
        sigmas=(sigma, sigma * between(0.8, 1.0)),
        degrees=between(0, 180),
        shift=(between(-1, 1), between(-1, 1)),
        noise=rather(1, 5),
        of_light=between(0.2, 0.9),
        smooth=between(0, 0.6),
        gains=tuple(between(0.88, 1.12) for _ in range(3)),
        offsets=tuple(between(-10, 10) for _ in range(3)),
        stretch=between(0, 0.6),
        amount=rather(0.3, 1.5),
        radius=between(0.8, 1.2),
        quality=int(generator.integers(70, 93)),
        colours_halved=bool(generator.integers(2)),
    )


def make(hr: Tensor, maker: Maker, number: int) -> bytes:
    """The JPEG of a (3, H, W) truth, a quarter of its sides."""
    along, across = (sigma * SCALE for sigma in maker.sigmas)
    kernel = gaussian(along, across, maker.degrees, SCALE)
    seen = Degradation((kernel,), SCALE).apply(mover(hr)(maker.shift))
    seen = seen + _noise(seen, maker, Generator().manual_seed(number))
    gains, offsets = (torch.tensor(each, dtype=torch.float64)[:, None, None] for each in (maker.gains, maker.offsets))
    seen = gains * seen + offsets
    low, high = (float(torch.quantile(seen, share)) for share in (0.005, 0.995))
    low, high = maker.stretch * low, 255 - maker.stretch * (255 - high)
    seen = (seen - low) / (high - low) * 255
    seen = seen + maker.amount * (seen - blurred(seen, maker.radius))
    pixels = seen.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=maker.quality, subsampling=2 if maker.colours_halved else 0)
    return buffer.getvalue()


def _noise(seen: Tensor, maker: Maker, generator: Generator) -> Tensor:
    """Of the light and of the reading, of each pixel alone and of neighbours together."""
    alone, together = (torch.randn(seen.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    together = blurred(together, 0.7)
    together = together / together.std()
    unit = (1 - maker.smooth) ** 0.5 * alone + maker.smooth**0.5 * together
    level = (seen.clamp_min(0) / 128) * maker.of_light + 1 - maker.of_light
    noise: Tensor = maker.noise * level.sqrt() * unit
    return noise


def crops(data: Path) -> Iterator[Crop]:
    """All of SOURCES."""
    numbered = ((file, part) for file, count in SOURCES.items() for part in range(count))
    for number, (file, part) in enumerate(numbered):
        generator = np.random.default_rng([15, number])
        with rasterio.open(data / file) as raster:
            hr = _cut(raster, generator)
        name = f"{number + 1:02}-{Path(file).stem}" + (f"-{part + 1}" if SOURCES[file] > 1 else "")
        yield Crop(name, not file.startswith(UNSEEN), hr)


def _cut(raster: rasterio.DatasetReader, generator: np.random.Generator) -> Tensor:
    """The place with most detail of some of which nearly all is known, of any size."""
    known = raster.dataset_mask() > 0
    pixels = _to_8_bits(torch.from_numpy(raster.read((1, 2, 3)).astype(np.int32)))
    found: list[Tensor] = []
    while len(found) < _PLACES:
        side = int(generator.integers(SIDES[0], min(SIDES[1], *known.shape) + 1)) // SCALE * SCALE
        top, left = (int(generator.integers(0, length - side + 1)) for length in known.shape)
        window = slice(top, top + side), slice(left, left + side)
        if known[window].mean() > _KNOWN:
            found.append(pixels[:, *window])
    return max(found, key=_detail)


def _detail(hr: Tensor) -> float:
    levels = hr.double()
    return float((levels - blurred(levels, 2 * SCALE)).std())


def _to_8_bits(pixels: Tensor) -> Tensor:
    """More than 8 bits are stretched from their 0.5th to their 99.5th percentile."""
    if pixels.max() < 256:
        return pixels.byte()
    low, high = np.percentile(pixels[pixels > 0].numpy(), (0.5, 99.5))
    stretched: Tensor = ((pixels - low) / (high - low) * 255).round().clamp(0, 255).byte()
    return stretched
