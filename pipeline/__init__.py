"""Collections of images in, results and records out; and single images in memory, with the same settings.

    from pipeline import enlarge, run

What does the work is loaded when it is first used; `run` loads torch and Ray only when there is some.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import ImageError, UsageError

if TYPE_CHECKING:
    from .arrays import enlarge, load_prior
    from .driver.run import Summary
    from .running import run

__all__ = ["ImageError", "Summary", "UsageError", "enlarge", "load_prior", "run"]

_LIES_IN = {"Summary": "driver.run", "enlarge": "arrays", "load_prior": "arrays", "run": "running"}

if not TYPE_CHECKING:  # mypy would accept any name of a package that has a __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _LIES_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_LIES_IN[name]}", __name__), name)
