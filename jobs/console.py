"""A console whose reader may go away, as that of `srpipe run ... 2>&1 | head`, while the work goes on."""

from typing import Any

from rich import console


class Console(console.Console):
    """Prints nothing more once nothing can be printed: rich would end the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:  # the log's disk is full
            self.quiet = True
