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
    """Show the progress of a run, from another terminal or machine. The exit code is 0 or 3 as
    that of the run, 4 if the run was stopped, 1 if it died, 2 if there is none."""
    from pipeline.storage import absolute, use

    from ..watching import watch

    place = absolute(output)
    use(storage.options(), place)
    return watch(place, once)
