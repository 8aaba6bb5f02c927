"""Collections of images in, results and records out; and single images in memory, with the same settings.

    from pipeline import enlarge, run

The names below are loaded when they are first used; `run` loads torch and Ray only when there is work.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arrays import enlarge, load_prior
    from .driver.run import Summary
    from .errors import ImageError, UsageError
    from .running import run

__all__ = ["ImageError", "Summary", "UsageError", "enlarge", "load_prior", "run"]

_LIES_IN = {
    "ImageError": "errors",
    "Summary": "driver.run",
    "UsageError": "errors",
    "enlarge": "arrays",
    "load_prior": "arrays",
    "run": "running",
}

if not TYPE_CHECKING:  # mypy would accept any name of a package that has a __getattr__

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _LIES_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_LIES_IN[name]}", __name__), name)
