"""Kernels as text: what users write, and the canonical text of each kernel. Importing this file does not load torch.

`Settings.kernel` holds the canonical text: a named kernel, as "gaussian:1.4", or the taps of a file, as "taps:3:...".
Equal kernels have equal texts, so the fingerprint depends on what the kernel is. The only exception is a sensor, whose
text also has names beside the values they stood for, as in "sensor:sentinel-2:B4=0.24".
"""

import base64
import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from . import sensors

MAX_SIDE = 65
"""Largest side of a kernel, in HR pixels."""

SUM_TOLERANCE = 0.01
"""How far the sum of rounded taps may be from 1."""

PLAIN = ("bicubic", "box", "bilinear", "lanczos")
"""Kernels given by name alone."""

FORMS = {
    "gaussian:SIGMA": "a Gaussian of this standard deviation, in HR pixels",
    "gaussian:SIGMA,SIGMA,DEGREES": "along a direction, from the x axis towards y, and across it",
    "disc:RADIUS": "a lens out of focus, in HR pixels",
    "motion:LENGTH,DEGREES": "a camera that moved along a line, in HR pixels, from the x axis towards y",
    "mtf:TRANSFER": "the Gaussian that lets so much through at half a cycle per LR pixel",
    "mtf:TRANSFER,TRANSFER,...": "one for each band",
    "sensor:NAME": "the published transfers of a sensor's bands",
    "sensor:NAME:BAND,BAND,...": "of these bands, in the order of the file",
}
"""Kernels given by a name and values, and what each is."""

SPECS = f"{', '.join(PLAIN)}, {', '.join(FORMS)}"

LEAST_SIZE = 0.1
"""Smallest radius or length, in HR pixels."""

LEAST_SIGMA = 0.02
"""Smallest sigma, in HR pixels; all taps of a narrower Gaussian may be 0."""


@dataclass(frozen=True)
class KernelSpec:
    """A kernel, or one per band, as given."""

    name: str
    """One of PLAIN, "gaussian", "disc", "motion", "mtf", "sensor" or "taps"."""
    numbers: tuple[float, ...] = ()
    """For a Gaussian its sigma, or two and the angle; for a disc its radius; for a motion its length and angle; for
    "mtf" and "sensor" the transfers; for "taps" the taps, row by row."""
    sensor: str = ""
    """For "sensor" its name in `sensors.SENSORS`."""
    bands: tuple[str, ...] = ()
    """For "sensor" the names of the bands, one per transfer."""

    @property
    def text(self) -> str:
        """The canonical text, which `parse` reads."""
        if self.name == "taps":
            side = math.isqrt(len(self.numbers))
            return f"taps:{side}:{base64.b64encode(struct.pack(f'<{side * side}f', *self.numbers)).decode()}"
        if self.name == "sensor":
            told = zip(self.bands, self.numbers, strict=True)
            return f"sensor:{self.sensor}:{','.join(f'{band}={_short(number)}' for band, number in told)}"
        return ":".join((self.name, ",".join(map(_short, self.numbers)))) if self.numbers else self.name


def parse(text: str) -> KernelSpec:
    """Parse the text of a kernel, for any scale.

    Args:
        text: one of `SPECS`, in any case, or a `KernelSpec.text`. Sigmas are in HR pixels, the angle is from the x axis
            towards y; transfers are at the LR Nyquist frequency, one for all bands or one per band.

    Raises:
        ValueError: the text is not a kernel; the message says what is allowed.
    """
    name, colon, values = text.strip().partition(":")
    name = name.strip().lower()
    if name in PLAIN and not colon:
        return KernelSpec(name)
    if name == "taps" and colon:
        return KernelSpec(name, _taps_of(values))
    if name == "sensor" and colon:
        return _sensor_of(text, values)
    if name not in _CHECKS or not colon:
        raise ValueError(f"{text!r} is not a kernel; use {SPECS}, or a .npy, .csv or .tif file")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError as error:
        raise ValueError(f"{text!r}: {values!r} is not a list of numbers; use {SPECS}") from error
    return KernelSpec(name, _CHECKS[name](text, numbers))


def check_scale(spec: KernelSpec, scale: int) -> None:
    """Raise ValueError if a blur is too wide or too narrow at this scale; the message says what is allowed."""
    if spec.name in ("disc", "motion"):
        size, most = spec.numbers[0], longest(spec.name, scale)
        if not LEAST_SIZE <= size <= most:
            allowed = f"{LEAST_SIZE:g} to {most:g}"
            raise ValueError(f"{spec.text!r} has {size:.4g} HR pixels at x{scale}; the range is {allowed}")
    sigmas = spec.numbers[:2] if spec.name == "gaussian" else ()
    if spec.name in ("mtf", "sensor"):
        sigmas = tuple(sigma_of_mtf(transfer, scale) for transfer in spec.numbers)
    most = widest(scale)
    for sigma in sigmas:
        if not LEAST_SIGMA <= sigma <= most:
            allowed = f"{LEAST_SIGMA:g} to {math.floor(most * 100) / 100:g}"
            raise ValueError(f"{spec.text!r} has a sigma of {sigma:.4g} HR pixels at x{scale}; the range is {allowed}")


def sigma_of_mtf(transfer: float, scale: int) -> float:
    """Return the sigma, in HR pixels, of the Gaussian with this transfer at the LR Nyquist frequency."""
    return scale / math.pi * math.sqrt(2 * math.log(1 / transfer))


def of_taps(side: int, taps: bytes) -> KernelSpec:
    """Return the kernel that a file holds.

    Args:
        side: odd, at most MAX_SIDE.
        taps: side x side float32, little-endian, row by row, with a sum of 1 except for rounding.
    """
    return KernelSpec("taps", tuple(tap + 0.0 for tap in struct.unpack(f"<{side * side}f", taps)))


def widest(scale: int) -> float:
    """Return the standard deviation of the widest Gaussian, in HR pixels: four fit on each side of the middle."""
    return (MAX_SIDE // 2 - (scale - 1) / 2) / 4


def longest(name: str, scale: int) -> float:
    """Return the radius of the largest disc, or the length of the longest motion, that a kernel has taps for."""
    reach = MAX_SIDE // 2 - scale / 2
    return reach if name == "disc" else math.floor(2 * math.sqrt(reach**2 - 0.25))


def described(text: str) -> str:
    """Return a canonical text for people: as written; for a file's taps their size and the start of their sha256."""
    name, _, values = text.partition(":")
    if name != "taps":
        return text
    side, _, taps = values.partition(":")
    return f"file, {side} x {side}, sha256 {hashlib.sha256(base64.b64decode(taps)).hexdigest()[:12]}"


def _gaussian_of(text: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Return its sigma; or the larger one, the smaller one and the angle of the larger, from 0 to below 180."""
    if len(numbers) not in (1, 3):
        raise ValueError(f"{text!r} has {len(numbers)} numbers; use gaussian:SIGMA or gaussian:SIGMA,SIGMA,DEGREES")
    first, second, degrees = numbers if len(numbers) == 3 else (numbers[0], numbers[0], 0.0)
    if not (0 < first < math.inf and 0 < second < math.inf and math.isfinite(degrees)):
        raise ValueError(f"{text!r}: a sigma is above 0, in HR pixels, and an angle is a number of degrees")
    if first == second:
        return (first,)
    if first < second:
        first, second, degrees = second, first, degrees % 180 + 90
    return first, second, degrees % 180 % 180  # the remainder of a hair below 0 is rounded to 180


def _transfers_of(text: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    for number in numbers:
        if not 0 < number < 1:
            raise ValueError(f"{text!r}: {number:g} is not a transfer; it is above 0 and below 1, 0.1 to 0.5 as a rule")
    return numbers


def _disc_of(text: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    if len(numbers) != 1 or not 0 < numbers[0] < math.inf:
        raise ValueError(f"{text!r}: a disc has one number, its radius, above 0, in HR pixels; use disc:RADIUS")
    return numbers


def _motion_of(text: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Return its length, and its angle from 0 to below 180."""
    if len(numbers) != 2 or not (0 < numbers[0] < math.inf and math.isfinite(numbers[1])):
        raise ValueError(
            f"{text!r}: a motion has a length above 0, in HR pixels, and an angle; use motion:LENGTH,DEGREES"
        )
    return numbers[0], numbers[1] % 180 % 180


def _sensor_of(text: str, values: str) -> KernelSpec:
    try:
        sensor, bands, transfers = sensors.parse_bands(values)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    return KernelSpec("sensor", _transfers_of(text, transfers), sensor, bands)


def _taps_of(values: str) -> tuple[float, ...]:
    written, _, encoded = values.partition(":")
    side = int(written) if written.isascii() and written.isdigit() and len(written) < 3 else 0
    if side % 2 == 0 or side > MAX_SIDE:
        raise ValueError(f"taps:{written[:9]}: a kernel has an odd side of at most {MAX_SIDE}; give its file instead")
    try:
        taps = of_taps(side, base64.b64decode(encoded, validate=True)).numbers
    except (ValueError, struct.error) as error:
        raise ValueError(f"taps:{side}: these are not {side} x {side} float32 in base64; give its file") from error
    total = math.fsum(taps) if all(map(math.isfinite, taps)) else math.nan
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise ValueError(f"taps:{side}: a kernel is finite and sums to 1, not {total:.4g}; give its file")
    return taps


_CHECKS: dict[str, Callable[[str, tuple[float, ...]], tuple[float, ...]]] = {
    "gaussian": _gaussian_of,
    "disc": _disc_of,
    "motion": _motion_of,
    "mtf": _transfers_of,
}
"""Functions that return the canonical numbers for those given, or raise ValueError."""


def _short(number: float) -> str:
    """Write a number with as few digits as give the same number back: 2 and 1.4."""
    return repr(number).removesuffix(".0")
