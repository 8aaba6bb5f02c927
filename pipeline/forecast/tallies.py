"""What the images of a collection are, counted, and which rows would fail."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from ..errors import ErrorType
from ..manifest.claims import Rejected
from .headers import Refused, Seen

MOST_PROBLEMS = 1000
"""Problems of which each is told; all are counted."""

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


def kinds_of(seen: Sequence[Seen]) -> Kinds:
    """Count the images of each kind: the most frequent kinds first, sizes from the smallest."""
    sizes = Counter(_size(one.pixels) for one in seen)
    return Kinds(
        formats=_by_number(one.format for one in seen),
        megapixels={name: sizes[name] for name in (*(name for _, name in _SIZES), _LARGEST) if name in sizes},
        bands=_by_number(str(one.bands) for one in seen),
        dtypes=_by_number(one.dtype for one in seen),
        results=_by_number(one.kind for one in seen),
    )


def problems_of(refused: Iterable[Refused], rejected: Iterable[Rejected]) -> tuple[Problem, ...]:
    """Return the first MOST_PROBLEMS rows that a run would fail: images first, then rows of the manifest."""
    images = (Problem(one.row.line, one.row.uri, one.row.key, one.error_type, one.message) for one in refused)
    rows = (Problem(row.line, row.uri, row.key, ErrorType.BAD_ROW, row.message) for row in rejected)
    return tuple(islice(chain(images, rows), MOST_PROBLEMS))


def _size(pixels: int) -> str:
    return next((name for most, name in _SIZES if pixels <= most * 1e6), _LARGEST)


def _by_number(kinds: Iterable[str]) -> dict[str, int]:
    return dict(Counter(kinds).most_common())
