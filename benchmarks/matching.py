"""How near an enlargement is to a picture of the same scene that it was not made from: moved, mixed, then compared."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from sr_ops.image.borders import mirrored

REACH = 2
"""Pixels by which pictures may lie beside each other."""

_ROOM = 32
"""Mirrored pixels around a picture that is moved: there its two ends meet."""

_FINEST = 1 / 32
"""Pixels: the last step of the search."""

Shift = tuple[float, float]
"""Down and to the right, in pixels."""


def mover(picture: Tensor) -> Callable[[Shift], Tensor]:
    """What moves a (C, H, W) picture by any part of a pixel, by the phases of its waves: none gets weaker."""
    padded = mirrored(picture.double(), _ROOM)
    height, width = padded.shape[-2:]
    spectrum = torch.fft.rfft2(padded)
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    frequencies = (rows, torch.fft.rfftfreq(width, dtype=torch.float64))

    def moved(shift: Shift) -> Tensor:
        down, right = (
            torch.exp(-2j * math.pi * waves * pixels) for waves, pixels in zip(frequencies, shift, strict=True)
        )
        whole: Tensor = torch.fft.irfft2(spectrum * down * right, s=(height, width))
        return whole[..., _ROOM:-_ROOM, _ROOM:-_ROOM]

    return moved


def mixed(picture: Tensor, reference: Tensor, known: Tensor) -> Tensor:
    """The mix of a picture's bands, and of an even level, that is nearest to the reference where it is known.

    Args:
        picture: (C, H, W).
        reference: (H, W).
        known: (H, W) bool.

    Returns:
        (H, W) float64, everywhere.
    """
    bands = picture[:, known].double()
    wanted = reference[known].double()
    means, mean = bands.mean(1, keepdim=True), wanted.mean()
    bands = bands - means
    # the least of all solutions, since bands may be alike
    weights = torch.linalg.lstsq(bands @ bands.T, (bands @ (wanted - mean))[:, None], driver="gelsd").solution
    mix: Tensor = (weights[:, :, None] * (picture.double() - means[:, :, None])).sum(0) + mean
    return mix


def best_shift(picture: Tensor, reference: Tensor, known: Tensor) -> Shift:
    """Where the picture has to be moved so that its best mix is nearest to the reference; arguments as `mixed`.

    Downhill in whole pixels, up to REACH each way, then in ever smaller steps.
    """
    moved, errors = mover(picture), dict[Shift, float]()

    def error(shift: Shift) -> float:
        if shift not in errors:
            errors[shift] = mean_square(mixed(moved(shift), reference, known) - reference, known)
        return errors[shift]

    best, step = (0.0, 0.0), 1.0
    while step >= _FINEST:
        down, right = best
        around = ((down, right + step), (down, right - step), (down + step, right), (down - step, right))
        lower = min((best, *(each for each in around if max(map(abs, each)) <= REACH)), key=error)
        best, step = (lower, step) if lower != best else (best, step / 2)
    return best


def mean_square(error: Tensor, known: Tensor) -> float:
    return float(error[known].double().square().mean())


def psnr(picture: Tensor, reference: Tensor, known: Tensor, peak: float) -> float:
    """Of (H, W) where it is known, in dB."""
    return 10 * math.log10(peak**2 / mean_square(picture - reference, known))


def detail_correlation(picture: Tensor, reference: Tensor, known: Tensor, sigma: float) -> float:
    """Correlation, where it is known, of what is finer than a Gaussian of `sigma` pixels."""
    fine, wanted = ((image - blurred(image[None], sigma)[0])[known] for image in (picture.double(), reference.double()))
    return float(torch.corrcoef(torch.stack([fine, wanted]))[0, 1])


def blurred(picture: Tensor, sigma: float) -> Tensor:
    """(C, H, W) by a Gaussian of `sigma` pixels, mirrored at its borders."""
    room = math.ceil(4 * sigma)
    row = torch.exp(-0.5 * (torch.arange(-room, room + 1, dtype=picture.dtype) / sigma).square())
    row = row / row.sum()
    padded = mirrored(picture, room)[:, None]
    return conv2d(conv2d(padded, row[None, None, None, :]), row[None, None, :, None])[:, 0]


def away_from(unknown: Tensor, pixels: int) -> Tensor:
    """(H, W) bool: what lies farther than so many pixels, rows or columns, from all that is unknown and the borders."""
    near = max_pool2d(unknown[None].float(), 2 * pixels + 1, stride=1, padding=pixels)[0] > 0
    inside = torch.zeros_like(near)
    inside[pixels:-pixels, pixels:-pixels] = True
    return inside & ~near
