"""Folders whose files each hold one thing that is called as the file is, with hyphens for underscores."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def names_in(folder: Iterable[str]) -> tuple[str, ...]:
    """Of all files in a package's `__path__`, sorted; none is imported."""
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules(folder)))


def loaded(package: str, name: str) -> ModuleType:
    """The file of that name."""
    return import_module(f".{name.replace('-', '_')}", package)


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """A sentence about a name that is none of the names."""
    names = tuple(names)
    near = "".join(f"; did you mean {match}" for match in get_close_matches(name, names, 1))
    return f"the {kind} {name!r} is none{near}; there are {', '.join(names)}"
