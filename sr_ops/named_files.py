"""Packages whose modules each hold one thing named after the module, with hyphens for underscores."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def names_in(folder: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all modules in a package's `__path__`, sorted; none is imported."""
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules(folder)))


def loaded(package: str, name: str) -> ModuleType:
    """Import and return the module for a name."""
    return import_module(f".{name.replace('-', '_')}", package)


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """Return a sentence that says that `name` is unknown, and which names exist."""
    names = tuple(names)
    near = "".join(f"; did you mean {match}" for match in get_close_matches(name, names, 1))
    return f"there is no {kind} {name!r}{near}; use one of {', '.join(names)}"
