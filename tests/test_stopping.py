"""Signals end a run in order, also when Python drops their exception."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from jobs import stopping

from .fixture_types import Srpipe


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    stopping.install()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)


@SIGNALS
def test_a_signal_is_an_exception(number: int, code: int) -> None:
    """Raised in the main thread, where it is."""
    stopping.check()
    with pytest.raises(stopping.Stopped) as stopped:
        os.kill(os.getpid(), number)
    assert stopped.value.exit_code == code


def test_what_nohup_started_outlives_its_terminal() -> None:
    """A hang-up that was ignored from the start stays ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopping.install()
    os.kill(os.getpid(), signal.SIGHUP)
    stopping.check()


class Finalised:
    """Is sent a signal while it is taken away."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


@SIGNALS
def test_a_signal_that_meets_a_finaliser_is_not_lost(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python drops the exception there; the next look finds it, and nothing is printed meanwhile."""
    Finalised(number)
    with pytest.raises(stopping.Stopped) as stopped:
        stopping.check()
    assert stopped.value.exit_code == code
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


@SIGNALS
def test_whatever_becomes_of_the_exception_the_exit_code_is_the_signals(
    number: int, code: int, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library on the way may make its own exception of ours, or end the process by one."""
    for replacement in (SystemExit(1), KeyboardInterrupt(), OSError("broken"), RuntimeError("interrupted")):

        def interrupted(*_: object, error: BaseException = replacement) -> None:
            try:
                os.kill(os.getpid(), number)
            except stopping.Stopped:
                raise error from None

        monkeypatch.setattr("pipeline.evaluate.evaluate", interrupted)
        ended, _, err = srpipe("eval", "out")
        assert (ended, err.strip()) == (code, "srpipe: stopped; run the same command to begin anew")


BEGUN = {
    "run": ("jobs.progress.run_with_progress", ("run", "m.csv")),
    "retry": ("pipeline.driver.retry.failed_work", ("retry", "out")),
    "compare": ("pipeline.compare.compare", ("compare", "m.csv")),
    "prior": ("pipeline.manifest.training_images.read_training_images", ("prior", "m.csv", "-o", "p.safetensors")),
    "plan": ("pipeline.forecast.forecast.forecast", ("plan", "m.csv")),
    "kernel": ("pipeline.driver.kernel_report.images_named", ("kernel", "m.csv")),
    "report": ("pipeline.report.making.make_report", ("report", "out")),
}
"""Where each command is when it is stopped."""


@pytest.mark.parametrize("command", BEGUN)
def test_only_what_keeps_its_work_is_said_to_resume(
    command: str, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that is stopped leaves nothing from which it could go on."""
    where, arguments = BEGUN[command]
    monkeypatch.setattr(where, lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    resumes = command in ("run", "retry", "compare", "prior")
    code, _, err = srpipe(*arguments)
    words = "resume" if resumes else "begin anew"
    assert (code, err.strip()) == (130, f"srpipe: stopped; run the same command to {words}")


@pytest.mark.parametrize("command", ["run", "compare"])
def test_what_begins_anew_is_said_to_resume_otherwise(
    command: str, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command with --existing overwrite would throw away what is done; another command is not told so."""
    where, arguments = BEGUN[command]
    monkeypatch.setattr(where, lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    _, _, err = srpipe(*arguments, "--existing", "overwrite")
    assert "stopped; run the same command with --existing resume to go on; an image that this run did not reach" in err
    assert srpipe(*arguments)[2].strip() == "srpipe: stopped; run the same command to resume"
