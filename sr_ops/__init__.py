"""Pure torch: from one LR image in memory to its enlargement. No files, no Ray, no clock, no global randomness.

    from sr_ops import Settings, super_resolve

What needs torch is loaded when it is first used: importing the package does not load it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .settings import Preset, Settings, preset

if TYPE_CHECKING:
    from .image.domain import Domain
    from .in_memory import super_resolve
    from .priors.prior import Prior

__all__ = ["Domain", "Preset", "Prior", "Settings", "preset", "super_resolve"]

_LIES_IN = {"Domain": "image.domain", "Prior": "priors.prior", "super_resolve": "in_memory"}

if not TYPE_CHECKING:  # mypy would accept any name of a package that has a __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _LIES_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_LIES_IN[name]}", __name__), name)
