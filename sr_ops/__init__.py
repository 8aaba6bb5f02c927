"""Super-resolution of images in memory, in pure torch: no files, no Ray, no clock, no global randomness."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .in_memory import super_resolve

__all__ = ["super_resolve"]


def __getattr__(name: str) -> Any:
    """Whoever imports a file of this package, as `settings`, does not load torch for the sake of this name."""
    if name == "super_resolve":
        from .in_memory import super_resolve

        return super_resolve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
