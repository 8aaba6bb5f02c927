"""What the images of a collection are, counted; nothing of an image is kept but where it is refused, up to a limit."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..manifest.claims import Rejected
from .headers import Refused

MOST_PROBLEMS = 1000
"""Of which each is told; all are counted."""

_SIZES = ((0.1, "up to 0.1 Mpixel"), (1, "0.1 to 1"), (4, "1 to 4"), (16, "4 to 16"), (100, "16 to 100"))
_LARGEST = "over 100 Mpixel"


@dataclass(frozen=True)
class Problem:
    """A row that a run would fail."""

    line: int
    uri: str
    key: str | None
    error_type: str
    message: str


@dataclass(frozen=True)
class Kinds:
    """How many of the images whose headers were read are of which kind."""

    formats: dict[str, int]
    megapixels: dict[str, int]
    bands: dict[str, int]
    dtypes: dict[str, int]
    results: dict[str, int]
    """By the format of the files that are made."""


@dataclass
class KindCounts:
    """Counts them."""

    formats: Counter[str] = field(default_factory=Counter)
    megapixels: Counter[str] = field(default_factory=Counter)
    bands: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)

    def add(self, format_: str, pixels: int, bands: int, dtype: str, result: str) -> None:
        self.formats[format_] += 1
        self.megapixels[_size(pixels)] += 1
        self.bands[str(bands)] += 1
        self.dtypes[dtype] += 1
        self.results[result] += 1

    def kinds(self) -> Kinds:
        sizes = {name: self.megapixels[name] for name in (*(name for _, name in _SIZES), _LARGEST)}
        return Kinds(
            _by_number(self.formats),
            {name: number for name, number in sizes.items() if number},
            _by_number(self.bands),
            _by_number(self.dtypes),
            _by_number(self.results),
        )


@dataclass
class Problems:
    """Those that were met."""

    told: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """By error type."""

    def add_rejected(self, rejected: Iterable[Rejected], error_type: str) -> None:
        for row in rejected:
            self._add(Problem(row.line, row.uri, row.key, error_type, row.message))

    def add_refused(self, refused: Refused) -> None:
        row = refused.row
        self._add(Problem(row.line, row.uri, row.key, refused.error_type, refused.message))

    def _add(self, problem: Problem) -> None:
        self.counts[problem.error_type] += 1
        if len(self.told) < MOST_PROBLEMS:
            self.told.append(problem)


def _size(pixels: int) -> str:
    return next((name for most, name in _SIZES if pixels <= most * 1e6), _LARGEST)


def _by_number(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())
