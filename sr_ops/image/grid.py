"""The requested size of a result, as text, and the positions of an image's pixels in it. Does not load torch.

Networks and the forward model work at whole scales only. Any other size is made at the next whole scale and reduced
(`reduction.py`), each axis by its own ratio. A pixel is an area, so both grids have the same borders.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from ..settings import MAX_SCALE, MIN_SCALE, Settings

LEAST_SCALE = 1.01
"""Smallest scale of an axis that is enlarged; with a smaller one, small images would stay as large as they are."""

GSD = "gsd:"
"""Prefix of a `Settings.result_size` that gives the length of a pixel on the ground in metres: "gsd:2.5"."""

PIXELS = "pixels:"
"""Prefix of one that gives width and height in pixels: "pixels:1024x768". Either may be left out: "pixels:1024x"."""

TIMES = "times:"
"""Prefix of one that gives the ratios across and down: "times:2.5x3.0"."""

_REACH = 16
"""LR pixels around an area that its result pixels depend on, where the result is no finer than the image: 2 for the
cubic, half a result pixel, the rest of an LR pixel, and `conservation.SHARED_REACH` result pixels."""


@dataclass(frozen=True)
class Axis:
    """One axis of an image and of its result; result pixel i lies at (i + 0.5) * lr / sr - 0.5 in LR pixels."""

    lr: int
    """Pixels of the image."""
    sr: int
    """Pixels of the result, at least `lr`."""

    @property
    def ratio(self) -> float:
        return self.sr / self.lr

    def edge(self, place: int) -> int:
        """Return where to cut the result to match a cut of the image before LR pixel `place`: by pixel centres."""
        return _times(place, Fraction(self.sr, self.lr))

    def part(self, start: int, stop: int) -> slice:
        """Return the result pixels that belong to LR pixels from `start` to `stop`."""
        return slice(self.edge(start), self.edge(stop))

    def sources(self, place: slice) -> list[int]:
        """Return the LR pixels that hold the centres of the result pixels in `place`; on a border the one before it."""
        return [((2 * index + 1) * self.lr - 1) // (2 * self.sr) for index in range(place.start, place.stop)]

    def around(self, place: slice, margin: int) -> slice:
        """Return the slice `place` of the result, wider by `margin` pixels on both sides, clipped to the result."""
        return slice(max(0, place.start - margin), min(self.sr, place.stop + margin))


@dataclass(frozen=True)
class Grid:
    """The pixel grid of a result."""

    rows: Axis
    columns: Axis
    scale: int
    """The whole scale at which the result is made."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.rows.sr, self.columns.sr

    @property
    def is_whole(self) -> bool:
        """Whether the result needs no reduction from the whole scale."""
        return all(axis.sr == axis.lr * self.scale for axis in (self.rows, self.columns))

    @property
    def reach(self) -> int:
        """LR pixels beyond an area that the reduction reads."""
        return 0 if self.is_whole else _REACH


def grid_of(settings: Settings, height: int, width: int) -> Grid:
    """Return the grid of the result for an image of `height` x `width`.

    Raises:
        ValueError: the settings give a size on the ground, which must be turned into pixels first.
    """
    times = times_of(settings)
    if times is not None:
        across, down = (Fraction(repr(ratio)) for ratio in times)  # the decimal as given, not its neighbour in binary
        size = _times(width, across), _times(height, down)
    else:
        size = _in_pixels(settings.result_size, height, width)
    return Grid(Axis(height, size[1]), Axis(width, size[0]), settings.scale)


def times_of(settings: Settings) -> tuple[float, float] | None:
    """Return the ratios across and down if the settings give them; None if they give a size."""
    if not settings.result_size:
        return float(settings.scale), float(settings.scale)
    if not settings.result_size.startswith(TIMES):
        return None
    across, down = map(float, settings.result_size.removeprefix(TIMES).split("x"))
    return across, down


def pixels_text(height: int, width: int) -> str:
    """Return a size as text for `Settings.result_size`."""
    return f"{PIXELS}{width}x{height}"


def whole_scale(grid: Grid) -> int:
    """Return the smallest whole scale from which a result of this size can be reduced."""
    return max(MIN_SCALE, *(-(-axis.sr // axis.lr) for axis in (grid.rows, grid.columns)))


def refuse_comma(what: str, text: str) -> None:
    """Raise ValueError with a sentence for a number with a decimal comma, which many spreadsheets write."""
    if re.fullmatch(r"\s*[-+]?[0-9]+,[0-9]+\s*", text):
        raise ValueError(f"the {what} {text!r} has a decimal comma; write {text.strip().replace(',', '.')}")


def parse_scale(text: str) -> tuple[int, str]:
    """Return `Settings.scale` and `Settings.result_size` for a scale, or one across and one down: "2", "2.5", "2x1.5".

    Raises:
        ValueError: the scale cannot be made; the message is a sentence.
    """
    refuse_comma("scale", text)
    told = text.strip().lower().split("x")
    numbers = [float(part) if re.fullmatch(r"[0-9]+(\.[0-9]*)?", part) else math.nan for part in told]
    across, down = numbers if len(numbers) == 2 else (numbers[0], numbers[0])
    grows = [LEAST_SCALE <= number <= MAX_SCALE for number in (across, down)]
    stays = [number == 1 for number in (across, down)]
    if len(numbers) > 2 or not any(grows) or not all(map(max, grows, stays)):
        raise ValueError(
            f"the scale {text!r} cannot be made; give a number from {LEAST_SCALE:g} to {MAX_SCALE}, or one across and"
            " one down, as in 2.5x3"
        )
    if across == down and across.is_integer():
        return int(across), ""
    return max(MIN_SCALE, math.ceil(max(across, down))), f"{TIMES}{across!r}x{down!r}"


def parse_gsd(text: str) -> str:
    """Return `Settings.result_size` for a length in metres. Raises ValueError with a sentence if it is none."""
    refuse_comma("length", text)
    try:
        metres = float(text)
    except ValueError:
        metres = math.nan
    if not 0 < metres < math.inf:
        raise ValueError(f"{text!r} is not a length of a pixel; give metres on the ground, as in 2.5")
    return f"{GSD}{metres!r}"


def parse_size(text: str) -> str:
    """Return `Settings.result_size` for WxH, Wx or xH in pixels. Raises ValueError with a sentence for other text."""
    told = re.fullmatch(r"([1-9][0-9]{0,6})?x([1-9][0-9]{0,6})?", text.strip().lower())
    if told is None or not any(told.groups()):
        raise ValueError(f"{text!r} is not a size in pixels; give WxH, as in 1024x768, or one of them, as in 1024x")
    return f"{PIXELS}{told[1] or ''}x{told[2] or ''}"


def _times(length: int, ratio: Fraction) -> int:
    """Round to whole pixels, halves up."""
    return math.floor(length * ratio + Fraction(1, 2))


def _in_pixels(told: str, height: int, width: int) -> tuple[int, int]:
    """Return width and height."""
    if not told.startswith(PIXELS):
        raise ValueError(f"{told} is not a size in pixels")
    across, down = told.removeprefix(PIXELS).split("x")
    if not across:
        return max(1, _times(width, Fraction(int(down), height))), int(down)
    return int(across), int(down) if down else max(1, _times(height, Fraction(int(across), width)))
