"""The degradation of an image: kernel and noise of the settings, adapted to its bands, size and place."""

from functools import lru_cache

from torch import Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernel_spec import parse
from sr_ops.camera.kernels import bicubic, from_spec, middle, recentred
from sr_ops.estimation.guess import Guess
from sr_ops.estimation.noise_line import NoiseLine
from sr_ops.estimation.signs import Signs
from sr_ops.image.domain import Domain, fill
from sr_ops.settings import AUTO, BICUBIC_KERNEL, Settings

from ..errors import ErrorType, ImageError
from .header import Header
from .samples import Scaling

TOO_SMALL = Guess(BICUBIC_KERNEL, 0.0, "it is smaller than the kernel of its camera", None)


_LEAST_TOLD_SHIFT = 0.01
"""In HR pixels."""


def signs_of(lr: Tensor, domain: Domain, header: Header, scaling: Scaling) -> Signs:
    """Return the signs of an image, with the step between the file's own numbers.

    Args:
        lr: what a fit learns from, as `domain`: `Picture.to_fit`.
    """
    step = 0.0 if header.dtype == "float32" else sum(1 / span for span in scaling.span) / len(scaling.span)
    return Signs(fill(lr, domain.known), domain.known_pixels, step)


def degradation_of(settings: Settings, header: Header, scaling: Scaling) -> Degradation:
    """Return the degradation of an image, with noise 0 if it is to be measured. The kernel must be known by now.

    The phase of a kernel is kept, except for a georeferenced image: there the result must have the bounds of the input,
    so the kernel is moved to the middle of the LR pixel.

    Raises:
        ImageError: unsupported; the kernels are for another number of bands, or wider than the image. For bicubic, the
            default, any image is wide enough.
    """
    scale, bands = settings.scale, header.measured
    kernels = from_spec(settings.kernel, scale)
    if len(kernels) not in (1, bands):
        raise ImageError(ErrorType.UNSUPPORTED, _other_number(settings.kernel, len(kernels), bands))
    if is_too_wide(settings, header):
        widest, side = max(kernel.side for kernel in kernels), scale * min(header.height, header.width)
        message = (
            f"the kernel is {widest} HR pixels wide, more than the image, {scale} times enlarged, is high or wide"
            f" ({side}); give a narrower one"
        )
        raise ImageError(ErrorType.UNSUPPORTED, message)
    sigma = 0.0 if settings.noise == AUTO else float(settings.noise)
    noise = tuple(sigma / span for span in scaling.span) if sigma else (0.0,)
    return _degradation(settings.kernel, scale, header.georef is not None, noise)


def shift_notes(degradation: Degradation) -> tuple[str, ...]:
    """Return a note if the kernel lies off the middle of the LR pixel, as taps of a file may: the result then moves."""
    down, across = (at - middle(degradation.scale) for at in degradation.kernels[0].centre)
    if max(abs(down), abs(across)) < _LEAST_TOLD_SHIFT:
        return ()
    return (
        "the kernel's centre lies off the middle of an LR pixel, and moves the result by"
        f" {across:+.2f} HR pixels along x and {down:+.2f} along y",
    )


def is_too_wide(settings: Settings, header: Header) -> bool:
    """Return whether a kernel is wider than the image; bicubic never is."""
    widest = max(kernel.side for kernel in from_spec(settings.kernel, settings.scale))
    return settings.kernel != BICUBIC_KERNEL and widest > settings.scale * min(header.height, header.width)


def _other_number(kernel: str, kernels: int, bands: int) -> str:
    spec, remedy = parse(kernel), f"give one for all, or {bands}"
    if spec.name == "sensor":
        remedy = f"name those of the image in its order, or one for all, as in sensor:{spec.sensor}:{spec.bands[0]}"
    return f"{kernel} is for {kernels} bands, the image has {bands}; {remedy}"


@lru_cache(maxsize=8)  # images of one camera share it, with its cached properties
def _degradation(spec: str, scale: int, on_a_map: bool, noise: tuple[float, ...]) -> Degradation:
    kernels = from_spec(spec, scale)
    if on_a_map:
        kernels = tuple(recentred(kernel, scale) for kernel in kernels)
    return Degradation(kernels, scale, noise)


def in_native_units(noise: tuple[float, ...] | None, scaling: Scaling) -> tuple[float, ...] | None:
    """Return the noise of each band in the file's own numbers; None if it is not known."""
    if noise is None:
        return None
    bands = len(scaling.span)
    by_band = noise * bands if len(noise) == 1 else noise
    return tuple(sigma * span for sigma, span in zip(by_band, scaling.span, strict=True))


def lines_in_native_units(
    lines: tuple[NoiseLine | None, ...], scaling: Scaling
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return offsets and slopes of the noise variance against the file's numbers, by band; None if any is unknown."""
    told = [line for line in lines if line is not None]
    if not told or len(told) < len(lines):
        return None, None
    slopes = tuple(line.slope * span for line, span in zip(told, scaling.span, strict=True))
    at_zero = zip(told, scaling.span, slopes, scaling.offset, strict=True)
    return tuple(line.offset * span**2 - slope * offset for line, span, slope, offset in at_zero), slopes


def of_alpha(degradation: Degradation) -> Degradation:
    """Return the degradation of the image's alpha: the camera's kernel if all bands share one, and no noise."""
    scale = degradation.scale
    return degradation.clear if len(degradation.kernels) == 1 else Degradation((bicubic(scale),), scale)
