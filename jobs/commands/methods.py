"""`srpipe methods`."""

import json
from typing import Annotated

import typer

from ..answers import print_result


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """List all methods and networks, with their sources."""
    from .. import method_list

    print_result(json.dumps(method_list.as_objects()) if as_json else method_list.as_text())
    return 0
