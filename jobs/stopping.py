"""SIGINT and SIGTERM as exceptions that leave through every `finally`: held records get written, workers end."""

import signal
import sys
from types import FrameType
from typing import NoReturn


class Terminated(BaseException):
    """SIGTERM was received."""


_EXCEPTIONS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}

_asked: type[BaseException] | None = None


def install() -> None:
    """From now on the first of either signal raises its exception in the main thread, and so does each later one."""
    global _asked
    _asked = None
    for number in _EXCEPTIONS:
        signal.signal(number, _raise)
    sys.unraisablehook = _quietly


def check() -> None:
    """Raises what a signal asked for, if it did not get it: Python drops an exception that meets a finaliser."""
    if _asked is not None:
        raise _asked


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    global _asked
    _asked = _EXCEPTIONS[number]
    raise _asked


def _quietly(dropped: "sys.UnraisableHookArgs") -> None:
    if dropped.exc_type not in _EXCEPTIONS.values():
        sys.__unraisablehook__(dropped)
