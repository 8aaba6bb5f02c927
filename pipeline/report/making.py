"""Making of the report for an output."""

from dataclasses import dataclass

from .. import storage
from ..errors import UsageError
from ..storage_options import NOTHING_GIVEN, StorageOptions
from .cards import cards_of
from .choice import choose
from .course import course_of
from .page import page_of
from .told import Condition, read_told

NAME = "report.html"
"""Name of the file in OUT."""

IMAGES = 4
"""Default number of images per group."""

_SEED = 0
"""Seed for images drawn at random, so that the same output gives the same report."""


@dataclass(frozen=True)
class Report:
    """A finished report."""

    place: str
    """Its uri."""
    bytes: int
    records: int
    pictures: int
    """Images shown in it."""
    state: Condition
    """Of the run."""
    done: int
    """Images of the run that are done; what a run at work did last may have no record yet."""
    images: int | None
    """Images of the run, more than `records` until it has ended; None while it has not said how many."""
    inputs_lost: int
    """Of the images shown: inputs that are missing, cannot be read, or are others now."""
    results_lost: int
    """Of the images shown: results, or maps of them, that are missing or cannot be read."""


def make_report(
    output: str,
    place: str | None = None,
    images: int = IMAGES,
    options: StorageOptions = NOTHING_GIVEN,
) -> Report:
    """Write a page about the present content of OUT.

    Reads the pixels of the images shown, and of their inputs; what cannot be read is reported on the page.

    Args:
        output: uri of OUT.
        place: uri of the page; by default OUT/report.html.
        images: number of images in each group: best, worst, largest, random.
        options: access to S3; what they do not say is as in the run.

    Raises:
        UsageError: OUT holds no run that this srpipe can read, or the page cannot be written.
    """
    storage.use(options, output)
    told = read_told(output)
    storage.use(options.over(told.storage), output)
    choice = choose(told.table, images, _SEED)
    groups = cards_of(output, told.table, choice)
    course = course_of(told)
    data = page_of(told, course, choice, groups)
    place = place or storage.join(output, NAME)
    storage.use(options.over(told.storage), place)
    try:
        storage.write(place, data, "text/html; charset=utf-8")
    except OSError as error:
        message = f"cannot write {place}: {storage.reason(error)}; choose another place with --output"
        raise UsageError(message) from error
    cards = [card for _, some in groups for card in some]
    return Report(
        place=place,
        bytes=len(data),
        records=len(told.table),
        pictures=len(choice.rows),
        state=course.state,
        done=course.statuses.get("done", 0),
        images=course.total,
        inputs_lost=sum(card.inputs_lost for card in cards),
        results_lost=sum(card.results_lost for card in cards),
    )
