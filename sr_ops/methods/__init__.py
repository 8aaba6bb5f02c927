"""The methods that enlarge an image without a network of srpipe's own: a file each, whose METHOD it holds.

The name of a method is its file's, so a new one is a new file. Importing this loads no torch.
"""

from typing import TYPE_CHECKING

from ..named_files import loaded, names_in

if TYPE_CHECKING:
    from ..enlarging_method import EnlargingMethod

NAMES = names_in(__path__)


def method_of(name: str) -> "EnlargingMethod":
    """That of one of NAMES."""
    method: EnlargingMethod = loaded(__name__, name).METHOD
    return method
