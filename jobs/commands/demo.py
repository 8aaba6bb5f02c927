"""`srpipe demo`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import UsageError

from ..answers import EXIT_SOME_FAILED


def demo(
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Write the sample collection and its results to this folder."
        ),
    ] = "srpipe-demo",
) -> int:
    """Make a small collection, upscale it, and show the results."""
    if "://" in output:
        raise UsageError(f"--output: {output} is no path, and the demo writes to a local folder; give the path of one")
    from ..demo import demo

    return EXIT_SOME_FAILED if demo(Path(output)).failed else 0
