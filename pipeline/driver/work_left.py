"""What a plan still has to do, in pixels and in guessed seconds: of images before they are opened, by their files.

How many pixels a byte holds is learned of each kind of file from those that are done. Images of one kind and one
setting are summed, so that a million of them cost no more to ask about than one.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sr_ops.settings import Settings

from ..output.record import Record
from ..work.estimates import enlarging_seconds, fitting_seconds
from ..work.units import GroupRecord, Row, Scene

_MANY = 1_000_000
"""LR pixels that seconds a pixel are guessed from."""

_PIXELS_PER_BYTE = {"jpg": 4.0, "jpeg": 4.0, "webp": 8.0, "avif": 10.0, "jp2": 2.0, "tif": 0.5, "tiff": 0.5}
"""Before an image of the kind is done; of others 1."""

_BYTES_OF_PRIOR = 20_000
"""That this first guess counts as."""

_PIXELS_OF_PRIOR = 1_000
"""That the scale asked for counts as, against the sizes of results."""


@dataclass(frozen=True)
class _Costs:
    """What images have in common whose work is summed. Seconds are guesses of work/estimates.py."""

    kind: str
    """Of file, as its name ends."""
    fit: float
    """Seconds an image."""
    pixel: float
    """Seconds an LR pixel."""
    scale: int


@dataclass
class _Sum:
    images: int = 0
    size: int = 0
    """Bytes."""


@dataclass
class _Ratio:
    """A number of something for one of something else, learned from those that are done."""

    above: float
    below: float

    @property
    def value(self) -> float:
        return self.above / self.below

    def learn(self, above: float, below: float) -> None:
        self.above += above
        self.below += below


@dataclass
class _Begun:
    """A scene whose groups are being done."""

    lr_pixels: int
    sr_pixels: int
    costs: _Costs
    groups: dict[int, float]
    """Those that are left: share of the scene's tiles by number of the first."""

    @property
    def left(self) -> float:
        """Share of the scene."""
        return sum(self.groups.values())


@dataclass(frozen=True)
class Work:
    """Some work, as it is guessed."""

    guess: float = 0.0
    """Seconds, beside what each image costs whatever its size."""
    images: int = 0
    parts: int = 0
    """Images and groups of scenes."""
    megapixels: float = 0.0
    """Of results."""


class WorkLeft:
    """Rows leave it as they are answered for."""

    def __init__(self, rows: Iterable[Row], settings: Settings) -> None:
        """`settings` are those of the run."""
        self._settings = settings
        self._known: dict[Settings, tuple[float, float]] = {}
        self._rows: dict[str, tuple[Row, _Costs]] = {}
        self._sums: defaultdict[_Costs, _Sum] = defaultdict(_Sum)
        self._density: dict[str, _Ratio] = {}
        self._enlargement: dict[_Costs, _Ratio] = {}
        self._scenes: dict[str, _Begun] = {}
        for row in rows:
            costs = self._costs(row)
            self._rows[row.key] = row, costs
            self._sums[costs].images += 1
            self._sums[costs].size += row.size

    def left(self) -> Work:
        guess = megapixels = 0.0
        images = parts = 0
        for costs, held in self._sums.items():
            pixels = held.size * self._density_of(costs.kind).value
            guess += held.images * costs.fit + pixels * costs.pixel
            megapixels += pixels * self._enlargement_of(costs).value / 1e6
            images += held.images
        for begun in self._scenes.values():
            guess += begun.left * begun.lr_pixels * begun.costs.pixel
            megapixels += begun.left * begun.sr_pixels / 1e6
            parts += len(begun.groups)
        return Work(guess, images, images + parts, megapixels)

    def finished(self, record: Record) -> Work:
        """What an image was that is no more to be done; nothing of one that failed. Of a scene what was left of it."""
        key = record.key or ""
        begun = self._scenes.pop(key, None)
        if begun is not None:
            return Work()
        taken = self._take(key)
        if taken is None or not record.width or not record.height or not record.sr_width or not record.sr_height:
            return Work()
        row, costs = taken
        pixels, made = record.width * record.height, record.sr_width * record.sr_height
        self._density_of(costs.kind).learn(pixels, row.size)
        self._enlargement_of(costs).learn(made, pixels)
        return Work(costs.fit + pixels * costs.pixel, 1, 1, made / 1e6)

    def begun(self, scene: Scene) -> Work:
        """What the fit of a scene was; its groups are left."""
        taken, record = self._take(scene.row.key), scene.record
        if taken is None:  # handed out again: it is known
            return Work()
        row, costs = taken
        pixels = (record.width or 0) * (record.height or 0)
        made = (record.sr_width or 0) * (record.sr_height or 0)
        self._density_of(costs.kind).learn(pixels, row.size)
        tiles = scene.groups[-1][1]
        shares = {start: (stop - start) / tiles for start, stop in scene.groups}
        self._scenes[scene.row.key] = _Begun(pixels, made, costs, shares)
        return Work(costs.fit, 1, 1)

    def grouped(self, group: GroupRecord) -> Work:
        """What a group of a scene's tiles was."""
        begun = self._scenes.get(group.record.key or "")
        share = begun.groups.pop(group.start, None) if begun else None
        if begun is None or share is None:
            return Work()
        return Work(share * begun.lr_pixels * begun.costs.pixel, 0, 1, share * begun.sr_pixels / 1e6)

    def _take(self, key: str) -> tuple[Row, _Costs] | None:
        taken = self._rows.pop(key, None)
        if taken is not None:
            row, costs = taken
            self._sums[costs].images -= 1
            self._sums[costs].size -= row.size
        return taken

    def _costs(self, row: Row) -> _Costs:
        settings = row.settings(self._settings)
        if settings not in self._known:
            self._known[settings] = fitting_seconds(settings), enlarging_seconds(_MANY, settings) / _MANY
        ending = os.path.splitext(row.uri)[1].lower().lstrip(".")
        return _Costs(ending, *self._known[settings], settings.scale)

    def _density_of(self, kind: str) -> _Ratio:
        """LR pixels a byte."""
        first = _PIXELS_PER_BYTE.get(kind, 1.0)
        return self._density.setdefault(kind, _Ratio(first * _BYTES_OF_PRIOR, _BYTES_OF_PRIOR))

    def _enlargement_of(self, costs: _Costs) -> _Ratio:
        """Pixels of the result for one of the input: where a size was asked for, it is another than the scale says."""
        return self._enlargement.setdefault(costs, _Ratio(costs.scale**2 * _PIXELS_OF_PRIOR, _PIXELS_OF_PRIOR))
