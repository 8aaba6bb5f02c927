"""`make bench-memory`: the most memory that a run holds, against the size of its scene.

The scenes are GeoTIFFs made by code: islands of data in a sea of nodata. Draws docs/memory.png beside the section in
docs/fidelity.md.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import rasterio
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.windows import Window

from jobs.sample_pictures import satellite_view

from .parts import Part, exit_code, measure
from .process_memory import Usage, run_limited
from .quality import OUT
from .results import FIDELITY, table
from .srpipe_process import COMMAND

HERE = OUT / "memory"
PLOT = FIDELITY.with_name("memory.png")

LIMIT = 2**31
"""Bytes that the system grants each of two processes, worker and decoder, and that both together are to stay below."""

BANDS, BLOCK, PATTERN = 3, 512, 1024

RADIUS = 700
"""Of an island in pixels."""

MB = 10**6


@dataclass(frozen=True)
class Scene:
    """A square scene of 16 bits and how it is run."""

    side: int
    covered: float
    """Share of its pixels that have data, at least."""
    options: tuple[str, ...] = ()
    scale: int = 2

    @property
    def path(self) -> Path:
        return HERE / f"scene{self.side}.tif"


BICUBIC = ("--method", "bicubic")
COG = ("--format", "cog")
FAST = ("--preset", "fast")

SCENES = (
    Scene(1_000, 1.0),
    Scene(4_000, 0.05),
    Scene(16_000, 0.1, BICUBIC),
    Scene(30_000, 0.02, BICUBIC),
    Scene(16_000, 0.1, (*BICUBIC, *COG)),
    Scene(1_000, 1.0, FAST, scale=4),
    Scene(4_000, 0.05, FAST, scale=4),
)


@dataclass(frozen=True)
class Measured:
    """One run."""

    scene: Scene
    usage: Usage
    record: dict[str, Any]


def make_scene(scene: Scene) -> float:
    """Write it, block by block; the share of its pixels that have data."""
    pattern = 1 + 8 * satellite_view(PATTERN).astype(np.uint16).transpose(2, 0, 1)[:BANDS]
    islands = _islands(scene)
    data = 0
    with rasterio.open(
        scene.path,
        "w",
        driver="GTiff",
        count=BANDS,
        height=scene.side,
        width=scene.side,
        dtype="uint16",
        nodata=0,
        crs="EPSG:32633",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000),
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        compress="deflate",
    ) as raster:
        for _, window in raster.block_windows(1):
            known = _on_land(window, islands)
            top, left = window.row_off % PATTERN, window.col_off % PATTERN
            block = pattern[:, top : top + window.height, left : left + window.width]
            raster.write(np.where(known, block, 0).astype(np.uint16), window=window)
            data += int(known.sum())
    return data / scene.side**2


def _islands(scene: Scene) -> list[tuple[int, int]]:
    """Rows and columns of the centres of discs that cover the share together; none for a scene without sea."""
    if scene.covered == 1.0:
        return []
    number = int(np.ceil(scene.covered * scene.side**2 / (np.pi * RADIUS**2)))
    across = int(np.ceil(np.sqrt(number)))
    places = (np.arange(across) + 0.5) * scene.side / across
    return [(int(row), int(column)) for row in places for column in places][:number]


def _on_land(window: Window, islands: list[tuple[int, int]]) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: window.height, : window.width]
    known = np.full((window.height, window.width), not islands)
    for row, column in islands:
        known |= (rows + window.row_off - row) ** 2 + (columns + window.col_off - column) ** 2 < RADIUS**2
    return known


def run(scene: Scene) -> Measured:
    """One run of `srpipe` in processes that are watched and limited. Raises RuntimeError when it does not end well."""
    output = HERE / "out"
    shutil.rmtree(output, ignore_errors=True)
    command = [*COMMAND, "run", str(scene.path), "-o", str(output), "-s", str(scene.scale)]
    usage = run_limited([*command, "--executor", "inline", "--json", *scene.options], LIMIT)
    if usage.code != 0:
        raise RuntimeError(f"{' '.join(scene.options)} on {scene.path} ended with exit code {usage.code}")
    (record,) = pq.read_table(output / "manifest.parquet").to_pylist()
    return Measured(scene, usage, record)


def draw(done: list[Measured]) -> None:
    """Peaks against the side of the scene."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    tiled = [one for one in done if COG[1] not in one.scene.options and one.scene.scale == 2]
    larger = [one for one in done if one.scene.scale == 4]
    sides = [one.scene.side for one in tiled]
    parts = {"together": "#4a7fb5", "worker": "#d1495b", "decoder": "#edae49"}
    for part, colour in parts.items():
        axes.plot(sides, [getattr(one.usage, part) / MB for one in tiled], "o-", color=colour, label=part)
    for one in done:
        if COG[1] in one.scene.options:
            axes.plot(one.scene.side, one.usage.together / MB, "s", color=parts["together"], label="together, COG")
    together = [one.usage.together / MB for one in larger]
    axes.plot([one.scene.side for one in larger], together, "o:", color=parts["together"], label="together, x4")
    axes.axhline(LIMIT / MB, color="gray", linestyle="--", linewidth=1)
    axes.annotate("limit", (sides[0], LIMIT / MB), xytext=(0, -12), textcoords="offset points", color="gray")
    axes.set_xscale("log")
    axes.set_xticks(sides, [f"{side:,}" for side in sides])
    axes.minorticks_off()
    axes.set_ylim(0, LIMIT / MB * 1.05)
    axes.set_xlabel("side of the scene in pixels")
    axes.set_ylabel("peak resident memory in MB")
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.7))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT, dpi=110)


def memory_table(done: list[Measured], covered: dict[int, float]) -> str:
    rows = []
    for one in done:
        tiles = ["1 file", ""] if one.record["tiles_empty"] == 0 and COG[1] in one.scene.options else []
        rows.append(
            [
                f"{one.scene.side:,}",
                f"x{one.scene.scale}",
                f"{' '.join(one.scene.options) or 'default'}",
                f"{100 * covered[one.scene.side]:.0f} %",
                *(tiles or [f"{one.record['tiles']:,}", f"{one.record['tiles_empty']:,}"]),
                f"{one.usage.seconds:.0f}",
                *(f"{part / MB:.0f}" for part in (one.usage.worker, one.usage.decoder, one.usage.together)),
            ]
        )
    header = [
        "side",
        "scale",
        "options",
        "data",
        "tiles written",
        "skipped",
        "s",
        "worker, MB",
        "decoder, MB",
        "together, MB",
    ]
    return table(header, rows)


def compare() -> Part:
    """Make the scenes, run, draw the plot, and tell what came of it."""
    HERE.mkdir(parents=True, exist_ok=True)
    covered, done = {}, []
    for scene in SCENES:
        if scene.side not in covered:
            covered[scene.side] = make_scene(scene)
        done.append(run(scene))
        print(scene, done[-1].usage, file=sys.stderr, flush=True)
    draw(done)
    shutil.rmtree(HERE)
    missed = [f"{one.usage.together:,} bytes for {one.scene}" for one in done if one.usage.together >= LIMIT]
    text = f"""## Memory against the size of the scene

Each row is one run of `srpipe run --executor inline` over one scene. A scene is a tiled, deflated GeoTIFF of {BANDS}
bands of uint16, with islands of data in nodata. Memory is what is resident, sampled every 50 ms over all processes.
These are the worker, which is the whole of the run here, and its decoder; libraries that both have loaded count twice.
The system refuses each of the two more than {LIMIT / 2**30:g} GiB of data (`RLIMIT_DATA`), touched or not. Both
together are to stay below that: **{"missed" if missed else "kept"}**. The side of a scene does not decide how much
is held. What decides is whether networks are fitted and run (1,000 and 4,000), and whether something is unknown (all
but 1,000).

{memory_table(done, covered)}

![Peak memory against the side of the scene]({PLOT.name})
"""
    return Part(text, missed)


if __name__ == "__main__":
    sys.exit(exit_code(measure("make bench-memory", "memory", {"": compare}, document=FIDELITY)))
