"""`srpipe methods`."""

import json

from ..answers import print_result
from .shared_options import AsJson


def methods(
    as_json: AsJson = False,
) -> int:
    """List all methods and networks, with their sources."""
    from .. import method_list

    print_result(json.dumps(method_list.as_objects()) if as_json else method_list.as_text())
    return 0
