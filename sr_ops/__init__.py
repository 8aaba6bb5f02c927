"""Pure torch: from one LR image in memory to its enlargement. No files, no Ray, no clock, no global randomness.

    from sr_ops import Settings, super_resolve

The names below are loaded when they are first used: importing the package does not load torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .domain import Domain
    from .in_memory import super_resolve
    from .prior import Prior
    from .settings import Preset, Settings, preset

__all__ = ["Domain", "Preset", "Prior", "Settings", "preset", "super_resolve"]

_LIES_IN = {
    "Domain": "domain",
    "Preset": "settings",
    "Prior": "prior",
    "Settings": "settings",
    "preset": "settings",
    "super_resolve": "in_memory",
}

if not TYPE_CHECKING:  # mypy would accept any name of a package that has a __getattr__

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name not in _LIES_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_LIES_IN[name]}", __name__), name)
