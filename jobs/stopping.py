"""SIGINT, SIGTERM and SIGHUP as an exception that passes every `finally`: records are written and workers end."""

import signal
import sys
from types import FrameType
from typing import NoReturn


class Stopped(BaseException):
    """The process was asked to end. Not a KeyboardInterrupt, which Typer handles itself."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


_asked: Stopped | None = None
_advice: str | None = None


def install() -> None:
    """Make each of these signals raise Stopped in the main thread; with `nohup`, SIGHUP stays ignored."""
    global _asked, _advice
    _asked = _advice = None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise)
    sys.unraisablehook = _quietly


def asked() -> Stopped | None:
    """Return what the last signal raised; None if there was none."""
    return _asked


def advise(sentence: str) -> None:
    """Say what to do after a signal, in place of what holds for the command in general."""
    global _advice
    _advice = sentence


def advice() -> str | None:
    return _advice


def forget() -> None:
    """Forget the last signal, which has been handled."""
    global _asked
    _asked = None


def check() -> None:
    """Raise what a signal asked for if it got lost: Python drops an exception raised inside a finaliser."""
    if _asked is not None:
        raise _asked


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    global _asked
    _asked = Stopped(number)
    raise _asked


def _quietly(dropped: "sys.UnraisableHookArgs") -> None:
    if not issubclass(dropped.exc_type, Stopped):
        sys.__unraisablehook__(dropped)
