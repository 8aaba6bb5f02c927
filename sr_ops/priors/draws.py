"""Training examples for a prior: crops of HR pictures, shrunk by random cameras, with noise, JPEG and their bases.

Everything is drawn and computed on the device in batches, by FFT over patches wider than the crops, so that a GPU does
not wait. Most crops stand for the inside of an image. Some are treated as whole images with mirrored borders, so that
borders are learned, too.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from ..camera.degradation import data_weight
from ..camera.kernels import bicubic
from ..estimation.jpeg import CHROMA_STEPS, round_blocks, steps_of_quality
from ..image.borders import mirrored
from ..image.resample import axis_matrix
from ..networks.direct import BASE_RANGE, JPEG_NOISE, NOISE_UNIT, planes
from .album import Album
from .drawn_kernels import BANK_SIDE, cameras, in_bank

MARGIN = 16
"""LR pixels around a crop: a multiple of 8, and more than the distance that a data step carries what wraps around."""

_LOWEST_QUALITY, _HIGHEST_QUALITY = 30, 96
"""Range of JPEG qualities. Lower ones are rare; higher ones lose nothing that rounding to 8 bits would keep."""

_MOST_SHARPENED = 1.6
"""Largest amount of the unsharp mask, whose radius is about one LR pixel."""

_MOST_GRAIN = 8 / 255
_MOST_UNSEEN = 2 / 255

_CAMERAS = 2000

_GUESSED = 0.75
"""How often the base of a processed image assumes bicubic, as it does for any image with unknown kernel."""

_SOFT_GAIN = 2.5
"""Restores, approximately, the strength that noise had before it was blurred."""


class Batch(NamedTuple):
    """What one training step learns from."""

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
    """Probabilities of each property of a draw, from 0 to 1."""

    bicubic: float = 0.35
    noise: float = 0.4
    unseen: float = 0.0
    """Noise of up to two levels that the network is not told of, because no measurement would find it."""
    jpeg: float = 0.15
    processed: float = 0.5
    """Share of JPEGs whose camera's or maker's blur, grain and sharpening the network is not told of."""
    grey: float = 0.15
    border: float = 0.25
    swapped: float = 0.5
    """Bands in random order."""
    inverted: float = 0.1


class Draws:
    """Batches for one scale and 3 bands or 1, all drawn from one generator on the device."""

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
        # All constants are on the device before a step: a CUDA graph cannot hold a copy from the host.
        self._to_ycc, self._from_ycc = _YCC.to(device), torch.linalg.inv(_YCC).to(device)
        ring = torch.zeros(self._side, self._side, device=device)
        ring[4:-4, 4:-4] = 1
        inside = torch.zeros_like(ring)
        inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
        self._masks = torch.stack([ring, inside])
        self._cameras = cameras(scale, _CAMERAS, Generator().manual_seed(seed)).float().to(device)
        self._assumed = in_bank(bicubic(scale)).float().to(device)

    @torch.no_grad()
    def batch(self, size: int) -> Batch:
        """Draw a batch of `size` crops."""
        scale, device = self._scale, self._kernels.device
        hr = self._coloured(self._album.patches(size, self._side * scale, self.generator))
        lossy = self._some(size, self._odds.jpeg)
        processed = lossy * self._some(size, self._odds.processed)
        kernel = self._one_of(self._kernels, size)
        kernel = torch.where(processed[:, None, None] > 0, self._one_of(self._cameras, size), kernel)
        lr = _observed(hr, self._transfer(kernel, hr.shape[-1]), scale)
        sigma = self._some(size, self._odds.noise) * self._even(size) ** 1.5 * NOISE_UNIT
        unseen = self._some(size, self._odds.unseen) * self._even(size) * _MOST_UNSEEN
        strength = (sigma**2 + unseen**2).sqrt()[:, None, None, None]
        lr = lr + torch.randn(lr.shape, device=device, generator=self.generator) * strength
        lr = self._sharpened(self._grainy(lr, processed), processed)
        lr, step = self._compressed(lr, lossy)
        lr = torch.where(self._some(size, 0.9)[:, None, None, None] > 0, (lr * 255).round().clamp(0, 255) / 255, lr)
        guessed = processed * self._some(size, _GUESSED)
        told_kernel = torch.where(guessed[:, None, None] > 0, self._assumed, kernel)
        transfer = self._transfer(told_kernel, hr.shape[-1])
        base = self._base(lr, transfer, sigma**2 + (step * JPEG_NOISE) ** 2)
        told = planes(sigma, step)[:, None]
        inner, outer = slice(MARGIN, -MARGIN), slice(MARGIN * scale, -MARGIN * scale)
        return Batch(lr[..., inner, inner], base[..., outer, outer], told, hr[..., outer, outer])

    def _one_of(self, kernels: Tensor, size: int) -> Tensor:
        return kernels[torch.randint(len(kernels), (size,), device=kernels.device, generator=self.generator)]

    def _grainy(self, lr: Tensor, chosen: Tensor) -> Tensor:
        """Add noise, in half of the images stronger where it is bright, and in half correlated between neighbours."""
        batch = len(lr)
        sigma = (chosen * self._even(batch) ** 1.5 * _MOST_GRAIN)[:, None, None, None]
        white = torch.randn(lr.shape, device=lr.device, generator=self.generator)
        soft = _blurred(white, 0.7) * _SOFT_GAIN
        grain = torch.where(self._some(batch, 0.5)[:, None, None, None] > 0, soft, white)
        by_light = self._some(batch, 0.5)[:, None, None, None]
        strength = torch.where(by_light > 0, (0.3 + 1.4 * lr.clamp(0, 1)).sqrt(), torch.ones_like(lr))
        return lr + sigma * strength * grain

    def _sharpened(self, lr: Tensor, chosen: Tensor) -> Tensor:
        """Apply an unsharp mask to three in four of the chosen images."""
        amount = chosen * self._some(len(lr), 0.75) * self._even(len(lr)) * _MOST_SHARPENED
        wide = self._some(len(lr), 0.5)[:, None, None, None]
        soft = torch.where(wide > 0, _blurred(lr, 1.2), _blurred(lr, 0.8))
        return lr + amount[:, None, None, None] * (lr - soft)

    def _some(self, batch: int, odds: float) -> Tensor:
        return (self._even(batch) < odds).float()

    def _even(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self._kernels.device, generator=self.generator)

    def _coloured(self, hr: Tensor) -> Tensor:
        """Change order of bands, brightness and contrast at random; make some grey; keep one band if one is wanted."""
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
        """Return (B, 1, side, side // 2 + 1) complex: the transfer function of correlation with the kernel."""
        margin = side - BANK_SIDE
        rolled = torch.roll(pad(kernel.flip(1, 2), (0, margin, 0, margin)), (-(BANK_SIDE // 2),) * 2, (1, 2))
        transfer: Tensor = torch.fft.rfft2(rolled)
        return transfer[:, None]

    def _compressed(self, lr: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the LR images, compressed where `chosen` is 1, and their mean luma steps (B,), 0 if uncompressed."""
        batch = len(lr)
        qualities = (_LOWEST_QUALITY + self._even(batch) * (_HIGHEST_QUALITY + 1 - _LOWEST_QUALITY)).long()
        lossy = self._jpeg(lr, qualities, self._some(batch, 0.5) > 0)
        step = self._luma[qualities].mean((1, 2)) * chosen
        return torch.where(chosen[:, None, None, None] > 0, lossy, lr), step

    def _jpeg(self, lr: Tensor, qualities: Tensor, subsampled: Tensor) -> Tensor:
        """Compress (B, C, side, side) as JPEG of qualities (B,); three bands have chroma at 4:2:0 or 4:4:4."""
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
        """Return `Degradation.data_step` from bicubic, with a kernel per image of the batch."""
        scale, side = self._scale, self._side
        whole = self._some(len(lr), self._odds.border)[:, None, None, None]
        crop = lr[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        alone = mirrored(self._up_crop @ crop @ self._up_crop.T, MARGIN * scale)
        start = torch.where(whole > 0, alone, self._up @ lr @ self._up.T)
        mask = torch.where(whole > 0, self._masks[1], self._masks[0])
        missing = (lr - _observed(start, transfer, scale)) * mask
        auto = torch.fft.irfft2(transfer.abs() ** 2, s=(side * scale, side * scale))[..., ::scale, ::scale]
        gram = torch.fft.rfft2(auto).real.clamp_min(0)
        weight = data_weight(scale, noise_square)[:, None, None, None]
        solved = torch.fft.irfft2(torch.fft.rfft2(missing) / (gram + weight), s=(side, side))
        pulled: Tensor = torch.fft.irfft2(_spread(solved, scale) * transfer.conj(), s=start.shape[-2:])
        return (start + pulled).clamp(*BASE_RANGE)


def _blurred(lr: Tensor, sigma: float) -> Tensor:
    """Blur (B, C, h, w) with a Gaussian; the border is mirrored."""
    reach = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=lr.device) / sigma) ** 2)
    taps = taps / taps.sum()
    images = pad(lr, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    images = conv2d(conv2d(images, taps[None, None, None]), taps[None, None, :, None])
    return images.reshape(lr.shape)


def _observed(hr: Tensor, transfer: Tensor, scale: int) -> Tensor:
    """Filter (..., N, N) with `transfer` and keep every `scale`-th row and column.

    Rows that would be dropped are never computed: dropping them adds up rows of the spectrum that are n apart.
    """
    rows = hr.shape[-2] // scale
    folded = (torch.fft.rfft2(hr) * transfer).unflatten(-2, (scale, rows)).mean(-3)
    seen: Tensor = torch.fft.irfft(torch.fft.ifft(folded, dim=-2), n=hr.shape[-1])
    return seen[..., ::scale]


def _spread(lr: Tensor, scale: int) -> Tensor:
    """Return the `rfft2` of (..., n, n) with zeros in between, at HR size; its rows repeat those of the LR spectrum."""
    between = lr.new_zeros(*lr.shape, scale)
    between[..., 0] = lr
    spectrum: Tensor = torch.fft.fft(torch.fft.rfft(between.flatten(-2)), dim=-2)
    return torch.cat([spectrum] * scale, -2)


_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""RGB to YCbCr as in JFIF, chroma around 0."""
