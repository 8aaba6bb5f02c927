"""Decoders are processes: however an image or a run ends, each waits for another file or is gone."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.driver.run import run
from pipeline.imagery import picture
from pipeline.imagery.reading import decoder_processes
from pipeline.work.assignment import Assignment
from pipeline.work.units import Division, Row
from pipeline.work.worker import Worker

from .fixture_types import MakeConfig, MakePng


@pytest.fixture(autouse=True)
def _all_idle() -> Iterator[None]:
    """None is at work at the start and in the end of a test."""
    decoder_processes.end_all()
    decoder_processes._idle.clear()
    yield
    assert decoder_processes._alive == set(decoder_processes._idle)
    assert len(decoder_processes._idle) <= 3


def _write_manifest(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"{name}\n" for name in names))


def test_after_damaged_pixels(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A picture whose pixels cannot be read, though its header can, is let go of."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(buffer, "PNG")
    names = [f"{number}.png" for number in range(6)]
    for name in names:
        (tmp_path / name).write_bytes(buffer.getvalue()[:3000])
    _write_manifest(tmp_path, names)
    assert run(tiny_config(), observer).errors == {"corrupt": 6}


@pytest.fixture
def windowed(tmp_path: Path, make_png: MakePng, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three pictures that are read window by window, and their manifest."""
    monkeypatch.setattr(picture, "HELD_WHOLE", 500)
    names = [f"{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        make_png(tmp_path / name, height=40, width=50, seed=number)
    _write_manifest(tmp_path, names)
    return names


@pytest.mark.usefixtures("windowed")
def test_after_the_last_scene(tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scene that a worker keeps open for its next group is closed when the run ends, or goes on elsewhere."""
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.002))
    assert run(tiny_config(), observer).done == 3


def _refuse(*_: object) -> None:
    raise PermissionError(13, "not yours")


@pytest.mark.usefixtures("windowed")
@pytest.mark.parametrize(
    ("place", "instead"),
    [("pipeline.work.image_work.model_to_bytes", lambda *_: b"no networks"), ("pipeline.work.scene.resume", _refuse)],
)
def test_a_scene_that_cannot_go_on(
    place: str, instead: Callable[..., Any], tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenes whose networks are damaged, or of which nobody can tell how far they came, leave nothing open."""
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.002))
    monkeypatch.setattr(place, instead)
    assert run(tiny_config(), observer).errors == {"read": 3}


@pytest.mark.parametrize("answers", [1, 2])
def test_nobody_asks_for_the_rest(answers: int, tmp_path: Path, windowed: list[str], tiny_config: MakeConfig) -> None:
    """A run that stops in the middle of a unit lets go of the images that were opened ahead."""
    rows = [Row(index, index + 1, name, str(tmp_path / name), 2, 0) for index, name in enumerate(windowed)]
    worker = Worker(Assignment(tiny_config()), "cpu")(rows)
    for _ in range(answers):
        next(worker)
    worker.close()
