"""`srpipe` as a person starts it: a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "jobs.cli")


class Ended(NamedTuple):
    """How it ended."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line that it said on stderr."""
        return (self.err.strip().splitlines() or [""])[-1]


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Ours with changes; None takes a variable away."""
    inherited = {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}
    return {name: value for name, value in inherited.items() if value is not None}


def srpipe(*arguments: str | Path, folder: Path | None = None, **changes: str | None) -> Ended:
    """Run it to its end, with changes to the environment."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=folder, env=environment(changes), capture_output=True, check=False
    )
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
