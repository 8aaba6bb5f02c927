"""`srpipe watch`: the state of a run, from its output's progress.json and lock."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.output import lock
from pipeline.output.heartbeat import Heartbeat, State, read_heartbeat

from . import stopping
from .amounts import duration
from .answers import EXIT_FATAL, EXIT_SOME_FAILED, EXIT_STOPPED, tell
from .bar import Bar, drawn, images, work
from .console import Console
from .encoding import visible

_LOCAL_SECONDS = 1.0
_S3_SECONDS = 5.0
"""Between two looks."""

_LINE_SECONDS = 5.0

_JUST_NOW = 10.0

_KIND = 20
"""Characters that distinguish a remark from others; seconds follow after them."""

_RESUME = "run the same command to resume, with --existing resume if it had another"

_MISSED = 4
"""Consecutive heartbeats whose absence means that something is wrong."""


@dataclass(frozen=True)
class _Sight:
    """What was seen at one look."""

    heartbeat: Heartbeat | None
    """None while a run is being planned."""
    remark: str = ""
    """A remark to print."""
    code: int | None = None
    """The exit code if there is nothing more to wait for."""


class _Watcher:
    def __init__(self, output: str) -> None:
        self._output = output
        self._updated: datetime | None = None
        self._seen_at = time.monotonic()
        self._last: Heartbeat | None = None

    def look(self) -> _Sight:
        """Look once. Raises UsageError if there is nothing to watch, or if the first look fails."""
        try:
            return self._judged(read_heartbeat(self._output))
        except OSError as error:
            reason = storage.reason(error)
            if self._last is None:
                raise UsageError(f"cannot read the progress of {self._output}: {reason}; check access") from error
            return _Sight(self._last, f"cannot read it now ({reason}); trying again")

    def _judged(self, heartbeat: Heartbeat | None) -> _Sight:
        if heartbeat is not None and self._is_fresh(heartbeat):
            self._last = heartbeat
            return _Sight(self._going_on(heartbeat))
        held = lock.holder(self._output)
        lease = held if held is not None and held.is_of_run else None
        if lease is not None and (heartbeat is None or lease.run_id != heartbeat.run_id):
            return _Sight(None, f"a run is starting ({lease.host}, process {lease.pid})")
        if heartbeat is None:
            raise UsageError(f"there is no progress of a run in {self._output}; name the output of a run, as -o did")
        if lease is None and heartbeat.state is State.RUNNING:
            again = read_heartbeat(self._output)  # it may have just ended
            heartbeat = again or heartbeat
        self._last = heartbeat
        if heartbeat.state is not State.RUNNING:
            return _Sight(heartbeat, _ending(heartbeat), _code(heartbeat))
        silent = duration(time.monotonic() - self._seen_at)
        if lease is None:
            sentence = f"the run died without a word, {silent} ago; {_RESUME}"
            return _Sight(replace(heartbeat, state=State.STOPPED), sentence, EXIT_FATAL)
        return _Sight(heartbeat, f"no sign of life for {silent}: it hangs, or its machine is cut off or asleep")

    def _is_fresh(self, heartbeat: Heartbeat) -> bool:
        """Return whether the run is alive, by our own clock once two heartbeats were seen, since clocks differ."""
        if heartbeat.state is not State.RUNNING:
            return False
        patience = _MISSED * heartbeat.interval_seconds
        if heartbeat.updated != self._updated:
            age = _age(heartbeat) if self._updated is None else 0.0
            self._updated, self._seen_at = heartbeat.updated, time.monotonic() - age
        return time.monotonic() - self._seen_at < patience

    def _going_on(self, heartbeat: Heartbeat) -> Heartbeat:
        """Return the heartbeat extrapolated to now: heartbeats are seconds apart."""
        passed = time.monotonic() - self._seen_at
        eta = heartbeat.eta_seconds
        left = None if eta is None else max(0.0, eta - passed)
        return replace(heartbeat, seconds=heartbeat.seconds + passed, eta_seconds=left)


def watch(output: str, once: bool) -> int:
    """Show the run until it ends, or once; return its exit code, or 0 if it goes on.

    Raises:
        UsageError: no run has written there, or it cannot be read.
    """
    if not storage.check_service(output):
        raise UsageError(f"there is no bucket for {output}; name the output of a run")
    console = Console()
    watcher = _Watcher(output)
    sight = watcher.look()
    try:
        if once or sight.code is not None:
            console.print(_shown(output, sight) if console.is_terminal else Text(_line(sight)), soft_wrap=True)
            return sight.code or 0
        return _on_terminal(console, watcher, output, sight) if console.is_terminal else _lines(console, watcher, sight)
    except stopping.Stopped as stopped:
        stopping.forget()
        tell("no longer watching; the run is not touched")
        return stopped.exit_code


def _on_terminal(console: Console, watcher: _Watcher, output: str, sight: _Sight) -> int:
    bar = Bar()
    bar.show(lambda: _shown(output, sight))
    with Live(bar, console=console, refresh_per_second=2):
        while sight.code is None:
            time.sleep(_pause(output))
            sight = watcher.look()
    return sight.code


def _lines(console: Console, watcher: _Watcher, sight: _Sight) -> int:
    said: tuple[object, ...] = ()
    while True:
        beat = sight.heartbeat
        news = (beat and (beat.run_id, beat.state, beat.images, round(beat.fraction, 2)), sight.remark[:_KIND])
        if news != said:
            console.print(Text(_line(sight)), soft_wrap=True)
        said = news
        if sight.code is not None:
            return sight.code
        time.sleep(_LINE_SECONDS)
        sight = watcher.look()


def _pause(output: str) -> float:
    return _LOCAL_SECONDS if storage.scheme(output) == "file" else _S3_SECONDS


def _shown(output: str, sight: _Sight) -> RenderableType:
    beat = sight.heartbeat
    if beat is None:
        return Text(visible(f"{output}: {sight.remark}"))
    parts: list[RenderableType] = [_cut(f"run {beat.run_id} on {beat.host}, {output}"), drawn(beat)]
    if beat.last_failures:
        parts.append(_cut("the latest failures:"))
        parts += [_cut(f"  {one.key or 'a row'}: {one.error_message}") for one in beat.last_failures]
    if sight.remark:
        parts.append(Text(visible(sight.remark)))
    return Group(*parts)


def _cut(line: str) -> Text:
    return Text(visible(line), no_wrap=True, overflow="ellipsis")


def _line(sight: _Sight) -> str:
    if sight.heartbeat is None:
        return visible(sight.remark)
    line = f"{images(sight.heartbeat)}: {work(sight.heartbeat)}"
    return f"{line}; {visible(sight.remark)}" if sight.remark else line


def _ending(heartbeat: Heartbeat) -> str:
    age = _age(heartbeat)
    ago = "just now" if age < _JUST_NOW else f"{duration(age)} ago"
    if heartbeat.state is State.STOPPED:
        return f"stopped {ago} ({heartbeat.stopped_by}); {_RESUME}"
    return f"finished {ago}"


def _code(heartbeat: Heartbeat) -> int:
    if heartbeat.state is State.STOPPED:
        return EXIT_STOPPED
    return EXIT_SOME_FAILED if heartbeat.images.failed or heartbeat.images.degraded else 0


def _age(heartbeat: Heartbeat) -> float:
    """Return the seconds since it was written, by our clock."""
    return max(0.0, (datetime.now(UTC) - heartbeat.updated).total_seconds())
