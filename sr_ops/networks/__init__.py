"""The networks that an image can be fitted with from scratch: a file each, whose NETWORK it holds.

The name of a network is its file's, so a new one is a new file. Importing this loads no torch.
"""

from typing import TYPE_CHECKING

from ..named_files import loaded, names_in

if TYPE_CHECKING:
    from ..residual_network import FittedNetwork

NAMES = names_in(__path__)


def network_class(name: str) -> "type[FittedNetwork]":
    """That of one of NAMES."""
    network: type[FittedNetwork] = loaded(__name__, name).NETWORK
    return network
