"""Trying again what may go well the next time: a store that is overloaded, a network that hiccups."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from .failures import is_transient

Result = TypeVar("Result")

FIRST_WAIT = 0.5
"""Seconds."""
_LONGEST_WAIT = 30.0


class Patience:
    """Calls an operation again, so many times, when its OSError is one that may pass (`is_transient`)."""

    def __init__(self, retries: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._retries = retries
        self._sleep = sleep

    def __call__(self, operation: Callable[[], Result]) -> Result:
        """Its result. Raises the operation's last error."""
        for retry in range(self._retries):
            try:
                return operation()
            except OSError as error:
                if not is_transient(error):
                    raise
            # doubled each time, and never the same for two workers that met the same trouble at once
            self._sleep(min(_LONGEST_WAIT, FIRST_WAIT * 2**retry) * random.uniform(0.5, 1.0))
        return operation()
