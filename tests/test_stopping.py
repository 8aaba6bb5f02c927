"""Signals end a run in order, also when Python drops their exception."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from jobs import stopping


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    stopping.install()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


SIGNALS = pytest.mark.parametrize(
    ("number", "exception"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, stopping.Terminated)]
)


@SIGNALS
def test_a_signal_is_an_exception(number: int, exception: type[BaseException]) -> None:
    """Raised in the main thread, where it is."""
    stopping.check()
    with pytest.raises(exception):
        os.kill(os.getpid(), number)


class Finalised:
    """Is sent a signal while it is taken away."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


@SIGNALS
def test_a_signal_that_meets_a_finaliser_is_not_lost(
    number: int, exception: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops the exception there; the next look finds it, and nothing is printed meanwhile."""
    Finalised(number)
    with pytest.raises(exception):
        stopping.check()
    assert capsys.readouterr() == ("", "")


def test_other_dropped_exceptions_are_still_told() -> None:
    """Only ours are silent."""
    told = []
    original, sys.__unraisablehook__ = sys.__unraisablehook__, told.append  # type: ignore[assignment]

    class Broken:
        def __del__(self) -> None:
            raise ZeroDivisionError

    Broken()
    sys.__unraisablehook__ = original  # type: ignore[assignment]
    assert [dropped.exc_type for dropped in told] == [ZeroDivisionError]
