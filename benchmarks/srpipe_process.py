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


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Ours with changes."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}


def srpipe(*arguments: str | Path, changes: Mapping[str, str] | None = None) -> Ended:
    """Run it to its end, with changes to the environment."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, env=environment(changes or {}), capture_output=True, check=False)
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
