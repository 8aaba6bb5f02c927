"""`make fuzz [INPUTS=10000] [SEED=0] [DATA=FOLDER]`: whole runs over spoiled files; exit code 1 if anything is wrong.

Every file is decided by SEED and the number of its batch. What goes wrong is kept in bench-out/fuzz/kept/, each batch
with a why.txt; `python -m benchmarks.fuzz --seed SEED --batch NUMBER` runs one batch again. DATA holds real pictures
that are spoiled, too: then its files are part of what decides.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.errors import ErrorType
from pipeline.output.status import Status

from .fuzzing.batch import Input, make_batch
from .fuzzing.checking import Result, Violation, Workshop
from .fuzzing.seeds import Seed, all_seeds, real_seeds
from .processes import resident, tree
from .quality import OUT
from .results import machine, table, write_section

HERE = OUT / "fuzz"

SIZE = 50
"""Files of a batch."""

BATCH_SECONDS = 120.0
"""In which a batch must end; it takes about 3."""

GROWTH = 256 * 2**20
"""Bytes by which the run's process may be larger in the last tenth of the batches than it was in the second."""

_COLUMNS = (Status.DONE, ErrorType.CORRUPT, ErrorType.UNSUPPORTED, ErrorType.TOO_LARGE, ErrorType.BAD_ROW)
"""Of the table; all others are one."""


@dataclass
class Memory:
    """What the run's process holds between batches, and the most that it and its decoders ever hold together."""

    of_tree: int = 0
    of_batch: int = 0
    """The most since the batch began."""
    between: list[int] = field(default_factory=list)

    @property
    def growth(self) -> int:
        """Bytes from the second tenth of the batches to the last."""
        tenth = len(self.between) // 10
        if not tenth:
            return 0
        early, late = self.between[tenth : 2 * tenth], self.between[-tenth:]
        return (sum(late) - sum(early)) // tenth


class Fuzzed:
    """The process that works on batches, one after the other; a new one when it dies or hangs. Use as a context."""

    def __init__(self, seeds: Sequence[Seed], seed: int) -> None:
        self._seeds = seeds
        self._seed = seed
        self.memory = Memory()
        self._start()
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._look_at_memory, daemon=True)

    def run(self, number: int) -> Result:
        """What came of a batch, whatever becomes of the process."""
        self.memory.of_batch = 0
        began = time.monotonic()
        try:
            self._ours.send(number)
            if self._ours.poll(BATCH_SECONDS):
                result: Result = self._ours.recv()
                self.memory.between.append(resident(self._pid))
                return result
            what = f"not done after {BATCH_SECONDS:g} s"
        except (EOFError, OSError):
            self.process.join(5)
            what = f"the run's process ended with exit code {self.process.exitcode}"
        self._end()
        self._start()
        return Result(number, (), (Violation(what, ()),), time.monotonic() - began)

    def __enter__(self) -> "Fuzzed":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watch.join()
        self._end()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self._seeds, self._seed), daemon=True)
        self.process.start()
        theirs.close()
        self._pid = self.process.pid or 0

    def _end(self) -> None:
        self._ours.close()
        for process in tree(self._pid):  # the decoders of a process that is killed would go on
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.join()

    def _look_at_memory(self) -> None:
        while not self._is_over.wait(0.1):
            held = sum(map(resident, tree(self._pid)))
            self.memory.of_tree = max(self.memory.of_tree, held)
            self.memory.of_batch = max(self.memory.of_batch, held)


def _serve(connection: Connection, seeds: Sequence[Seed], seed: int) -> None:
    """Run the batches whose numbers come, until no more do."""
    with Workshop(HERE / "work") as workshop:
        while True:
            try:
                number = connection.recv()
            except EOFError:
                return
            connection.send(workshop.run(make_batch(seeds, seed, number, SIZE)))


def keep(folder: Path, inputs: Sequence[Input], why: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Keep the files that were named for some reason, all where a reason names none, and the reasons."""
    named = {path for _, paths in why for path in paths}
    if any(not paths for _, paths in why):
        named = {item.path for item in inputs}
    lines = [what for what, _ in why]
    for item in inputs:
        if item.path in named:
            path = folder / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(item.data)
            lines.append(f"{item.path!r}: {item.seed.kind} {item.seed.name}, {', '.join(item.spoilt) or 'as it is'}")
    (folder / "why.txt").write_text("".join(f"{line}\n" for line in lines))


def outcome_table(results: Sequence[Result]) -> str:
    """Kinds of files against what came of them."""
    counts = Counter((outcome.kind, outcome.status) for result in results for outcome in result.outcomes)
    kinds = sorted({kind for kind, _ in counts})
    rows = []
    for kind in [*kinds, "all"]:
        of_kind = Counter[str]()
        for (counted, status), number in counts.items():
            of_kind[status] += number if kind in (counted, "all") else 0
        shown = [of_kind[status] for status in _COLUMNS]
        others = {status: number for status, number in of_kind.items() if number and status not in _COLUMNS}
        told = ", ".join(f"{status} {number}" for status, number in sorted(others.items()))
        rows.append([kind, f"{of_kind.total():,}", *(f"{number:,}" for number in shown), told])
    return table(["made from", "files", *_COLUMNS, "others"], rows)


def section(results: Sequence[Result], memory: Memory, seed: int, real: int, seconds: float) -> str:
    """What docs/results.md says."""
    files = sum(len(result.outcomes) for result in results)
    wrong = sum(len(result.violations) for result in results)
    slowest, of_kind = max((outcome.seconds, outcome.kind) for result in results for outcome in result.outcomes)
    longest = max(result.seconds for result in results)
    command = f"make fuzz INPUTS={files} SEED={seed}" + (f" DATA=... ({real} files)" if real else "")
    return f"""## Fuzzing

`{command}` ({seconds / 60:.0f} minutes). {machine()}.

{files:,} files go through {len(results)} whole runs of `srpipe`, inline. They have names that mean something else to a
shell, a table, GDAL or a file system. The runs take folders, csv and jsonl, do bicubic and fits of two steps, and
write every format, tiles, one file and scenes, with at most 2^18 pixels. A generator with a seed spoils the files. It
flips bits, writes numbers from the ends of what integers hold over headers and lengths, cuts files, splices two, and
swaps, drops and repeats chunks. One file in twenty is left good.

After each run there must be one record for each file. A failed record says why and what to do, and its error is none
that tells of a bug or of the machine. A good file is done. Every result opens and has the size that its record says.
Nothing outside the output was changed. No temporary file is left, and no decoder but two that wait. A run ends within
{BATCH_SECONDS:g} s. **{wrong} of these were broken.**

{outcome_table(results)}

The longest run took {longest:.1f} s, and the longest file {slowest:.1f} s ({of_kind}). The run's process and its
decoders together held {memory.of_tree / 2**20:,.0f} MiB at most. From the second tenth of the runs to the last the
process grew by {memory.growth / 2**20:,.0f} MiB.
"""


def main() -> None:
    """Run all batches, write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch", type=int, help="only this one, without a section in docs/results.md")
    asked = parser.parse_args()
    real = real_seeds(asked.data) if asked.data else []
    seeds = [*all_seeds(), *real]
    numbers = range(-(-asked.inputs // SIZE)) if asked.batch is None else [asked.batch]
    shutil.rmtree(HERE / "kept", ignore_errors=True)
    began, results = time.monotonic(), []
    with Fuzzed(seeds, asked.seed) as fuzzed:
        for number in numbers:
            result = fuzzed.run(number)
            results.append(result)
            _tell(result, seeds, asked.seed, fuzzed.memory.of_batch)
    if asked.batch is None:
        text = section(results, fuzzed.memory, asked.seed, len(real), time.monotonic() - began)
        write_section("fuzzing", text)
        print(text)
    grown = fuzzed.memory.growth > GROWTH
    if grown:
        print(f"the process grew by {fuzzed.memory.growth} bytes, more than {GROWTH}")
    sys.exit(1 if grown or any(result.violations for result in results) else 0)


def _tell(result: Result, seeds: Sequence[Seed], seed: int, held: int) -> None:
    """Print what is wrong, and which files killed a decoder; keep those files."""
    why = [(violation.what, violation.paths) for violation in result.violations]
    crashed = [outcome for outcome in result.outcomes if outcome.status == ErrorType.CRASHED]
    why += [(f"{outcome.kind}: {outcome.message}", (outcome.path,)) for outcome in crashed]
    counts = Counter(outcome.status for outcome in result.outcomes)
    print(f"batch {result.number}: {result.seconds:.1f} s, {held / 2**20:.0f} MiB, {dict(counts)}", flush=True)
    for what, paths in why:
        print(f"  {what} {[*paths]}", flush=True)
    if why:
        folder = HERE / "kept" / f"{seed}-{result.number}"
        keep(folder, make_batch(seeds, seed, result.number, SIZE).inputs, why)


if __name__ == "__main__":
    main()
