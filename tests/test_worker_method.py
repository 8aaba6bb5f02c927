"""One image: which method, network and prior enlarge it, and what its record tells of them."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.sample_pictures import satellite_view
from pipeline.config import RunConfig
from pipeline.priors.prior_file import parse_prior, read_prior
from pipeline.work.assignment import Assignment
from pipeline.work.worker import Worker
from sr_ops.camera.base import make_base
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model, degradation_of, network_of
from sr_ops.image.resample import downscale
from sr_ops.settings import FitSettings, Method, Network, Preset, Settings, preset

from .fixture_types import MakePng, MakePrior, MakeRow, MakeWorker, ReadTiles
from .results import answer
from .weights import prior_in


@pytest.mark.parametrize("method", ["auto", "zssr"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 30), (8, 8), (10, 10), (23, 40), (40, 23), (24, 24)])
def test_smallest_images(
    height: int,
    width: int,
    method: str,
    make_png: MakePng,
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
) -> None:
    """An image too small to fit, or to spare a part that judges the fit, is enlarged all the same; the record says how.

    From 8 pixels a side on it can be fitted, from 24 on the fit can be judged.
    """
    make_png(tmp_path / "t.png", height=height, width=width)
    record = answer(make_worker(method=Method(method)), row("t.png"))
    assert (record.status, record.sr_width, record.sr_height) == ("done", 2 * width, 2 * height)
    judged = min(height, width) >= 24
    assert (record.reconstruction_psnr is not None) == (record.bicubic_reconstruction_psnr is not None) == judged
    fitted = min(height, width) >= (24 if method == "auto" else 8)
    assert (record.final_loss is not None) == fitted
    if method == "zssr" or not judged:
        expected = ("zssr", 2, "subpixel") if fitted else ("bicubic", 0, None)
        assert (record.method_used, record.steps, record.network) == expected


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("key", ["a.png", "b.png"])
def test_bicubic_on_demand(
    key: str,
    scale: int,
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Method bicubic is bicubic interpolation and back-projection exactly, and no fit, whatever prior there is."""
    bicubic = {"prior": make_prior(), "method": Method.BICUBIC, "tile_size": 64, "back_projections": 3}
    record = answer(make_worker(**bicubic), row(key, scale))
    lr = images[key].astype(np.float32)[..., None] if images[key].ndim == 2 else images[key].astype(np.float32)
    bare = Settings(scale=scale, back_projections=3)
    model = Model(Method.BICUBIC, degradation_of(bare))
    sr = enlarge(torch.from_numpy(lr).permute(2, 0, 1) / 255, model, bare)
    expected = (sr * 255 + 0.5).floor().byte().permute(1, 2, 0).numpy()
    written = np.asarray(Image.open(io.BytesIO(read_tiles(str(tmp_path / "out"))[f"{key}/r0000_c0000.png"])))
    assert np.array_equal(np.atleast_3d(written), expected)
    assert (record.status, record.method_used, record.steps) == ("done", "bicubic", 0)
    assert record.network is record.prior_bands is record.final_loss is record.reconstruction_psnr is None
    assert record.back_project_s is not None
    assert record.back_project_s > 0


@pytest.mark.parametrize("value", [0, 100, 255])
def test_a_flat_image_is_bicubic(
    value: int,
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Where there is nothing to learn, auto takes bicubic, and a flat image stays flat."""
    Image.new("RGB", (40, 30), (value, value, value)).save(tmp_path / "t.png")
    record = answer(make_worker(prior=make_prior(), method=Method.AUTO, tile_size=64), row("t.png"))
    assert (record.status, record.method_used, record.steps) == ("done", "bicubic", 0)
    assert record.network is record.prior_bands is None
    assert record.prior is not None
    (tile,) = read_tiles(str(tmp_path / "out")).values()
    assert np.unique(np.asarray(Image.open(io.BytesIO(tile)))).tolist() == [value]


@pytest.mark.parametrize(
    ("changes", "from_prior", "method", "steps", "used"),
    [
        ({}, False, "zssr", 2, 2),
        ({"scale": 4}, False, "zssr", 2, 2),
        ({}, True, "zssr", 2, 2),
        ({"method": Method.AUTO, "fit": FitSettings(steps=4, crop=16, learning_rate=1.0)}, False, "bicubic", 4, 0),
        ({"method": Method.PRIOR}, True, "prior", 0, 0),
        ({"fit": FitSettings(steps=0)}, True, "prior", 0, 0),
        ({"method": Method.BICUBIC}, True, "bicubic", 0, 0),
    ],
    ids=["fitted", "two stages", "from a prior", "a fit that lost", "the prior", "no step", "bicubic"],
)
def test_steps_that_were_made_and_those_that_count(
    changes: dict[str, Any],
    from_prior: bool,
    method: str,
    steps: int,
    used: int,
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    make_png: MakePng,
    tmp_path: Path,
) -> None:
    """A fit that lost has taken its steps, and none of them is in what enlarged the image."""
    make_png(tmp_path / "t.png", height=40, width=44)
    worker = make_worker(make_prior() if from_prior else None, **changes)
    record = answer(worker, row("t.png", changes.get("scale", 2)))
    assert (record.status, record.method_used, record.steps, record.steps_used) == ("done", method, steps, used)


def test_auto_keeps_a_fit_that_wins(tmp_path: Path, row: MakeRow) -> None:
    """On a picture with edges the shipped prior wins over bicubic, and the result is the network's."""
    truth = torch.from_numpy(satellite_view(96)).permute(2, 0, 1)
    lr = downscale(truth.float(), 2).round().clamp(0, 255).byte()
    Image.fromarray(lr.permute(1, 2, 0).numpy()).save(tmp_path / "t.png")
    prior = read_prior("shipped")
    assert prior is not None
    settings = replace(preset(Preset.FAST, from_prior=True), scale=2, prior=prior.sha256)
    settings = replace(settings, width=prior.body.width, depth=prior.body.depth)
    record = answer(Worker(Assignment(RunConfig("", str(tmp_path / "out"), settings), prior), "cpu"), row("t.png"))
    assert (record.status, record.method_used, record.network) == ("done", "prior", "direct")
    assert (record.prior, record.prior_bands, record.steps) == (prior.sha256, 3, 0)
    assert record.prior_reconstruction_psnr is not None
    assert record.bicubic_reconstruction_psnr is not None
    assert record.prior_reconstruction_psnr > record.bicubic_reconstruction_psnr


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("key", "held", "used"), [("a.png", (1, 3), 3), ("b.png", (1, 3), 1), ("a.png", (1,), 1), ("b.png", (1,), 1)]
)
def test_which_network_of_a_prior_is_used(
    key: str, held: tuple[int, ...], used: int, make_worker: MakeWorker, make_prior: MakePrior, row: MakeRow
) -> None:
    """An image in colour starts from the network of three bands; where there is none, and in gray, from that of one."""
    record = answer(make_worker(prior=make_prior(bands=held)), row(key))
    assert (record.status, record.method_used, record.prior_bands) == ("done", "zssr", used)
    assert record.prior == parse_prior(make_prior(bands=held)).sha256


@pytest.mark.usefixtures("images")
def test_without_a_prior(make_worker: MakeWorker, row: MakeRow) -> None:
    """A fit from scratch says so."""
    record = answer(make_worker(), row("a.png"))
    assert (record.prior, record.prior_bands, record.method_used) == ("none", None, "zssr")


@pytest.mark.parametrize("key", ["a.png", "b.png"])
def test_fits_start_from_the_prior(
    key: str,
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """With no step the result is that of the prior's own network; a step leads on from there."""
    data = make_prior()
    bare = {"prior": data, "ensemble": False, "back_projections": 0, "tile_size": 64}
    record = answer(make_worker(**bare, fit=FitSettings(steps=0)), row(key))
    assert (record.method_used, record.steps, record.final_loss) == ("prior", 0, None)
    written = np.asarray(Image.open(io.BytesIO(read_tiles(str(tmp_path / "out"))[f"{key}/r0000_c0000.png"])))
    lr = torch.from_numpy(np.atleast_3d(images[key]).astype(np.float32)).permute(2, 0, 1) / 255
    settings = Settings(scale=2, network=Network.DIRECT, width=8, depth=3)
    network = network_of(prior_in(data).heads[2, len(lr)], len(lr), 2, settings, torch.device("cpu"))
    base = make_base(degradation_of(settings), lr)
    with torch.inference_mode():
        made = network(lr[None], base[None], torch.zeros(1, len(lr), 2))[0]
    expected = (made.permute(1, 2, 0).numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8)
    difference = np.abs(np.atleast_3d(written).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99
    stepped = answer(make_worker(**bare, fit=FitSettings(steps=5, crop=16, batch=1, learning_rate=0.01)), row(key))
    assert stepped.output_sha256 != record.output_sha256
