"""`srpipe watch`."""

from typing import Annotated

import typer

from ..panels import with_panels
from ..storage_flags import StorageFlags


@with_panels
def watch(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Show the progress of the run on this output.")],
    once: Annotated[bool, typer.Option("--once", help="Print the present state, and end.")] = False,
    *,
    storage: StorageFlags,
) -> int:
    """Show the progress of a run, from another terminal or machine. Ends with 0 or 3 like the run, 4 if it stopped."""
    from pipeline.storage import absolute, use

    from ..watching import watch

    place = absolute(output)
    use(storage.options(), place)
    return watch(place, once)
