"""SIGINT, SIGTERM and SIGHUP as an exception through every `finally`: held records get written, workers end."""

import signal
import sys
from types import FrameType
from typing import NoReturn


class Stopped(BaseException):
    """The process was asked to end. No KeyboardInterrupt, which Typer takes for itself."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


_asked: Stopped | None = None


def install() -> None:
    """From now on each of these signals raises Stopped in the main thread; `nohup` keeps a terminal's end from it."""
    global _asked
    _asked = None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise)
    sys.unraisablehook = _quietly


def asked() -> Stopped | None:
    """What the last signal raised; None when there was none."""
    return _asked


def forget() -> None:
    """What was asked for is carried out."""
    global _asked
    _asked = None


def check() -> None:
    """Raises what a signal asked for, if it did not get it: Python drops an exception that meets a finaliser."""
    if _asked is not None:
        raise _asked


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    global _asked
    _asked = Stopped(number)
    raise _asked


def _quietly(dropped: "sys.UnraisableHookArgs") -> None:
    if not issubclass(dropped.exc_type, Stopped):
        sys.__unraisablehook__(dropped)
