"""The remaining work of a plan, in pixels and estimated seconds; until images are opened, from file sizes.

Pixels per byte are learned for each kind of file from finished images. Images of one kind and setting are summed up, so
that a million of them cost no more to query than one.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sr_ops.settings import Settings

from ..output.record import Record
from ..work.estimates import ending, enlarging_seconds, fitting_seconds, pixels_per_byte
from ..work.units import GroupRecord, Row, Scene

_MANY = 1_000_000
"""LR pixels from which the seconds per pixel are estimated."""

_BYTES_OF_PRIOR = 20_000
"""Weight of the estimated pixels per byte against those of finished images, in bytes."""

_PIXELS_OF_PRIOR = 1_000
"""Weight of the requested scale against the sizes of results, in pixels."""


@dataclass(frozen=True)
class _Costs:
    """What images have in common whose work is summed up. Seconds are estimates from work/estimates.py."""

    kind: str
    """File ending."""
    fit: float
    """Seconds per image."""
    pixel: float
    """Seconds per LR pixel."""
    scale: int


@dataclass
class _Sum:
    images: int = 0
    size: int = 0
    """Bytes."""


@dataclass
class _Ratio:
    """A ratio of two quantities, learned from finished images."""

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
    """Those that are left: share of the scene's tiles by the number of their first one."""

    @property
    def left(self) -> float:
        """Share of the scene that is left."""
        return sum(self.groups.values())


@dataclass(frozen=True)
class Work:
    """An amount of work, estimated."""

    guess: float = 0.0
    """Seconds, without the fixed cost per image."""
    images: int = 0
    parts: int = 0
    """Images, and groups of scenes."""
    megapixels: float = 0.0
    """Of results."""


class WorkLeft:
    """The rows that are left; they are removed as they are answered."""

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
        """Remove an image; return its work, none if it failed. For a scene, remove the rest of it."""
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
        """Replace a scene by its groups; return the work of its fit."""
        taken, record = self._take(scene.row.key), scene.record
        if taken is None:  # handed out again, so already known
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
        """Remove a group of a scene's tiles; return its work."""
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
        return _Costs(ending(row.uri), *self._known[settings], settings.scale)

    def _density_of(self, kind: str) -> _Ratio:
        """Return the LR pixels per byte."""
        return self._density.setdefault(kind, _Ratio(pixels_per_byte(kind) * _BYTES_OF_PRIOR, _BYTES_OF_PRIOR))

    def _enlargement_of(self, costs: _Costs) -> _Ratio:
        """Return the result pixels per input pixel, which differ from the scale if a size was requested."""
        return self._enlargement.setdefault(costs, _Ratio(costs.scale**2 * _PIXELS_OF_PRIOR, _PIXELS_OF_PRIOR))
