"""How large a result is asked to be, as text, and where an image's pixels lie in it. Does not load torch.

Networks and the forward model know whole scales alone. Any other size is made at the next whole scale and brought down
(`reduction.py`), each axis by its own ratio; a pixel is an area, so the borders of both grids are the same.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from .settings import MAX_SCALE, MIN_SCALE, Settings

LEAST_SCALE = 1.01
"""Of an axis that is to grow, where a scale is told: below, small images would stay as large as they are."""

GSD = "gsd:"
"""How `Settings.result_size` begins that tells the length of a pixel on the ground, in metres: "gsd:2.5"."""

PIXELS = "pixels:"
"""How it begins that tells pixels across and down; one may be left out, and follows from the other: "pixels:1024x"."""

TIMES = "times:"
"""How it begins that tells ratios across and down: "times:2.5x3.0"."""

_REACH = 16
"""LR pixels around an area that its pixels of the result hang on, where that is no finer than the image: 2 for the
cubic, half a pixel of the result, what is left of an LR pixel, and `conservation.SHARED_REACH` pixels of the result."""


@dataclass(frozen=True)
class Axis:
    """One axis of an image and of its result; pixel i of the result lies at (i + 0.5) * lr / sr - 0.5."""

    lr: int
    """Pixels of the image."""
    sr: int
    """Pixels of the result, no fewer."""

    @property
    def ratio(self) -> float:
        return self.sr / self.lr

    def edge(self, place: int) -> int:
        """Where the result is cut to cut the image before its pixel `place`: pixels whose middles lie before that."""
        return (2 * place * self.sr + self.lr) // (2 * self.lr)

    def part(self, start: int, stop: int) -> slice:
        """The pixels of the result that belong to LR pixels from `start` to `stop`."""
        return slice(self.edge(start), self.edge(stop))

    def sources(self, place: slice) -> list[int]:
        """Of some pixels of the result the LR pixels in which their middles lie; on a border the one before."""
        return [((2 * index + 1) * self.lr - 1) // (2 * self.sr) for index in range(place.start, place.stop)]

    def around(self, place: slice, margin: int) -> slice:
        """Some pixels of the result, and so many more on both sides as there are."""
        return slice(max(0, place.start - margin), min(self.sr, place.stop + margin))


@dataclass(frozen=True)
class Grid:
    """The pixels of a result."""

    rows: Axis
    columns: Axis
    scale: int
    """The whole scale at which it is made."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.rows.sr, self.columns.sr

    @property
    def is_whole(self) -> bool:
        """Whether the result is what was made at the whole scale."""
        return all(axis.sr == axis.lr * self.scale for axis in (self.rows, self.columns))

    @property
    def reach(self) -> int:
        """LR pixels beyond an area that the reduction reads."""
        return 0 if self.is_whole else _REACH


def grid_of(settings: Settings, height: int, width: int) -> Grid:
    """That of an image's result.

    Raises:
        ValueError: the settings tell no size in pixels of it, but one on the ground.
    """
    times = times_of(settings)
    if times is not None:
        across, down = times
        size = _times(width, across), _times(height, down)
    else:
        size = _in_pixels(settings.result_size, height, width)
    return Grid(Axis(height, size[1]), Axis(width, size[0]), settings.scale)


def times_of(settings: Settings) -> tuple[float, float] | None:
    """Ratios across and down, as told; None where something else was told, and each image has its own."""
    if not settings.result_size:
        return float(settings.scale), float(settings.scale)
    if not settings.result_size.startswith(TIMES):
        return None
    across, down = map(float, settings.result_size.removeprefix(TIMES).split("x"))
    return across, down


def pixels_text(height: int, width: int) -> str:
    """As `Settings.result_size` has it."""
    return f"{PIXELS}{width}x{height}"


def whole_scale(grid: Grid) -> int:
    """The least whole scale from which a result of that size is reduced."""
    return max(MIN_SCALE, *(-(-axis.sr // axis.lr) for axis in (grid.rows, grid.columns)))


def parse_scale(text: str) -> tuple[int, str]:
    """`Settings.scale` and `Settings.result_size` of a scale, or of two, across and down: "2", "2.5", "2x1.5".

    Raises:
        ValueError: with a sentence; it is none that can be made.
    """
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
    """`Settings.result_size` of a length in metres. Raises ValueError with a sentence for what is none."""
    try:
        metres = float(text)
    except ValueError:
        metres = math.nan
    if not 0 < metres < math.inf:
        raise ValueError(f"{text!r} is no length of a pixel; give metres on the ground, as in 2.5")
    return f"{GSD}{metres!r}"


def parse_size(text: str) -> str:
    """`Settings.result_size` of pixels across and down, WxH, Wx or xH. Raises ValueError with a sentence for others."""
    told = re.fullmatch(r"([1-9][0-9]{0,6})?x([1-9][0-9]{0,6})?", text.strip().lower())
    if told is None or not any(told.groups()):
        raise ValueError(f"{text!r} is no size in pixels; give WxH, as in 1024x768, or one of them, as in 1024x")
    return f"{PIXELS}{told[1] or ''}x{told[2] or ''}"


def _times(length: int, ratio: float) -> int:
    """To the next whole number of pixels, a half up, by the decimal that was told, not by its neighbour in binary."""
    return math.floor(length * Fraction(repr(ratio)) + Fraction(1, 2))


def _in_pixels(told: str, height: int, width: int) -> tuple[int, int]:
    """Across and down."""
    if not told.startswith(PIXELS):
        raise ValueError(f"{told} is no size in pixels")
    across, down = told.removeprefix(PIXELS).split("x")
    if not across:
        return max(1, _times_exactly(width, int(down), height)), int(down)
    return int(across), int(down) if down else max(1, _times_exactly(height, int(across), width))


def _times_exactly(length: int, numerator: int, denominator: int) -> int:
    return (2 * length * numerator + denominator) // (2 * denominator)
