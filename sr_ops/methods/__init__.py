"""The methods that enlarge an image without a network of srpipe's own; each file holds one as its METHOD.

A method is named after its file, so a new method is a new file. Importing this does not load torch.
"""

from typing import TYPE_CHECKING

from ..named_files import loaded, names_in

if TYPE_CHECKING:
    from ..enlarging_method import EnlargingMethod

NAMES = names_in(__path__)


def method_of(name: str) -> "EnlargingMethod":
    """Return the method of this name, one of NAMES."""
    method: EnlargingMethod = loaded(__name__, name).METHOD
    return method
