"""The networks that can be fitted to an image from scratch; each file holds one as its NETWORK.

A network is named after its file, so a new network is a new file. Importing this does not load torch.
"""

from typing import TYPE_CHECKING

from ..named_files import loaded, names_in

if TYPE_CHECKING:
    from ..residual_network import FittedNetwork

NAMES = names_in(__path__)


def network_class(name: str) -> "type[FittedNetwork]":
    """Return the network class of this name, one of NAMES."""
    network: type[FittedNetwork] = loaded(__name__, name).NETWORK
    return network
