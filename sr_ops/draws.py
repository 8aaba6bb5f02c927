"""What a prior learns from: crops of HR pictures, shrunk by cameras drawn at random, with noise, JPEG and their bases.

Everything is drawn and made on the device in batches, by FFT over patches that are wider than what is learned from, so
that a GPU is not kept waiting. A patch and what surrounds it stand for the inside of an image; some are treated as
whole images, mirrored borders and all, so that borders are learned, too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from . import dihedral
from .degradation import data_weight
from .direct import BASE_RANGE, JPEG_NOISE, NOISE_UNIT, planes
from .jpeg import CHROMA_STEPS, round_blocks, steps_of_quality
from .kernels import Kernel, bicubic, bilinear, box, lanczos, middle
from .resample import axis_matrix

MARGIN = 16
"""LR pixels around a crop: a multiple of 8, and more than a data step carries of what wraps around."""

BANK_SIDE = 41

_LOWEST_QUALITY, _HIGHEST_QUALITY = 30, 96
"""Of JPEG: below, few are found; above, nothing is lost that rounding to 8 bits would keep."""


class Batch(NamedTuple):
    """What one step learns from."""

    lr: Tensor
    """(B, C, c, c)."""
    base: Tensor
    """(B, C, c s, c s)."""
    told: Tensor
    """(B, 1, 2): `direct.planes`, the same for all bands."""
    hr: Tensor
    """(B, C, c s, c s)."""


@dataclass(frozen=True)
class Odds:
    """How often a draw has what, each of 0 to 1."""

    bicubic: float = 0.35
    noise: float = 0.4
    jpeg: float = 0.15
    grey: float = 0.15
    border: float = 0.25
    swapped: float = 0.5
    """Bands in another order."""
    inverted: float = 0.1


class Album:
    """HR pictures (3, H, W) uint8 of many sizes in one vector on the device, for cutting patches with one gather."""

    def __init__(self, pictures: Sequence[Tensor], odds: Sequence[float], device: torch.device) -> None:
        self._pixels = torch.cat([picture.reshape(-1) for picture in pictures]).to(device)
        starts = [0, *accumulate(picture.numel() for picture in pictures[:-1])]
        geometry = [(start, *picture.shape[-2:]) for start, picture in zip(starts, pictures, strict=True)]
        self._geometry = torch.tensor(geometry, device=device)
        self._cumulated = (torch.tensor(odds).double().cumsum(0) / sum(odds)).float().to(device)
        self._places: dict[int, Tensor] = {}

    def patches(self, count: int, side: int, generator: Generator) -> Tensor:
        """(count, 3, side, side) float32 in [0, 1], each turned by a random element of the dihedral group."""
        device = self._pixels.device
        drawn = torch.rand(count, device=device, generator=generator)
        chosen = torch.searchsorted(self._cumulated, drawn).clamp_max(len(self._geometry) - 1)
        start, height, width = self._geometry[chosen].unbind(-1)
        top = (torch.rand(count, device=device, generator=generator) * (height - side + 1)).long()
        left = (torch.rand(count, device=device, generator=generator) * (width - side + 1)).long()
        element = torch.randint(dihedral.ORDER, (count,), device=device, generator=generator)
        rows, columns = self._turned(side)[element].unbind(1)
        inside = (top[:, None, None] + rows) * width[:, None, None] + left[:, None, None] + columns
        band = torch.arange(3, device=device)[None, :, None, None] * (height * width)[:, None, None, None]
        return self._pixels[start[:, None, None, None] + band + inside[:, None]].float() / 255

    def _turned(self, side: int) -> Tensor:
        """(8, 2, side, side): the row and column that each pixel of a turned patch has in the picture."""
        if side not in self._places:
            places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
            turned = [dihedral.transform(places, element) for element in range(dihedral.ORDER)]
            self._places[side] = torch.stack(turned).to(self._pixels.device)
        return self._places[side]


def kernel_bank(scale: int, count: int, odds: Odds, seed: int, device: torch.device) -> Tensor:
    """(count, 41, 41) float32 kernels: bicubic with `odds.bicubic`, else of every kind a camera may have."""
    generator = Generator().manual_seed(seed)
    fixed = [_taps(bicubic(scale))] * round(odds.bicubic * count)
    named = [_taps(make(scale)) for make in (box, bilinear, lanczos)] * max(1, round(0.02 * count))
    motion = [_motion(scale, generator) for _ in range(round(0.14 * count))]
    gaussians = _gaussians(scale, count - len(fixed) - len(named) - len(motion), generator)
    return torch.cat([torch.stack([*fixed, *named, *motion]), gaussians]).float().to(device)


def _taps(kernel: Kernel) -> Tensor:
    margin = (BANK_SIDE - kernel.side) // 2
    return pad(kernel.taps, (margin,) * 4)


def _gaussians(scale: int, count: int, generator: Generator) -> Tensor:
    """Isotropic ones and others, some sharpened, at the phases that are usual and at random ones."""
    widest = 0.65 * scale + 1.3
    first, second, angle, kind, phase = torch.rand(5, count, generator=generator, dtype=torch.float64)
    sigma_1 = 0.25 + first * (widest - 0.25)
    sigma_2 = torch.where(kind < 0.4, sigma_1, 0.25 + second * (widest - 0.25))
    angle = angle * math.pi
    centred, corner = torch.full((count,), middle(scale), dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    random = torch.rand(2, count, generator=generator, dtype=torch.float64) * (scale + 1) - 1
    rows = torch.where(phase < 0.45, centred, torch.where(phase < 0.8, corner, random[0]))
    columns = torch.where(phase < 0.45, centred, torch.where(phase < 0.8, corner, random[1]))
    grid = torch.arange(BANK_SIDE, dtype=torch.float64) - BANK_SIDE // 2
    y, x = grid[None, :, None] - rows[:, None, None], grid[None, None, :] - columns[:, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]

    def bell(widen: float) -> Tensor:
        s1, s2 = (sigma_1 * widen)[:, None, None], (sigma_2 * widen)[:, None, None]
        taps = torch.exp(-0.5 * (((x * cosine + y * sine) / s1) ** 2 + ((y * cosine - x * sine) / s2) ** 2))
        return taps / taps.sum((1, 2), keepdim=True)

    amount = torch.rand(count, generator=generator, dtype=torch.float64)
    amount = torch.where(amount < 0.12, amount / 0.12, torch.zeros_like(amount))[:, None, None]
    return (1 + amount) * bell(1.0) - amount * bell(1.8)


def _motion(scale: int, generator: Generator) -> Tensor:
    """The path of a shaken camera: a random walk with a slowly turning direction, drawn with a small pen."""
    steps = 60
    length, straight, start = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    turns = torch.randn(steps, generator=generator, dtype=torch.float64) * (0.02 + 0.35 * straight**2)
    direction = 2 * math.pi * start + turns.cumsum(0)
    reach = (3 + 15 * length) / steps
    path = torch.stack([direction.sin(), direction.cos()]).cumsum(1) * reach
    middle_of_path = path.mean(1, keepdim=True)
    jitter = torch.rand(2, 1, generator=generator, dtype=torch.float64) * 2 - 1
    at = torch.rand((), generator=generator).item()
    path = path - middle_of_path + jitter + (middle(scale) if at < 0.5 else 0.0)
    grid = torch.arange(BANK_SIDE, dtype=torch.float64) - BANK_SIDE // 2
    pen = 0.35 + 0.4 * torch.rand((), generator=generator).item()
    rows = torch.exp(-0.5 * ((grid[:, None] - path[0]) / pen) ** 2)
    columns = torch.exp(-0.5 * ((grid[:, None] - path[1]) / pen) ** 2)
    taps = rows @ columns.T
    return taps / taps.sum()


class Draws:
    """Batches for one scale and 3 bands or 1, all drawn from one generator of the device."""

    def __init__(
        self, album: Album, kernels: Tensor, scale: int, bands: int, crop: int, odds: Odds, seed: int = 0
    ) -> None:
        self.generator = Generator(kernels.device).manual_seed(seed)
        self._album, self._kernels, self._scale, self._bands = album, kernels, scale, bands
        self._crop, self._odds = crop, odds
        device = kernels.device
        self._side = crop + 2 * MARGIN
        self._up = axis_matrix(self._side, self._side * scale).float().to(device)
        self._up_crop = axis_matrix(crop, crop * scale).float().to(device)
        tables = torch.stack([steps_of_quality(max(1, quality)) for quality in range(101)])
        self._luma = tables.to(device)
        chroma = torch.stack([steps_of_quality(max(1, quality), CHROMA_STEPS) for quality in range(101)])
        self._chroma = chroma.to(device)
        # All constants are on the device before a step: a CUDA graph can hold no copy from the host.
        self._to_ycc, self._from_ycc = _YCC.to(device), torch.linalg.inv(_YCC).to(device)
        ring = torch.zeros(self._side, self._side, device=device)
        ring[4:-4, 4:-4] = 1
        inside = torch.zeros_like(ring)
        inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
        self._masks = torch.stack([ring, inside])

    @torch.no_grad()
    def batch(self, size: int) -> Batch:
        """One step's, of `size` crops."""
        scale, device = self._scale, self._kernels.device
        hr = self._coloured(self._album.patches(size, self._side * scale, self.generator))
        kernel = self._kernels[torch.randint(len(self._kernels), (size,), device=device, generator=self.generator)]
        transfer = self._transfer(kernel, hr.shape[-1])
        lr = _observed(hr, transfer, scale)
        sigma = self._some(size, self._odds.noise) * self._even(size) ** 1.5 * NOISE_UNIT
        lr = lr + torch.randn(lr.shape, device=device, generator=self.generator) * sigma[:, None, None, None]
        lr, step = self._compressed(lr, self._some(size, self._odds.jpeg))
        lr = torch.where(self._some(size, 0.9)[:, None, None, None] > 0, (lr * 255).round().clamp(0, 255) / 255, lr)
        base = self._base(lr, transfer, sigma**2 + (step * JPEG_NOISE) ** 2)
        told = planes(sigma, step)[:, None]
        inner, outer = slice(MARGIN, -MARGIN), slice(MARGIN * scale, -MARGIN * scale)
        return Batch(lr[..., inner, inner], base[..., outer, outer], told, hr[..., outer, outer])

    def _some(self, batch: int, odds: float) -> Tensor:
        return (self._even(batch) < odds).float()

    def _even(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self._kernels.device, generator=self.generator)

    def _coloured(self, hr: Tensor) -> Tensor:
        """Bands in a random order, brightness and contrast changed; some in grey; for one band, one of them."""
        batch = len(hr)
        order = self._even(batch, 3).argsort(1)
        mixed = hr.gather(1, order[:, :, None, None].expand_as(hr))
        grey = (mixed * self._to_ycc[0, :, None, None]).sum(1, keepdim=True).expand_as(hr)
        swapped = self._some(batch, self._odds.swapped)[:, None, None, None]
        hr = torch.where(swapped > 0, mixed, hr)
        hr = torch.where(self._some(batch, self._odds.grey)[:, None, None, None] > 0, grey, hr)
        gain = 1 - 0.5 * self._even(batch, 1, 1, 1) ** 2
        lift = self._even(batch, 1, 1, 1) * (1 - gain)
        inverted = self._some(batch, self._odds.inverted)[:, None, None, None]
        hr = torch.where(inverted > 0, 1 - hr, hr) * gain + lift
        return hr if self._bands == 3 else hr[:, :1]

    def _transfer(self, kernel: Tensor, side: int) -> Tensor:
        """(B, 1, side, side // 2 + 1) complex: what correlation with the kernel multiplies a spectrum by."""
        margin = side - BANK_SIDE
        rolled = torch.roll(pad(kernel.flip(1, 2), (0, margin, 0, margin)), (-(BANK_SIDE // 2),) * 2, (1, 2))
        transfer: Tensor = torch.fft.rfft2(rolled)
        return transfer[:, None]

    def _compressed(self, lr: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The LR images after JPEG where `chosen` is 1, and the mean step of brightness (B,), 0 for none."""
        batch = len(lr)
        qualities = (_LOWEST_QUALITY + self._even(batch) * (_HIGHEST_QUALITY + 1 - _LOWEST_QUALITY)).long()
        lossy = self._jpeg(lr, qualities, self._some(batch, 0.5) > 0)
        step = self._luma[qualities].mean((1, 2)) * chosen
        return torch.where(chosen[:, None, None, None] > 0, lossy, lr), step

    def _jpeg(self, lr: Tensor, qualities: Tensor, subsampled: Tensor) -> Tensor:
        """(B, C, side, side) as JPEG of these qualities (B,) keeps it; of three bands, colour at 4:2:0 or 4:4:4."""
        luma, chroma = (steps[qualities][:, None, None] for steps in (self._luma, self._chroma))
        if self._bands == 1:
            return (round_blocks(255 * lr - 128, luma) + 128) / 255
        ycc = torch.einsum("bchw,dc->bdhw", 255 * lr, self._to_ycc)
        brightness = round_blocks(ycc[:, :1] - 128, luma) + 128
        fine = round_blocks(ycc[:, 1:], chroma)
        halves = round_blocks(avg_pool2d(ycc[:, 1:], 2), chroma)
        coarse = interpolate(halves, scale_factor=2.0, mode="bilinear", align_corners=False)
        colour = torch.where(subsampled[:, None, None, None], coarse, fine)
        return torch.einsum("bchw,dc->bdhw", torch.cat([brightness, colour], 1), self._from_ycc) / 255

    def _base(self, lr: Tensor, transfer: Tensor, noise_square: Tensor) -> Tensor:
        """`Degradation.data_step` from bicubic, for every image of the batch with its own kernel."""
        scale, side = self._scale, self._side
        whole = self._some(len(lr), self._odds.border)[:, None, None, None]
        crop = lr[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        alone = pad(self._up_crop @ crop @ self._up_crop.T, (MARGIN * scale,) * 4, mode="replicate")
        start = torch.where(whole > 0, alone, self._up @ lr @ self._up.T)
        mask = torch.where(whole > 0, self._masks[1], self._masks[0])
        missing = (lr - _observed(start, transfer, scale)) * mask
        auto = torch.fft.irfft2(transfer.abs() ** 2, s=(side * scale, side * scale))[..., ::scale, ::scale]
        gram = torch.fft.rfft2(auto).real.clamp_min(0)
        weight = data_weight(scale, noise_square)[:, None, None, None]
        solved = torch.fft.irfft2(torch.fft.rfft2(missing) / (gram + weight), s=(side, side))
        pulled: Tensor = torch.fft.irfft2(_spread(solved, scale) * transfer.conj(), s=start.shape[-2:])
        return (start + pulled).clamp(*BASE_RANGE)


def _observed(hr: Tensor, transfer: Tensor, scale: int) -> Tensor:
    """Every `scale`-th row and column of what `transfer` makes of (..., N, N).

    Rows that are left out need not be made: leaving out rows adds up what is n rows apart in a spectrum.
    """
    rows = hr.shape[-2] // scale
    folded = (torch.fft.rfft2(hr) * transfer).unflatten(-2, (scale, rows)).mean(-3)
    seen: Tensor = torch.fft.irfft(torch.fft.ifft(folded, dim=-2), n=hr.shape[-1])
    return seen[..., ::scale]


def _spread(lr: Tensor, scale: int) -> Tensor:
    """The spectrum, as of `rfft2`, of (..., n, n) with zeros between, at HR size: over the rows it repeats itself."""
    between = lr.new_zeros(*lr.shape, scale)
    between[..., 0] = lr
    spectrum: Tensor = torch.fft.fft(torch.fft.rfft(between.flatten(-2)), dim=-2)
    return torch.cat([spectrum] * scale, -2)


_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Of JFIF, chroma around 0."""
