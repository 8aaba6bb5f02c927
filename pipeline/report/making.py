"""Making the report of an output."""

from dataclasses import dataclass

from .. import storage
from ..errors import UsageError
from ..storage_options import StorageOptions
from .cards import cards_of
from .choice import choose
from .page import page_of
from .told import read_told

NAME = "report.html"
"""Of the file in OUT."""

IMAGES = 4
"""That are shown of each group, unless another number is asked for."""

_SEED = 0
"""Of the images that are drawn at random: the same output gives the same report."""


@dataclass(frozen=True)
class Report:
    """A report that was made."""

    place: str
    """Its uri."""
    bytes: int
    records: int
    pictures: int
    """Images that can be looked at in it."""


def make_report(
    output: str, place: str | None = None, images: int = IMAGES, options: StorageOptions | None = None
) -> Report:
    """Write a page about what lies in OUT now.

    Reads the pixels of the images that it shows, their inputs too; what cannot be read is told in it.

    Args:
        output: uri of OUT.
        place: uri of the page; by default OUT/report.html.
        images: how many are shown of each group: best, worst, largest, random.
        options: how S3 is reached; by default as in the run.

    Raises:
        UsageError: OUT holds no run that this srpipe can read, or the page cannot be written.
    """
    storage.use(options or StorageOptions(), output)
    told = read_told(output)
    storage.use(options or told.storage, output)
    choice = choose(told.table, images, _SEED)
    groups = cards_of(told.table, choice)
    data = page_of(told, choice, groups)
    place = place or storage.join(output, NAME)
    try:
        storage.write(place, data, "text/html; charset=utf-8")
    except OSError as error:
        message = f"cannot write {place}: {storage.reason(error)}; choose another place with --output"
        raise UsageError(message) from error
    return Report(place, len(data), len(told.table), len(choice.rows))
