"""Files of results that are gone when a report is made: each is named, counted, and made again as the page says."""

import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.config import Form, RunConfig
from pipeline.driver.run import run
from pipeline.imagery.header import FileLimits
from pipeline.output.layout import how_to_redo
from pipeline.output.results import open_displayed
from pipeline.report.making import make_report
from sr_ops.settings import Method, Settings

from .fixture_types import MakeConfig, Srpipe
from .rasters import write_raster

RESULTS = {
    "a tile of several": ("tiles/a.png/r0000_c0001.png", "tiles/a.png/r0000_c0001.png is missing"),
    "the only tile": ("tiles/sub/c.png/r0000_c0000.png", "tiles/sub/c.png"),
    "all of an image": ("tiles/a.png", "tiles/a.png is missing"),
    "a tile of a map": ("disagreement/a.png/r0001_c0000.png", "disagreement/a.png/r0001_c0000.png is missing"),
    "a whole map": ("disagreement/b.png", "disagreement/b.png is missing"),
}


@pytest.fixture
def config(images: dict[str, np.ndarray], tiny_config: MakeConfig) -> RunConfig:
    """A run of three images with maps of their disagreement."""
    assert len(images) == 3
    return tiny_config(disagreement=True)


def problems(output: str) -> list[str]:
    """The sentences beside the pictures."""
    page = (Path(output) / "report.html").read_text()
    return [unescape(words) for words in re.findall(r'<p class="alarm small">(.*?)</p>', page)]


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("what", RESULTS)
def test_a_file_of_a_result_that_is_gone(config: RunConfig, srpipe: Srpipe, what: str) -> None:
    """It is named beside the picture and counted on the terminal; what the page says to do makes it again."""
    run(config)
    name, said = RESULTS[what]
    remove(Path(config.output) / name)
    code, out, _ = srpipe("report", config.output)
    assert code == 3
    assert "1 result cannot be read: the page says which, and what to do" in out
    (problem,) = problems(config.output)
    assert f"{config.output}/{said}" in problem
    assert "missing" in problem
    commit = re.search(r"remove (\S+) and run the same srpipe run command again", problem)
    assert commit is not None
    assert run(config).done == 0  # it is taken for done
    Path(commit[1]).unlink()
    assert run(config).done == 1
    assert (Path(config.output) / name).exists()
    assert srpipe("report", config.output)[0] == 0
    assert problems(config.output) == []


def test_several_tiles_of_one_image(config: RunConfig) -> None:
    """The first is named, and how many more there are."""
    run(config)
    for name in ("r0000_c0000.png", "r0001_c0000.png", "r0001_c0001.png"):
        (Path(config.output) / "tiles/a.png" / name).unlink()
    made = make_report(config.output)
    assert (made.results_lost, made.inputs_lost) == (1, 0)
    (problem,) = problems(config.output)
    assert f"{config.output}/tiles/a.png/r0000_c0000.png and 2 more of its tiles are missing" in problem
    assert "Files of a.png are missing or cannot be read" in (Path(config.output) / "report.html").read_text()


def test_the_one_file_of_an_image(images: dict[str, np.ndarray], tiny_config: MakeConfig) -> None:
    """With --single, too."""
    assert images
    config = tiny_config(form=Form(single=True))
    run(config)
    (Path(config.output) / "images/b.png").unlink()
    assert make_report(config.output).results_lost == 1
    (problem,) = problems(config.output)
    assert f"{config.output}/images/b.png is missing" in problem


def test_an_input_that_is_gone_is_counted_but_is_no_loss_of_the_run(config: RunConfig, srpipe: Srpipe) -> None:
    """Its result is there: exit 0."""
    run(config)
    gone = Path(config.manifest).parent / "a.png"
    gone.unlink()
    code, out, _ = srpipe("report", config.output)
    assert code == 0
    assert "1 input cannot be read" in out
    (problem,) = problems(config.output)
    assert f"{gone} is missing. The result is not concerned; put the input back" in problem


def test_a_record_of_an_earlier_version_without_fingerprints() -> None:
    """Its commit is told by its key."""
    known = how_to_redo("out", {"config_fingerprint": "f", "source_fingerprint": "s", "key": "a.png"})
    assert known.startswith("remove out/_commit/f/a.png.s.json and run")
    unknown = how_to_redo("out", {"config_fingerprint": None, "source_fingerprint": None, "key": "a.png"})
    assert unknown.startswith("remove the commit of a.png below out/_commit and run")


@pytest.mark.parametrize("on_earth", [False, True])
def test_tiles_of_cmyk_are_no_loss(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings, on_earth: bool
) -> None:
    """They have no mosaic, and are shown side by side: as the one file of the same image is."""
    inks = np.random.default_rng(0).integers(0, 255, (5, 7, 4), np.uint8).repeat(8, 0).repeat(8, 1)
    if on_earth:
        place = {"transform": (10, 0, 5e5, 0, -10, 5e6), "crs": "EPSG:32633", "photometric": "CMYK"}
        write_raster(tmp_path / "a.tif", inks.transpose(2, 0, 1).astype(np.uint16) * 257, **place)
    else:
        Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif")
    (tmp_path / "m.csv").write_text("uri\na.tif\n")
    settings, shown = replace(tiny_settings, scale=2, method=Method.BICUBIC, tile_size=16), []
    for single in (False, True):
        output = str(tmp_path / f"out-{single}")
        run(tiny_config(form=Form(single=single), settings=settings, output=output))
        make_report(output)
        assert problems(output) == []
        (row,) = pq.read_table(f"{output}/manifest.parquet").to_pylist()
        with open_displayed(row["output_uri"], FileLimits()) as picture:
            assert (picture.height, picture.width) == (80, 112)
            shown.append(picture.window(slice(5, 75), slice(5, 105))[0])
    assert torch.equal(*shown)
    (tmp_path / "out-False/tiles/a.tif/r0001_c0001.tif").unlink()
    assert make_report(str(tmp_path / "out-False")).results_lost == 1
    assert "r0001_c0001.tif is missing" in problems(str(tmp_path / "out-False"))[0]


def test_an_image_of_nothing_is_no_loss(tmp_path: Path, tiny_config: MakeConfig, srpipe: Srpipe) -> None:
    """A scene without a measured sample has no tile, and is shown empty."""
    nothing = np.full((1, 24, 24), -9999, "float32")
    write_raster(tmp_path / "a.tif", nothing, transform=(10, 0, 5e5, 0, -10, 5e6), crs="EPSG:32633", nodata=-9999)
    (tmp_path / "m.csv").write_text("uri\na.tif\n")
    config = tiny_config()
    assert run(config).done == 1
    assert list((Path(config.output) / "tiles").rglob("*.png")) == []
    code, out, _ = srpipe("report", config.output)
    assert (code, "cannot be read" in out) == (0, False)
    assert problems(config.output) == []
