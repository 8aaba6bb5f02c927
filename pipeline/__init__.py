"""Collections of images as batch jobs, and single images in memory: `run`, `RunConfig`, `enlarge`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import RunConfig
    from .driver.run import run
    from .enlarge_array import enlarge

__all__ = ["RunConfig", "enlarge", "run"]

_WHERE = {"RunConfig": ".config", "enlarge": ".enlarge_array", "run": ".driver.run"}


def __getattr__(name: str) -> Any:
    """Whoever imports a room of this package does not load torch or pyarrow for the sake of these names."""
    if name in _WHERE:
        return getattr(import_module(_WHERE[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
