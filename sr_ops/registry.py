"""The methods and networks that people choose by name. Importing this does not load torch.

Each is a file of a folder, and its name is the file's with hyphens for underscores: a new method is a new file.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .enlarging.method import EnlargingMethod
    from .networks.residual_network import FittedNetwork


def _names_in(folder: str) -> tuple[str, ...]:
    """Return the names of the files of a folder, sorted; none is imported, and folders in it are left out."""
    found = iter_modules([str(Path(__file__).parent / folder)])
    return tuple(sorted(module.name.replace("_", "-") for module in found if not module.ispkg))


METHODS = _names_in("methods")
"""Methods that enlarge an image without a network of srpipe's own; each file of `methods/` holds one as its METHOD."""

NETWORKS = _names_in("networks/fitted")
"""Networks that are fitted to an image from scratch; each file of `networks/fitted/` holds one as its NETWORK."""


def method_of(name: str) -> "EnlargingMethod":
    """Return the method of this name, one of METHODS."""
    method: EnlargingMethod = _loaded("methods", name).METHOD
    return method


def network_class(name: str) -> "type[FittedNetwork]":
    """Return the network class of this name, one of NETWORKS."""
    network: type[FittedNetwork] = _loaded("networks.fitted", name).NETWORK
    return network


def _loaded(package: str, name: str) -> ModuleType:
    return import_module(f".{package}.{name.replace('-', '_')}", __package__)


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """Return a sentence that says that `name` is unknown, and which names exist."""
    names = tuple(names)
    near = "".join(f"; did you mean {match}" for match in get_close_matches(name, names, 1, 0.7))
    return f"there is no {kind} {name!r}{near}; use one of {', '.join(names)}"
