"""Notes about what of a file is not carried over, as sentences without an end."""

from collections.abc import Sequence

MOST_NAMES = 10
"""Most names in a note, because files are hostile."""


def not_carried(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return a note about things that are not carried over; none if there are none.

    Args:
        what: they are, with {} for their names.
    """
    return (f"{what.format(', '.join(names[:MOST_NAMES]))} are not carried over",) if names else ()


def of_pages(pages: int) -> tuple[str, ...]:
    """Return a note about the pictures beyond the first; none if there are none."""
    return (f"the file holds {pages} pictures; only the first is done",) if pages > 1 else ()
