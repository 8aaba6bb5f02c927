"""One image in memory, as numpy has it, enlarged by the shipped prior."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from sr_ops.in_memory import super_resolve
from sr_ops.prior import Prior
from sr_ops.settings import AUTO, Preset, Settings, preset

from .priors.prior_file import SHIPPED, read_prior, weights


def enlarge(
    image: np.ndarray,
    scale: int = 4,
    *,
    quality: Preset | str = Preset.BALANCED,
    kernel: str = AUTO,
    noise: float | None = None,
    method: str = Settings.method,
) -> np.ndarray:
    """Enlarge one image as `srpipe run` does.

    Args:
        image: (H, W) or (H, W, bands) of uint8, uint16 or float32 in [0, 1], all of it known.
        scale: whole number from 2 to 8.
        quality: fast, balanced, best or real.
        kernel: what the camera blurred by, as `--kernel` takes it; by default found in the pixels.
        noise: standard deviation of the noise in the image's own numbers, 0 for none; None: measured.
        method: as `--method` takes it.

    Returns:
        (H * scale, W * scale), or with bands, of the same type.

    Raises:
        ValueError: another type or shape, or a name that there is none of.

    >>> small = np.linspace(0, 255, 20 * 16 * 3).reshape(20, 16, 3).astype(np.uint8)
    >>> large = enlarge(small, scale=2)
    >>> large.shape, large.dtype
    ((40, 32, 3), dtype('uint8'))
    >>> bool(abs(large.reshape(20, 2, 16, 2, 3).mean((1, 3)) - small).max() < 4)
    True
    """
    span = _span(image)
    settings, prior = _prepared(Preset(quality))
    noise_in_levels = AUTO if noise is None else repr(255.0 * noise / span)  # as `super_resolve` has it
    settings = replace(settings, scale=scale, kernel=kernel, noise=noise_in_levels, method=method)
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    lr = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32) / np.float32(span))
    sr = super_resolve(lr, settings, prior).numpy() * span
    made = np.round(sr).astype(image.dtype) if np.issubdtype(image.dtype, np.integer) else sr.astype(image.dtype)
    return made[0] if image.ndim == 2 else np.moveaxis(made, 0, 2)


def _span(image: np.ndarray) -> float:
    """What a sample is divided by to lie in [0, 1]."""
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"the image has the shape {image.shape}; give (H, W) or (H, W, bands)")
    if image.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(image.dtype).max)
    if image.dtype != np.float32:
        raise ValueError(f"the image is of {image.dtype}; give uint8, uint16, or float32 in [0, 1]")
    return 1.0


@lru_cache(maxsize=4)
def _prepared(quality: Preset) -> tuple[Settings, Prior]:
    """The preset's settings for the shipped prior, and that."""
    if quality not in (Preset.FAST, Preset.BALANCED, Preset.BEST, Preset.REAL):
        raise ValueError(f"the preset {quality} is fitted from scratch; use `srpipe run`")
    shipped = read_prior(SHIPPED)
    assert shipped is not None
    body = shipped.largest
    settings = replace(preset(quality, from_prior=True), width=body.width, depth=body.depth, body=body.kind)
    return settings, weights(shipped.data)
