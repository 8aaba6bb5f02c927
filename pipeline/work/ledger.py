"""A ledger of images that were begun but not ended, so that an image that kills its worker is not retried for ever.

Ray restarts a dead process and gives it the same unit again, without limit. A worker therefore records what it begins
and ends. An image that was begun on a machine that still exists, and did not end, died with its process. Images on a
machine that is gone are not to blame.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable

MOST_DEATHS = 2
"""Deaths of processes on one image after which it is given up."""


class Ledger:
    """The ledger as a worker uses it. This one keeps nothing, for a process that nobody restarts."""

    def suspects(self, keys: Iterable[str]) -> bool:  # noqa: ARG002
        """Return whether a process died while working on one of these."""
        return False

    def begin(self, key: str) -> int:  # noqa: ARG002
        """Record the start of the work; return how many processes died of it before."""
        return 0

    def end(self, key: str) -> None:
        """Record that the process survived it."""

    def dying(self, key: str, words: str) -> None:
        """Record why the process is about to end itself at work on it."""

    def last_words(self, key: str) -> str | None:  # noqa: ARG002
        """Return what the last such process said; None if none did."""
        return None


class Book:
    """The ledger itself, one for all workers of a run, with their signs of life.

    A process that is silent for too long is gone, or hangs.
    """

    def __init__(self, living: Callable[[], set[str]]) -> None:
        """`living` returns the machines that still exist."""
        self._living = living
        self._begun: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._words: dict[str, str] = {}
        self._last_signs: dict[str, float] = {}

    def suspects(self, keys: Iterable[str]) -> bool:
        return any(self._deaths(key) for key in keys)

    def begin(self, key: str, machine: str, token: str) -> int:
        """Record the start of the work. A call with a token again is the same call, whose answer was lost."""
        deaths = self._deaths(key, token)
        if deaths < MOST_DEATHS:
            self._begun[key][token] = machine
        return deaths

    def end(self, key: str) -> None:
        self._begun.pop(key, None)
        self._words.pop(key, None)

    def dying(self, key: str, words: str) -> None:
        self._words[key] = words

    def last_words(self, key: str) -> str | None:
        return self._words.get(key)

    def sign(self, name: str) -> None:
        """Record that a process lives."""
        self._last_signs[name] = time.monotonic()

    def alive(self, seconds: float) -> int:
        """Return how many processes gave a sign in the last `seconds`; the others are forgotten."""
        since = time.monotonic() - seconds
        self._last_signs = {name: last for name, last in self._last_signs.items() if last >= since}
        return len(self._last_signs)

    def _deaths(self, key: str, but_of: str = "") -> int:
        if key not in self._begun:
            return 0
        living = self._living()
        return sum(machine in living for token, machine in self._begun[key].items() if token != but_of)
