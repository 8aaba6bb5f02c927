"""What made an image: the kernel and the noise of the settings, as they are for its bands, its size and its place."""

from functools import lru_cache

from sr_ops.degradation import Degradation
from sr_ops.kernels import bicubic, from_spec, recentred
from sr_ops.settings import AUTO, BICUBIC_KERNEL, Settings

from ..errors import ErrorType, ImageError
from .header import Header
from .samples import Scaling, measured


def degradation_of(settings: Settings, header: Header, scaling: Scaling) -> Degradation:
    """The degradation of an image, its noise 0 where it is to be measured.

    A kernel's phase is kept, unless the image has a place on a map: there the result's bounds are the input's, and the
    kernel is moved to the middle of the LR pixel.

    Raises:
        ImageError: unsupported; the kernels are not for so many bands, or wider than the image; of bicubic, which
            nobody need have asked for, any image is wide enough.
    """
    scale, bands = settings.scale, measured(header)
    kernels = from_spec(settings.kernel, scale)
    if len(kernels) not in (1, bands):
        message = f"{settings.kernel} is for {len(kernels)} bands, the image has {bands}; give one for all, or {bands}"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    widest, side = max(kernel.side for kernel in kernels), scale * min(header.height, header.width)
    if widest > side and settings.kernel != BICUBIC_KERNEL:
        message = (
            f"the kernel is {widest} HR pixels wide, more than the image, {scale} times enlarged, is high or wide"
            f" ({side}); give a narrower one"
        )
        raise ImageError(ErrorType.UNSUPPORTED, message)
    sigma = 0.0 if settings.noise == AUTO else float(settings.noise)
    noise = tuple(sigma / span for span in scaling.span) if sigma else (0.0,)
    return _degradation(settings.kernel, scale, header.georef is not None, noise)


@lru_cache(maxsize=8)  # images of one camera share it, and what it has found out about itself
def _degradation(spec: str, scale: int, on_a_map: bool, noise: tuple[float, ...]) -> Degradation:
    kernels = from_spec(spec, scale)
    if on_a_map:
        kernels = tuple(recentred(kernel, scale) for kernel in kernels)
    return Degradation(kernels, scale, noise)


def in_native_units(noise: tuple[float, ...] | None, scaling: Scaling) -> tuple[float, ...] | None:
    """The noise of each band as the file has it; None where it is not known."""
    if noise is None:
        return None
    bands = len(scaling.span)
    by_band = noise * bands if len(noise) == 1 else noise
    return tuple(sigma * span for sigma, span in zip(by_band, scaling.span, strict=True))


def of_alpha(degradation: Degradation) -> Degradation:
    """What made the image's alpha: the same camera, where it is one for all bands; it has no noise."""
    scale = degradation.scale
    kernels = degradation.kernels if len(degradation.kernels) == 1 else (bicubic(scale),)
    return Degradation(kernels, scale)
