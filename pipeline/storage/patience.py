"""Retries of what may succeed the next time: an overloaded store, a network problem."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from .failures import is_transient

Result = TypeVar("Result")

FIRST_WAIT = 0.5
"""In seconds."""
_LONGEST_WAIT = 30.0


class Patience:
    """Repeats an operation up to `retries` times if its OSError is transient (`is_transient`)."""

    def __init__(self, retries: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._retries = retries
        self._sleep = sleep

    def __call__(self, operation: Callable[[], Result]) -> Result:
        """Return the result of the operation. Raises its last error."""
        for retry in range(self._retries):
            try:
                return operation()
            except OSError as error:
                if not is_transient(error):
                    raise
            # doubled each time, and random so that workers with the same problem do not retry together
            self._sleep(min(_LONGEST_WAIT, FIRST_WAIT * 2**retry) * random.uniform(0.5, 1.0))
        return operation()
