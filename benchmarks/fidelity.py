"""`make bench-fidelity DATA=FOLDER`: real files of every kind through the whole command line, and what became of them.

DATA holds odd/, satellite/, satellite_pairs/, archive/ and large/. What Pillow or rasterio decode is to be done, or
refused for a reason that is told; all else is to fail in words. Writes docs/fidelity.md; exit code 1 when one is not.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from . import seams
from .likeness import SCALE, Likeness, compare
from .quality import OUT
from .references import Decoded, decode
from .results import FIDELITY, machine, table, write_section
from .srpipe_process import srpipe, write_manifest

HERE = OUT / "fidelity"

MOST_PIXELS = 500_000_000
"""In large/, so that a file that is refused for its size is seen, too: cog_world.tif has 648 million."""

BOUNDS = 1e-6
"""Pixels of the input that a corner may be off."""

SHIFT = 1.0
"""Of the tolerance: 0.05 % of a band's mean, or 0.2 counts of whole numbers where that is more."""

_NO_IMAGES = {".md", ".txt"}

NOTHING = "-"
"""Where there is nothing to compare."""

_TOLD = {"corrupt", "unsupported", "too_large"}
"""Classes of failure that say what is wrong with a file."""


@dataclass(frozen=True)
class Folder:
    """A folder under DATA and how it is run."""

    name: str
    options: tuple[str, ...] = ()
    most_pixels: int = 2**30

    @property
    def title(self) -> str:
        return f"{self.name}, `{' '.join(self.options)}`" if self.options else self.name


COG = ("--format", "cog")
GAUSSIAN = ("--kernel", "gaussian:1.0")
"""It lets 0.29 through at the Nyquist frequency, as instruments on satellites do."""

FOLDERS = (
    Folder("odd/valid"),
    Folder("odd/malformed"),
    Folder("odd/archive"),
    Folder("satellite"),
    Folder("satellite", COG),
    Folder("satellite", GAUSSIAN),
    Folder("satellite_pairs"),
    Folder("archive"),
    Folder("large", ("--method", "bicubic", "--max-pixels", str(MOST_PIXELS)), MOST_PIXELS),
)


@dataclass(frozen=True)
class Line:
    """One file."""

    name: str
    decoded: Decoded
    record: Mapping[str, Any]
    likeness: Likeness | None
    """None for what is not done."""
    missed: tuple[str, ...]
    """What was expected and is not so."""


def run(folder: Folder, data: Path) -> tuple[list[Line], list[str]]:
    """One `srpipe run` over all files of a folder, a look at each, and what was expected of the run and is not so."""
    files = sorted(path for path in (data / folder.name).iterdir() if path.suffix not in _NO_IMAGES)
    place = HERE / "-".join((folder.name.replace("/", "-"), *folder.options[:2])).replace(":", "")
    manifest = write_manifest(place / "m.csv", ["uri", "id"], ([path.resolve(), path.name] for path in files))
    fixed = ("-s", str(SCALE), "--preset", "fast", "--executor", "inline", "--existing", "overwrite")
    ended = srpipe("run", manifest, "-o", place / "out", *fixed, *folder.options)
    print(ended.err, file=sys.stderr)
    records = {record["key"]: record for record in pq.read_table(place / "out/manifest.parquet").to_pylist()}
    code = 3 if any(record["status"] == "failed" for record in records.values()) else 0
    missed = [
        *([f"{folder.title} ended with {ended.code}, not {code}"] if ended.code != code else []),
        *([f"{folder.title}: a traceback"] if "Traceback" in ended.err else []),
    ]
    return [look(path, records[path.name], folder) for path in files], missed


def look(path: Path, record: Mapping[str, Any], folder: Folder) -> Line:
    """What became of one file."""
    decoded = decode(path)
    likeness = None
    if record["status"] == "done" and decoded.reference is not None:
        likeness = compare(decoded.reference, record)
    missed = [*_outcome_missed(decoded, record, folder), *([] if likeness is None else _likeness_missed(likeness))]
    if likeness is not None and not _agrees(likeness, record):
        missed.append("the record's consistency is not that of the written samples")
    return Line(path.name, decoded, record, likeness, tuple(missed))


def _outcome_missed(decoded: Decoded, record: Mapping[str, Any], folder: Folder) -> list[str]:
    failed, kind, message = record["status"] == "failed", record["error_type"], record["error_message"] or ""
    if failed and (kind not in _TOLD or "; " not in message):
        return [f"failed without a class and a sentence: {kind}, {message}"]
    if decoded.pixels > folder.most_pixels:
        return [] if kind == "too_large" else ["it is larger than asked for, and was not refused for that"]
    if decoded.reference is None:
        return [] if failed else ["neither Pillow nor rasterio decodes it, and it is done"]
    if failed and kind == "corrupt":
        return ["Pillow or rasterio decodes it, and it is said to be damaged"]
    return []


def _likeness_missed(likeness: Likeness) -> list[str]:
    error = likeness.bounds_error
    return [
        *(["its bounds moved"] if error is not None and error > BOUNDS else []),
        *(["its CRS is another"] if likeness.crs is False else []),
        *(["its nodata value is another"] if likeness.nodata is False else []),
        *([] if likeness.known else ["what is known is not the nearest enlargement of what was"]),
        *(["its points or RPCs are others"] if likeness.points is False else []),
        *(f"{name} is lost without a note" for name, fate in likeness.metadata.items() if fate == "lost"),
        *(["its mean moved"] if likeness.shift is not None and likeness.shift > SHIFT else []),
    ]


def _agrees(likeness: Likeness, record: Mapping[str, Any]) -> bool:
    """The record's largest error is over all that is known, so it may be more, but never less."""
    told, found = record["consistency_max"] or 0.0, likeness.largest_error or 0.0
    return bool(found <= told * 1.001 + 1e-3 * (record["dtype"] != "float32"))


def folder_table(lines: Iterable[Line]) -> str:
    header = ["file", "read as", "outcome", "written", "bounds, px", "CRS", "nodata", "known", "GCPs, RPCs", "metadata"]
    header += ["largest error", "mean error", "mean shift", "s"]
    return table(header, [_row(line) for line in lines])


def _row(line: Line) -> list[str]:
    reference, record, likeness = line.decoded.reference, line.record, line.likeness
    read = reference.kind if reference else f"{line.decoded.pixels:,} pixels" if line.decoded.pixels else NOTHING
    outcome = record["status"] if record["status"] == "done" else f"{record['error_type']}: {record['error_message']}"
    row = [line.name, read, f"**{outcome}**" if line.missed else outcome]
    if likeness is None:
        return [_cell(text) for text in (*row, *[""] * 11)]
    row += [
        likeness.written,
        NOTHING if likeness.bounds_error is None else f"{likeness.bounds_error:.0e}",
        *(_verdict(value) for value in (likeness.crs, likeness.nodata, likeness.known, likeness.points)),
        ", ".join(name if fate == "kept" else f"{name} ({fate})" for name, fate in likeness.metadata.items())
        or NOTHING,
        f"{_number(record['consistency_max'])}; {_number(likeness.largest_error)}",
        f"{_number(record['consistency_mae'])}; {_number(likeness.mean_error)}",
        _number(likeness.shift),
        f"{record['total_s']:.1f}",
    ]
    return [_cell(text) for text in row]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _verdict(value: bool | None) -> str:
    return NOTHING if value is None else "yes" if value else "**no**"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def main(data: Path) -> None:
    started = time.monotonic()
    HERE.mkdir(parents=True, exist_ok=True)
    folders, missed = {}, []
    for folder in FOLDERS:
        folders[folder], of_run = run(folder, data)
        missed += [f"- {what}" for what in of_run]
        for line in folders[folder]:
            print(folder.name, line.name, line.record["status"], *line.missed, sep=" | ", file=sys.stderr, flush=True)
    seam = seams.section()
    lines = [line for folder in folders.values() for line in folder]
    files = {(folder.name, line.name) for folder, of_folder in folders.items() for line in of_folder}
    missed += [f"- {line.name}: {what}" for line in lines for what in line.missed]
    tables = "\n\n".join(f"### {folder.title}\n\n{folder_table(lines)}" for folder, lines in folders.items())
    minutes = (time.monotonic() - started) / 60
    text = f"""## Real files

`make bench-fidelity DATA=...` ({minutes:.0f} minutes). {machine()}

`srpipe run --scale {SCALE} --preset fast --executor inline` was given {len(files)} files, some with
several sets of options: {len(lines)} images in all. A file that Pillow or rasterio reads whole by itself is to be done,
or refused in a sentence that names the reason. A file that neither reads is to fail with a class and a sentence. A run
ends with 3 where a file failed, else with 0, and never shows a traceback. Expectations missed: **{len(missed)}**.

{"".join(f"{line}{chr(10)}" for line in missed)}
- *Read as* says what Pillow or rasterio, not srpipe, makes of the file. All comparisons are with that.
- *Bounds* is how far the farthest of the four corners is from its place, in pixels of the input; at most {BOUNDS:g}.
- *Known* says whether the right samples are known. A known sample is neither nodata, NaN, masked nor clear. In the
  result, what is known is what the input knows, enlarged by nearest neighbour, sample by sample. Where the alpha of a
  picture blends, what is clear stays clear.
- *Metadata* names what the input has. It is kept, or *noted* in the record as not kept. DPI are kept times {SCALE}.
- *Errors* compare the result with the input, in native units. For this the result is shrunk by the kernel that was
  told (MATLAB's bicubic where none is). The first figure is the record's, over all that is known. The second is
  computed here from the written files, where all that the kernel reads is known.
- *Mean shift* is how far the mean of the known samples of the worst band moved, as a multiple of 0.05 % of it, or of
  0.2 counts where that is more (not for floats); at most {SHIFT:g}.
- `.md` and `.txt` files are left out. In large/ `--max-pixels` is such that cog_world.tif is refused, because it would
  otherwise take most of an hour.

{tables}
"""
    write_section("files", text, FIDELITY)
    write_section("seams", seam.text, FIDELITY)
    print(text, seam.text, sep="\n")
    sys.exit(1 if missed or seam.missed else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
