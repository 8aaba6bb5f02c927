"""What a run left, for the tests of runs: its numbers, its files and its pictures."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.driver.run import Summary
from pipeline.output.record import Record
from pipeline.work.units import Row
from pipeline.work.worker import Worker


def numbers(summary: Summary) -> tuple[int, int, int, int, int]:
    """Rows in all, and those done, done already, failed and skipped, which are all there are."""
    assert summary.done + summary.already_done + summary.failed + summary.skipped == summary.rows
    return summary.rows, summary.done, summary.already_done, summary.failed, summary.skipped


def answer(worker: Worker, row: Row) -> Record:
    """What a worker answers that is handed a unit of one row."""
    (record,) = worker([row])
    return record


def files_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The time of change and the bytes of every file below a folder, by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def furthest(tiles: dict[str, bytes], others: dict[str, bytes]) -> int:
    """The largest difference of a sample, in grey levels, of two runs that wrote the same tiles, as `read_tiles` gives
    them."""
    assert tiles.keys() == others.keys()
    both = [[np.asarray(Image.open(io.BytesIO(made[name]))).astype(int) for made in (tiles, others)] for name in tiles]
    return max(int(np.abs(one - other).max()) for one, other in both)


def pasted(tiles: dict[str, bytes], key: str) -> np.ndarray:
    """The whole picture from its tiles, (H, W) or (H, W, 3): rows and columns are told by the names.

    Args:
        tiles: of any images, as `read_tiles` gives them.
        key: of the one.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for name in sorted(tiles):
        folder, _, tile = name.rpartition("/")
        if folder == key:
            rows.setdefault(tile.split("_")[0], []).append(np.asarray(Image.open(io.BytesIO(tiles[name]))))
    return np.concatenate([np.concatenate(tiles_of_row, 1) for tiles_of_row in rows.values()], 0)
