"""Options that several commands have in the same words."""

from typing import Annotated

import typer

from ..json_log import LogFormat

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Report every image on stderr, with the seconds of each phase.")
]

LogLines = Annotated[
    LogFormat,
    typer.Option("--log-format", help="Write lines of text and a bar to stderr, or one JSON object per line."),
]
