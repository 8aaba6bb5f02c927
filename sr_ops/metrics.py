"""PSNR and SSIM as the super-resolution field reports them: on luma, of rounded 8-bit images, without the border."""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

_SSIM_WINDOW = 11


def luma(image: Tensor) -> Tensor:
    """Y of ITU-R BT.601 in 16..235, (H, W) float64, from 8-bit levels 0..255.

    (3, H, W) is RGB. (1, H, W) is taken as luma already, as published Set14 means take `bridge`.
    """
    if len(image) == 1:
        return image[0].double()
    red, green, blue = image.double()
    y: Tensor = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return y


def psnr_y(image: Tensor, truth: Tensor, border: int) -> float:
    """PSNR in dB of the luma of two (C, H, W) images of 8-bit levels, peak 255; inf when they are equal.

    Args:
        border: pixels left out on every side; the field leaves out `scale`.
    """
    error = (_inner(image, border) - _inner(truth, border)).square().mean()
    return float(10 * torch.log10(255**2 / error))


def ssim_y(image: Tensor, truth: Tensor, border: int) -> float:
    """Mean SSIM (Wang et al. 2004: 11 x 11 Gaussian window, sigma 1.5) of the luma, arguments as in `psnr_y`.

    nan when less than one window is left.
    """
    inner, inner_truth = _inner(image, border), _inner(truth, border)
    if min(inner.shape) < _SSIM_WINDOW:
        return float("nan")
    _, values = structural_similarity_index_measure(
        inner[None, None], inner_truth[None, None], data_range=255.0, sigma=1.5, return_full_image=True
    )
    reach = _SSIM_WINDOW // 2  # windows around the outermost pixels hang over, and are no windows of the field's SSIM
    return float(values[..., reach:-reach, reach:-reach].mean())


def _inner(image: Tensor, border: int) -> Tensor:
    y = luma(image)
    height, width = y.shape
    if min(height, width) <= 2 * border:
        raise ValueError(f"a border of {border} leaves nothing of {height} x {width} pixels")
    return y[border : height - border, border : width - border]
