"""`srpipe` as a person starts it: a process of its own, and the manifests that it is given."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
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


def srpipe_of(source: Path, *arguments: str | Path) -> None:
    """Run that of the sources in a folder, with this environment, to a good end."""
    # They are first on the path, in worker processes, too: the environment's own srpipe comes after.
    command, changed = [*COMMAND, *map(str, arguments)], environment({"PYTHONPATH": str(source)})
    subprocess.run(command, cwd=source, env=changed, check=True, stdout=subprocess.DEVNULL)


def write_manifest(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a csv and the folder for it; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path
