"""`make bench-nodes`: thumbnails, photographs and one large scene on a cluster of three nodes; who was idle when.

The nodes are Ray's, of one worker each, on this machine (`ray.cluster_utils.Cluster`); the images are made by code.
Writes docs/timeline.png beside the section in docs/results.md.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import pipeline.driver.dataflow  # noqa: F401 - sets what Ray reads when it is imported, for the cluster too
from jobs.sample_pictures import photograph, satellite_view
from pipeline.config import Device, RunConfig
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.output.record import Record
from pipeline.work.units import Answer, GroupRecord, Scene
from sr_ops.settings import Preset, preset

from .parts import Part, measure
from .quality import OUT
from .results import RESULTS, table

HERE = OUT / "three-nodes"
PLOT = RESULTS.with_name("timeline.png")

NODES = 3
THUMBNAILS, THUMBNAIL_SIDE = 300, 96
PHOTOGRAPHS, PHOTOGRAPH_SIDE = 30, 512
SCENE_SIDE, PATTERN_SIDE = 6000, 1500

COLOURS = {
    "thumbnail": "#7fb069",
    "photograph": "#4a7fb5",
    "fit of the scene": "#d1495b",
    "tiles of the scene": "#edae49",
}


@dataclass(frozen=True)
class Piece:
    """What one worker did without a pause, in seconds since the first began."""

    node: int
    """From 1."""
    kind: str
    start: float
    stop: float


def make_images() -> int:
    """The collection; the number of images."""
    shutil.rmtree(HERE, ignore_errors=True)
    folder = HERE / "lr"
    folder.mkdir(parents=True)
    whole = photograph(PHOTOGRAPH_SIDE + 4 * PHOTOGRAPHS)
    for index in range(PHOTOGRAPHS):
        corner = 4 * index
        part = whole[corner : corner + PHOTOGRAPH_SIDE, corner : corner + PHOTOGRAPH_SIDE]
        Image.fromarray(part).save(folder / f"photograph{index:02}.png")
    for index in range(THUMBNAILS):
        top, left = (40 * (index // 20) % 500, 25 * (index % 20))
        part = whole[top : top + THUMBNAIL_SIDE, left : left + THUMBNAIL_SIDE]
        Image.fromarray(part).save(folder / f"thumbnail{index:03}.png")
    repeats = SCENE_SIDE // PATTERN_SIDE
    scene = np.tile(satellite_view(PATTERN_SIDE), (repeats, repeats, 1))
    Image.fromarray(scene).save(folder / "scene.png", compress_level=1)
    return PHOTOGRAPHS + THUMBNAILS + 1


class Watch(Observer):
    """An observer that counts, and keeps the answers of the workers as they come."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.done = 0

    def finished(self, record: Record) -> None:
        assert record.error_type is None, record
        self.done += 1

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)


def pieces(answers: list[Answer]) -> list[Piece]:
    """The times that the workers themselves wrote down; every wave has new workers, in the places of the last."""
    begun = min(_span(answer)[1] for answer in answers)
    by_worker: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_worker[_span(answer)[0]].append(answer)
    done: list[Piece] = []
    free_at: dict[int, float] = {}
    for mine in sorted(by_worker.values(), key=lambda mine: min(_span(answer)[1] for answer in mine)):
        first = min(_span(answer)[1] for answer in mine) - begun
        node = next((node for node, stop in sorted(free_at.items()) if stop <= first), len(free_at) + 1)
        spans = [(_kind(answer), *_span(answer)[1:]) for answer in mine]
        done += [Piece(node, kind, start - begun, stop - begun) for kind, start, stop in spans]
        free_at[node] = max(piece.stop for piece in done if piece.node == node)
    return done


def _span(answer: Answer) -> tuple[str, float, float]:
    record = answer if isinstance(answer, Record) else answer.record
    assert record.worker is not None
    return record.worker, _seconds(record.started_at), _seconds(record.finished_at)


def _seconds(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()


def _kind(answer: Answer) -> str:
    if isinstance(answer, Scene):
        return "fit of the scene"
    if isinstance(answer, GroupRecord):
        return "tiles of the scene"
    return "thumbnail" if "thumbnail" in (answer.key or "") else "photograph"


def idle_at_the_end(done: list[Piece]) -> float:
    """Seconds from the end of the node that was first without work to that of all."""
    last = [max(piece.stop for piece in done if piece.node == node) for node in range(1, NODES + 1)]
    return max(last) - min(last)


def pauses(done: list[Piece]) -> Iterator[float]:
    """Seconds between two pieces of one node, the longest of each node."""
    for node in range(1, NODES + 1):
        mine = sorted((piece for piece in done if piece.node == node), key=lambda piece: piece.start)
        yield max((after.start - before.stop for before, after in pairwise(mine)), default=0.0)


def draw(done: list[Piece]) -> None:
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    axes = figure.subplots()
    for kind, colour in COLOURS.items():
        mine = [piece for piece in done if piece.kind == kind]
        axes.barh(
            [piece.node for piece in mine],
            [piece.stop - piece.start for piece in mine],
            left=[piece.start for piece in mine],
            color=colour,
            edgecolor="white",
            linewidth=0.3,
            label=kind,
        )
    axes.set_yticks(range(1, NODES + 1), [f"node {node}" for node in range(1, NODES + 1)])
    axes.set_xlabel("seconds")
    axes.legend(ncols=len(COLOURS), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT, dpi=110)


def look() -> Part:
    """Make the images, run, draw the workers' times, and tell what came of it."""
    from ray.cluster_utils import Cluster

    images = make_images()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    for _ in range(NODES):
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    config = RunConfig(
        manifest=str((HERE / "lr").resolve()),
        output=str((HERE / "out").resolve()),
        settings=replace(preset(Preset.FAST, from_prior=True), scale=2),
        prior_name="shipped",
        device=Device.CPU,
        workers=NODES,
        address=cluster.address,
    )
    watch = Watch()
    begun = time.monotonic()
    summary = run(config, watch)
    seconds = time.monotonic() - begun
    cluster.shutdown()  # type: ignore[no-untyped-call]
    assert summary.done == watch.done == images, summary
    done = pieces(watch.answers)
    draw(done)
    return Part(_section(done, summary.done, seconds))


def _section(done: list[Piece], images: int, seconds: float) -> str:
    idle = idle_at_the_end(done)
    longest = max(done, key=lambda piece: piece.stop - piece.start)
    unit = longest.stop - longest.start
    rows = []
    for kind in COLOURS:
        lengths = [piece.stop - piece.start for piece in done if piece.kind == kind]
        nodes = {piece.node for piece in done if piece.kind == kind}
        rows.append([kind, str(len(lengths)), str(len(nodes)), f"{sum(lengths):.0f}", f"{max(lengths):.1f}"])
    return "\n\n".join(
        [
            "## Three nodes",
            f"{THUMBNAILS} thumbnails of {THUMBNAIL_SIDE} x {THUMBNAIL_SIDE}, {PHOTOGRAPHS} photographs"
            f" of {PHOTOGRAPH_SIDE} x {PHOTOGRAPH_SIDE} and one scene of {SCENE_SIDE} x {SCENE_SIDE}, x2 with"
            f" `--preset fast`, on {NODES} nodes of one worker each, on one machine: {images} images in"
            f" {seconds:.0f} s. At the end no worker was idle for longer than {idle:.1f} s; the longest piece of work"
            f" ({longest.kind}) took {unit:.1f} s. The longest pause between two pieces was"
            f" {max(pauses(done)):.1f} s, between two waves.",
            table(["work", "pieces", "nodes at it", "seconds in all", "longest, s"], rows),
            "![Which node worked on what, when](timeline.png)",
        ]
    )


if __name__ == "__main__":
    measure("make bench-nodes", "nodes", {"": look})
