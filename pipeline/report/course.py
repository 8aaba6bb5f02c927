"""How far a run has come: by its records, and by its own word while it goes on or where it was broken off."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..output.heartbeat import Heartbeat, State
from .told import Condition, Told
from .words import counted, duration


@dataclass(frozen=True)
class Course:
    """Numbers of images, and what to say of the run."""

    state: Condition
    statuses: Mapping[str, int]
    """Images by status."""
    total: int | None
    """Images of the run; None while it is at work and has not said how many."""
    banner: str
    """A few sentences; "" for a run that came to its end."""


def course_of(told: Told) -> Course:
    """Return the course of a run.

    Records also tell of images that an earlier manifest named, and those of a run at work are seconds old. So a run
    at work is counted by its progress.json, and so is one that was broken off before it had a record of every image.
    """
    recorded = Counter(told.table["status"].to_pylist())
    beat = told.heartbeat
    if beat is not None and _counts(beat, told.state, recorded.total()):
        images, degraded = beat.images, recorded["degraded"]
        written = max(0, images.done + images.already_done - degraded)  # it counts those over a limit among them
        numbers = Counter(done=written, degraded=degraded, failed=images.failed, skipped=images.skipped)
        return Course(told.state, numbers, images.total, _banner(told, numbers))
    total = None if told.state is Condition.RUNNING else recorded.total()
    return Course(told.state, recorded, total, _banner(told, recorded))


def _counts(beat: Heartbeat, state: Condition, recorded: int) -> bool:
    """Return whether a run's own word says more than its records, of which there are so many."""
    if state is Condition.ENDED:
        return _is_broken_off(beat) and recorded < beat.images.total
    return state is Condition.RUNNING


def _banner(told: Told, numbers: Mapping[str, int]) -> str:
    if told.state is Condition.RUNNING:
        return f"{_at_work(told.heartbeat)} Make the report again later."
    if told.state is Condition.BUSY:
        return (
            "Another command is at work on this output: a run that still looks at its manifest, or srpipe eval. This"
            " is what was there before. Make the report again later."
        )
    if told.state is Condition.DONE:
        return ""
    if not len(told.table):
        return "The run ended before any image had a result. Run the same srpipe run command to resume."
    if numbers["skipped"] and told.heartbeat is not None and not _is_broken_off(told.heartbeat):
        were = f"{counted(numbers['skipped'], 'image')} {'was' if numbers['skipped'] == 1 else 'were'}"
        return f"{were} not asked for by the last command, as with --limit. To do all, run without such an option."
    if numbers["skipped"] or not numbers["failed"] + numbers["degraded"] or _is_broken_off(told.heartbeat):
        return "The run did not come to its end. Run the same srpipe run command to resume where it stopped."
    return ""


def _at_work(beat: Heartbeat | None) -> str:
    recorded = "Pictures and tables are of what it had recorded when the report was made."
    if beat is None:
        return f"The run is at work. {recorded}"
    images = beat.images
    parts = [f"{images.done + images.already_done:,} of {images.total:,} images done"]
    parts += [f"{images.failed:,} failed"] if images.failed else []
    parts.append(f"{100 * beat.fraction:.0f} % of the work")
    parts += [f"about {' '.join(duration(beat.eta_seconds))} left"] if images.left and beat.eta_seconds else []
    at = f"{beat.updated:%d %B %Y, %H:%M:%S} UTC".lstrip("0")
    return f"The run is at work: {', '.join(parts)}, as it said on {at}. {recorded}"


def _is_broken_off(beat: Heartbeat | None) -> bool:
    return beat is not None and beat.state is not State.FINISHED
