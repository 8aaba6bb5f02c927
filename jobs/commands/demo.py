"""`srpipe demo`."""

from pathlib import Path
from typing import Annotated

import typer

from ..answers import EXIT_SOME_FAILED


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Write the sample collection and its results to this folder.")
    ] = Path("srpipe-demo"),
) -> int:
    """Make a small collection, upscale it, and show the results."""
    from ..demo import demo

    return EXIT_SOME_FAILED if demo(output).failed else 0
