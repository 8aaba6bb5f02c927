"""Kernels as text: what people write, and the one way to write each. Importing this file does not load torch.

The canonical text of a kernel stands in `Settings.kernel`: a named one, as in "gaussian:1.4", or the taps of a file,
as in "taps:3:...". Equal kernels have equal texts, so that the fingerprint goes by what a kernel is; only a sensor's
has names besides the values that they stood for, as in "sensor:sentinel-2:B4=0.24".
"""

import base64
import hashlib
import math
import struct
from dataclasses import dataclass

from . import sensors

MAX_SIDE = 65
"""Of a kernel, in HR pixels."""

SUM_TOLERANCE = 0.01
"""By how much the sum of taps that were rounded may be off 1."""

PLAIN = ("bicubic", "box", "bilinear", "lanczos")
"""Kernels that are told by their names alone."""

FORMS = {
    "gaussian:SIGMA": "a Gaussian of this standard deviation, in HR pixels",
    "gaussian:SIGMA,SIGMA,DEGREES": "along a direction, from the x axis towards y, and across it",
    "mtf:TRANSFER": "the Gaussian that lets so much through at half a cycle per LR pixel",
    "mtf:TRANSFER,TRANSFER,...": "one for each band",
    "sensor:NAME": "the published transfers of a sensor's bands",
    "sensor:NAME:BAND,BAND,...": "of these bands, in the order of the file",
}
"""Kernels that are told by a name and more, and what each is."""

SPECS = f"{', '.join(PLAIN)}, {', '.join(FORMS)}"

LEAST_SIGMA = 0.02
"""HR pixels: of a Gaussian that is narrower all taps may be 0."""


@dataclass(frozen=True)
class KernelSpec:
    """A kernel, or one for each band, as it was told."""

    name: str
    """One of PLAIN, "gaussian", "mtf", "sensor" or "taps"."""
    numbers: tuple[float, ...] = ()
    """Of a Gaussian its sigma, or two and the angle; of "mtf" and "sensor" the transfers; of "taps" all of them, row by
    row."""
    sensor: str = ""
    """Of "sensor" its name in `sensors.SENSORS`."""
    bands: tuple[str, ...] = ()
    """Of "sensor" their names, one for each transfer."""

    @property
    def text(self) -> str:
        """The canonical one, which `parse` reads."""
        if self.name == "taps":
            side = math.isqrt(len(self.numbers))
            return f"taps:{side}:{base64.b64encode(struct.pack(f'<{side * side}f', *self.numbers)).decode()}"
        if self.name == "sensor":
            told = zip(self.bands, self.numbers, strict=True)
            return f"sensor:{self.sensor}:{','.join(f'{band}={_short(number)}' for band, number in told)}"
        return ":".join((self.name, ",".join(map(_short, self.numbers)))) if self.numbers else self.name


def parse(text: str) -> KernelSpec:
    """What a text tells of a kernel, whatever the scale.

    Args:
        text: one of `SPECS`, in small or capital letters: sigmas in HR pixels, the angle from the x axis towards y;
            transfers at the LR Nyquist frequency, one for all bands or one for each. Or the text of `KernelSpec`.

    Raises:
        ValueError: it tells of none; the message says what can be told.
    """
    name, colon, values = text.strip().partition(":")
    name = name.strip().lower()
    if name in PLAIN and not colon:
        return KernelSpec(name)
    if name == "taps" and colon:
        return KernelSpec(name, _taps_of(values))
    if name == "sensor" and colon:
        return _sensor_of(text, values)
    if name not in ("gaussian", "mtf") or not colon:
        raise ValueError(f"{text!r} is no kernel; use {SPECS}, or a file")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError as error:
        raise ValueError(f"{text!r}: {values!r} is no list of numbers; use {SPECS}") from error
    return KernelSpec(name, _gaussian_of(text, numbers) if name == "gaussian" else _transfers_of(text, numbers))


def check_scale(spec: KernelSpec, scale: int) -> None:
    """Raises ValueError for a Gaussian that is too wide or too narrow at this scale; it says what can be told."""
    sigmas = spec.numbers[:2] if spec.name == "gaussian" else ()
    if spec.name in ("mtf", "sensor"):
        sigmas = tuple(sigma_of_mtf(transfer, scale) for transfer in spec.numbers)
    most = widest(scale)
    for sigma in sigmas:
        if not LEAST_SIGMA <= sigma <= most:
            allowed = f"{LEAST_SIGMA:g} to {math.floor(most * 100) / 100:g}"
            raise ValueError(f"{spec.text!r} has a sigma of {sigma:.4g} HR pixels at x{scale}; it is from {allowed}")


def sigma_of_mtf(transfer: float, scale: int) -> float:
    """Of the Gaussian that lets so much through at the LR Nyquist frequency, in HR pixels."""
    return scale / math.pi * math.sqrt(2 * math.log(1 / transfer))


def of_taps(side: int, taps: bytes) -> KernelSpec:
    """The kernel that a file holds.

    Args:
        side: odd, at most MAX_SIDE.
        taps: side x side float32, little-endian, row by row, that sum to 1 but for rounding.
    """
    return KernelSpec("taps", tuple(tap + 0.0 for tap in struct.unpack(f"<{side * side}f", taps)))


def widest(scale: int) -> float:
    """Standard deviation of the widest Gaussian, in HR pixels: four of them on each side of the middle."""
    return (MAX_SIDE // 2 - (scale - 1) / 2) / 4


def described(text: str) -> str:
    """A canonical text for people: as they write it; of a file's taps how many, and the sha256 of them as float32."""
    name, _, values = text.partition(":")
    if name != "taps":
        return text
    side, _, taps = values.partition(":")
    return f"file, {side} x {side}, sha256 {hashlib.sha256(base64.b64decode(taps)).hexdigest()[:12]}"


def _gaussian_of(text: str, numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Its sigma; or the larger one, the smaller one and the angle of the larger, from 0 to below 180."""
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
            raise ValueError(f"{text!r}: {number:g} is no transfer; it is above 0 and below 1, 0.1 to 0.5 as a rule")
    return numbers


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


def _short(number: float) -> str:
    """As short as it is the same number: 2 and 1.4."""
    return repr(number).removesuffix(".0")
