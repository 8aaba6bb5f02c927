"""`srpipe watch`."""

from typing import Annotated

import typer

from ..panels import with_panels
from ..storage_flags import StorageFlags


@with_panels
def watch(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Read the progress of the run on this output.")],
    once: Annotated[bool, typer.Option("--once", help="Print how it stands now, and end.")] = False,
    *,
    storage: StorageFlags,
) -> int:
    """Show how a run goes, from another terminal or machine. Ends when the run ends, with its exit code."""
    from pipeline.storage import absolute, use

    from ..watching import watch

    place = absolute(output)
    use(storage.options(), place)
    return watch(place, once)
