"""The parts of a benchmark, each a section of docs/results.md, and the bars that they hold figures to."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .results import RESULTS, machine, write_section


@dataclass
class Part:
    """A section of docs/results.md."""

    text: str
    missed: list[str] = field(default_factory=list)
    """A sentence for every bar that is missed."""

    def hold(self, what: str, value: float, bar: float) -> None:
        """Whether a figure is as good as it is to be, in the two digits that are shown."""
        if round(value, 2) < round(bar, 2):
            self.missed.append(f"{what}: {value:.2f} dB, at least {bar:.2f} asked")


def measure(
    command: str,
    section: str,
    parts: Mapping[str, Callable[[], Part]],
    whole: bool = True,
    timed: bool = True,
    document: Path | None = RESULTS,
) -> list[str]:
    """Measure parts one after the other, print each, and write it to the document; the bars missed.

    Args:
        command: that measures them anew.
        section: what the names of the sections begin with; it is the name of the section of a part without a name.
        whole: False for a look at some of a part's pictures or methods: nothing is written then, and no bar held.
        timed: whether to tell the minutes; False where a part keeps figures of an earlier call.
        document: None to write nothing, and hold the bars all the same.
    """
    missed = []
    for name, make in parts.items():
        started = time.monotonic()
        part = make()
        took = max(1, round((time.monotonic() - started) / 60))
        minutes = f" ({took} minute{'s' if took > 1 else ''})" if timed else ""
        told = f"`{command}`{minutes}. {machine()}"
        title, _, rest = part.text.partition("\n\n")
        text = "\n\n".join([title, told, rest])
        print(text, end="\n\n", flush=True)
        if whole and document is not None:
            write_section("-".join(filter(None, (section, name))), text, document)
        if whole:
            missed += part.missed
    return missed


def exit_code(missed: list[str]) -> int:
    """1 where a bar is missed, each of which is printed."""
    print(*(f"missed: {sentence}" for sentence in missed), f"{len(missed)} bars missed", sep="\n")
    return int(bool(missed))
