"""Pixels of an image for the page: input and result whole, or reduced with parts at full resolution.

Parts at full resolution are lossless, so that zooming in shows pixels and not the page's compression.
"""

import base64
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import storage
from ..errors import ErrorType, ImageError, UsageError
from ..imagery.densest import densest
from ..imagery.display import Display, open_display
from ..imagery.header import FileLimits
from ..imagery.scored import OpenLevels
from ..output.results import open_displayed

WHOLE = 640 * 640
"""Most pixels of a result that is embedded whole."""

_LONGEST = 16_383
"""Longest side in pixels of a WebP."""

OVERVIEW = 1024
"""Longest side in pixels of the overview of a larger one."""

DETAIL = 512
"""Side of its part at full resolution."""

_SHARES, _HEAT = (0, 0.25, 0.5, 0.75, 1), ((8, 8, 12), (88, 18, 70), (196, 56, 48), (246, 158, 62), (252, 250, 220))
"""Colours of the disagreement map; their lightness tells them apart also for the colour-blind."""

_SQUARE = 2048
"""Side in pixels of the parts in which a large picture is read."""

_MARGIN = 4
"""Input pixels around a part that is enlarged by bicubic."""

THUMBNAIL = 240
"""Longest side."""

Levels = NDArray[np.uint8]
"""(C, h, w): grey, RGB or, if some pixels are unknown, RGBA."""

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels of the result."""


@dataclass(frozen=True)
class Layer:
    """A part of a picture as an image file, and its place in pixels of the result."""

    url: str
    box: Box


@dataclass(frozen=True)
class Problem:
    """What cannot be shown, and why."""

    words: str
    is_of_result: bool
    """Whether it lies in the output, not in the input."""


@dataclass
class Pictures:
    """Everything shown of one image."""

    width: int
    """Of the result."""
    height: int
    layers: dict[str, list[Layer]] = field(default_factory=dict)
    """From the coarsest to the finest, for `input`, `bicubic` (shown over the input), `result` and `disagreement`."""
    thumbnail: str = ""
    detail: Box | None = None
    """The part at full resolution, if that is not the whole."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def box(self) -> Box:
        """The whole result."""
        return 0.0, 0.0, float(self.width), float(self.height)

    @property
    def whole(self) -> bool:
        """Whether the whole is embedded at full resolution."""
        return self.width * self.height <= WHOLE and max(self.width, self.height) <= _LONGEST

    def add(self, side: str, levels: Levels, box: Box, quality: int | None = None) -> None:
        """Add a layer, lossless unless a quality is given."""
        height, width = levels.shape[1:]
        share = 1.0 if self.whole else min(1.0, OVERVIEW / max(box[2:]))
        if abs(box[3] / box[2] * width / height - 1) * max(box[2:]) * share > 0.5:  # the viewer scales both alike
            levels = _stretched(levels, max(1, round(box[2] * share)), max(1, round(box[3] * share)))
        self.layers.setdefault(side, []).append(Layer(_url(levels, quality), box))


def pictures_of(record: Mapping[str, Any]) -> Pictures:
    """Return what can be shown of a record's result and input; problems are listed in it, and nothing is raised."""
    made = Pictures(record["sr_width"], record["sr_height"])
    limits = FileLimits(pixels=max(FileLimits().pixels, made.width * made.height))
    stretch, nodata = None, record["nodata"]
    with (
        _noting_problems(made, "input", record["source_uri"]),
        open_display(record["source_uri"], limits, nodata) as lr,
    ):
        if (lr.width, lr.height) != (record["width"], record["height"]):
            raise ImageError(ErrorType.CORRUPT, "it has changed since it was done")
        stretch = lr.stretch
        _draw_input(made, lr)
    with (
        _noting_problems(made, "result", record["output_uri"]),
        open_displayed(record["output_uri"], limits, nodata, stretch) as sr,
    ):
        if (sr.width, sr.height) != (made.width, made.height):
            raise ImageError(ErrorType.CORRUPT, "its size is not what its record says")
        _draw_result(made, sr)
    if spread_uri := record.get("disagreement_uri"):
        with (
            _noting_problems(made, "map of the disagreement", spread_uri),
            open_displayed(spread_uri, limits) as spread,
        ):
            _draw_map(made, spread)
    return made


@contextmanager
def _noting_problems(made: Pictures, what: str, place: str) -> Iterator[None]:
    """List an error of one side of an image, which lies at `place`, among the problems."""
    try:
        yield
        return
    except (ImageError, UsageError, ValueError) as error:
        why = str(error)
    except FileNotFoundError as error:
        why = f"{error.filename or place} is missing"
    except OSError as error:
        why = f"{place}: {storage.reason(error)}"
    made.problems.append(Problem(f"The {what} cannot be shown: {why.rstrip('.')}.", what != "input"))


def _draw_input(made: Pictures, lr: Display) -> None:
    if made.whole:
        levels = _window(lr, slice(0, lr.height), slice(0, lr.width))
        made.add("input", levels, made.box)
        made.add("bicubic", _resized(levels, (made.width, made.height), None), made.box, 90)
        return
    factor = ceil(max(lr.width, lr.height) / OVERVIEW)
    overview = _shrunk(lr, factor)
    made.add("input", overview, _covered(made, lr, overview, factor), 80)
    made.detail = left, top, width, height = _most_textured(overview, made)
    across, down = lr.width / made.width, lr.height / made.height
    # rounding may lead to a pixel beyond the last: 305 * (203 / 305) is more than 203
    columns = slice(floor(left * across), min(lr.width, ceil((left + width) * across)))
    rows = slice(floor(top * down), min(lr.height, ceil((top + height) * down)))
    box = (columns.start / across, rows.start / down)
    size = ((columns.stop - columns.start) / across, (rows.stop - rows.start) / down)
    made.add("input", _window(lr, rows, columns), (*box, *size))
    rows = slice(max(0, rows.start - _MARGIN), min(lr.height, rows.stop + _MARGIN))
    columns = slice(max(0, columns.start - _MARGIN), min(lr.width, columns.stop + _MARGIN))
    first = (left * across - columns.start, top * down - rows.start)
    part = (*first, first[0] + width * across, first[1] + height * down)
    made.add("bicubic", _resized(_window(lr, rows, columns), (int(width), int(height)), part), made.detail, 90)


def _draw_result(made: Pictures, sr: OpenLevels) -> None:
    if made.whole:
        overview = _window(sr, slice(0, sr.height), slice(0, sr.width))
        made.add("result", overview, made.box)
    else:
        factor = ceil(max(sr.width, sr.height) / OVERVIEW)
        overview = _shrunk(sr, factor)
        made.add("result", overview, _covered(made, sr, overview, factor), 80)
        made.detail = made.detail or _most_textured(overview, made)
        left, top, width, height = map(int, made.detail)
        made.add("result", _window(sr, slice(top, top + height), slice(left, left + width)), made.detail)
    picture = _image(overview)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    made.thumbnail = _as_url(picture, 75)


def _draw_map(made: Pictures, spread: OpenLevels) -> None:
    """Draw it from black through red to white, the level below which all but a hundredth of the map lies."""
    if made.whole:
        parts = [(_window(spread, slice(0, spread.height), slice(0, spread.width)), made.box)]
    else:
        factor = ceil(max(spread.width, spread.height) / OVERVIEW)
        overview = _shrunk(spread, factor)
        parts = [(overview, _covered(made, spread, overview, factor))]
        if made.detail is not None:
            left, top, width, height = map(int, made.detail)
            parts.append((_window(spread, slice(top, top + height), slice(left, left + width)), made.detail))
    white = max(1.0, float(np.percentile(parts[0][0][0], 99)))
    for levels, box in parts:
        shares = levels[0] / white
        coloured = [np.interp(shares, _SHARES, colour).astype(np.uint8) for colour in zip(*_HEAT, strict=True)]
        made.add("disagreement", np.stack([*coloured, *levels[3:]]), box, 90)


def _covered(made: Pictures, shown: OpenLevels, overview: Levels, factor: int) -> Box:
    """Return the box of an overview, whose last squares may reach beyond the picture."""
    height, width = overview.shape[1:]
    return 0.0, 0.0, width * factor * made.width / shown.width, height * factor * made.height / shown.height


def _window(shown: OpenLevels, rows: slice, columns: slice) -> Levels:
    levels, known = shown.window(rows, columns)
    return _with_alpha(levels.numpy(), known.numpy())


def _with_alpha(levels: Levels, known: NDArray[np.bool_]) -> Levels:
    if known.all():
        return levels
    colours = np.broadcast_to(levels, (3, *known.shape)) * known
    return np.concatenate([colours, known[None] * np.uint8(255)])


def _shrunk(shown: OpenLevels, factor: int) -> Levels:
    """Return the whole picture as means over squares of `factor` pixels, as far as they are known."""
    side = _SQUARE // factor * factor
    height, width = ceil(shown.height / factor), ceil(shown.width / factor)
    levels, known = np.zeros((shown.bands, height, width), np.uint8), np.zeros((height, width), bool)
    for top in range(0, shown.height, side):
        for left in range(0, shown.width, side):
            rows, columns = slice(top, min(top + side, shown.height)), slice(left, min(left + side, shown.width))
            part, sure = (array.numpy() for array in shown.window(rows, columns))
            many = _sums(sure.astype(np.float32), factor)
            means = _sums(part.astype(np.float32) * sure, factor) / many.clip(1)
            place = (
                slice(top // factor, top // factor + many.shape[0]),
                slice(left // factor, left // factor + many.shape[1]),
            )
            levels[:, *place], known[place] = (means + 0.5).astype(np.uint8), many > 0
    return _with_alpha(levels, known)


def _sums(numbers: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Sum over squares of the last two axes; those at the right and the bottom may be smaller."""
    for axis in (-2, -1):
        numbers = np.add.reduceat(numbers, np.arange(0, numbers.shape[axis], factor), axis)
    return numbers


def _most_textured(overview: Levels, made: Pictures) -> Box:
    """Return the part of DETAIL result pixels where neighbours differ most; unknown pixels do not count."""
    gray = overview[:3].astype(np.float32).mean(0)
    steps = np.zeros_like(gray)
    steps[1:] += np.abs(np.diff(gray, axis=0))
    steps[:, 1:] += np.abs(np.diff(gray, axis=1))
    if len(overview) == 4:
        steps *= overview[3] > 0
    across, down = overview.shape[2] / made.width, overview.shape[1] / made.height
    width, height = min(DETAIL, made.width), min(DETAIL, made.height)
    part = max(1, round(height * down)), max(1, round(width * across))
    top, left = densest(steps, *part)
    return (
        float(min(round(left / across), made.width - width)),
        float(min(round(top / down), made.height - height)),
        float(width),
        float(height),
    )


def _stretched(levels: Levels, width: int, height: int) -> Levels:
    """Repeat pixels, for scales that differ across and down."""
    rows, columns = (np.arange(made) * had // made for made, had in zip((height, width), levels.shape[1:], strict=True))
    return levels[:, rows[:, None], columns]


def _resized(levels: Levels, size: tuple[int, int], box: Box | None) -> Levels:
    picture = _image(levels).resize(size, Image.Resampling.BICUBIC, box)
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _image(levels: Levels) -> Image.Image:
    return Image.fromarray(levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0)))


def _url(levels: Levels, quality: int | None) -> str:
    return _as_url(_image(levels), quality)


def _as_url(picture: Image.Image, quality: int | None) -> str:
    """Return the picture as WebP in a data url; lossless if no quality is given."""
    data = io.BytesIO()
    colours = picture if picture.mode == "RGBA" else picture.convert("RGB")
    colours.save(data, "WEBP", lossless=quality is None, quality=50 if quality is None else quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
