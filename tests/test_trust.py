"""What a record says of how far its result is to be trusted, and the map of the members' disagreement."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from pipeline.config import Format
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.imagery.header import ALPHA, Band, Georef, GroundPoint, Header
from pipeline.output import layout
from pipeline.output.maps import map_header
from pipeline.work.units import Division
from pipeline.work.worker import Worker
from sr_ops.enlarging.model import degradation_of
from sr_ops.enlarging.stages import stages_of
from sr_ops.image.dihedral import ORDER, inverse, transform
from sr_ops.learning.fit import MOST_POINTS, curve
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.measures.octaves import OctavePowers
from sr_ops.settings import FitSettings, Method, Settings

from .fixture_types import ReadRecords
from .rasters import write_raster
from .weights import prior_in

Make = Callable[..., Any]


@pytest.fixture
def from_prior(tmp_path: Path, tiny_config: Make, make_prior: Make, direct_settings: Settings) -> Make:
    """A run by a prior's networks as they are, far from the base: its members disagree."""
    (tmp_path / "p").write_bytes(make_prior())

    def make(settings: dict[str, Any] | None = None, **changes: Any) -> Any:
        chosen = replace(direct_settings, **{"method": Method.PRIOR, **(settings or {})})
        return tiny_config(prior_name=str(tmp_path / "p"), settings=chosen, **changes)

    return make


def manifest(tmp_path: Path, *names: str) -> None:
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"{name}\n" for name in names))


def members(prior: bytes, lr: torch.Tensor, settings: Settings) -> torch.Tensor:
    """(8, C, H, W): what the network makes of the turned images, turned back."""
    degradation = degradation_of(settings)
    model = fit_stages(Observation(lr, degradation), settings, prior_in(prior)).model
    (network,), (stage,) = model.networks, stages_of(settings, model.degradation)
    base, told = stage.base(lr), model.told
    assert told is not None
    with torch.inference_mode():
        made = [
            inverse(network(transform(lr, each)[None], transform(base, each)[None], told[None])[0], each)
            for each in range(ORDER)
        ]
    return torch.stack(made)


def place(path: Path, samples: NDArray[Any], nodata: float | None = None) -> Affine:
    """Write a raster that lies somewhere."""
    where = Affine(10.0, 0, 500000, 0, -10.0, 4100000)
    write_raster(path, samples, crs="EPSG:32633", transform=where, nodata=nodata)
    return where


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_quantiles_are_those_of_the_members(
    dtype: str,
    tmp_path: Path,
    out: Path,
    from_prior: Make,
    observer: Any,
    read_records: ReadRecords,
) -> None:
    """In native units: what is computed with is a line of them, for each band the span that its percentiles give."""
    samples = np.random.default_rng(0).random((3, 15, 16)) * np.array([1, 10, 100])[:, None, None]
    if dtype != "float32":
        samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, samples.shape)
    samples = samples.astype(dtype)
    place(tmp_path / "a.tif", samples)
    manifest(tmp_path, "a.tif")
    config = from_prior({"noise": "0"})
    run(config, observer)
    record = read_records(str(out))["a.tif"]
    spans, offsets = np.full((3, 1, 1), 255.0), 0
    if dtype != "uint8":
        low, high = np.percentile(samples, (0.5, 99.5), axis=(1, 2), keepdims=True)
        spans, offsets = high - low, low
    lr = torch.from_numpy(((samples - offsets) / spans).astype(np.float32))
    prior = (tmp_path / "p").read_bytes()
    spread = members(prior, lr, config.settings).std(0).numpy() * spans
    for share in (50, 95):
        expected = np.percentile(spread, share)
        assert expected > spans.min() / 255
        assert record[f"disagreement_p{share}"] == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("settings", [{}, {"result_size": "times:1.5x1.5"}], ids=str)
def test_quantiles_are_those_of_the_map(
    settings: dict[str, Any], tmp_path: Path, from_prior: Make, observer: Any
) -> None:
    """Of one band with half of it unknown: what is computed there does not count."""
    samples = np.random.default_rng(1).integers(1, 200, (1, 40, 36)).astype(np.uint8)
    samples[:, :, 18:] = 0
    place(tmp_path / "a.tif", samples, nodata=0)
    manifest(tmp_path, "a.tif")
    run(from_prior(settings, disagreement=True), observer)
    (record,) = observer.records
    with rasterio.open(f"{record.disagreement_uri}/mosaic.vrt") as file:
        drawn = file.read(1)
    assert np.isnan(drawn).mean() == pytest.approx(0.5)
    assert record.disagreement_p50 == pytest.approx(np.nanquantile(drawn, 0.5), rel=1 / 16)
    assert record.disagreement_p95 == pytest.approx(np.nanquantile(drawn, 0.95), rel=1 / 16)


@pytest.mark.parametrize("settings", [{"ensemble": False}, {"method": Method.BICUBIC}], ids=str)
def test_a_map_that_nothing_could_be_drawn_on(settings: dict[str, Any], from_prior: Make, observer: Any) -> None:
    """Where no image can have one, it is refused before anything is written."""
    with pytest.raises(UsageError, match=r"--disagreement with .* has no effect"):
        run(from_prior(settings, disagreement=True), observer)


def test_one_member_does_not_disagree(
    out: Path, tiny_config: Make, tiny_settings: Settings, images: Any, observer: Any, read_records: ReadRecords
) -> None:
    """Of images too small for a fit to be trusted: no number, no map, and nothing to be done again to get one."""
    config = tiny_config(settings=replace(tiny_settings, method=Method.AUTO), disagreement=True)
    assert run(config, observer).done == len(images)
    for record in read_records(str(out)).values():
        assert record["method_used"] == "bicubic"
        assert record["disagreement_p50"] is record["disagreement_p95"] is record["disagreement_uri"] is None
    assert not (out / "disagreement").exists()
    assert run(config, observer).already_done == len(images)


def test_map_of_a_picture(
    tmp_path: Path, out: Path, from_prior: Make, pixels: Make, observer: Any, read_tiles: Make, read_records: Make
) -> None:
    """A PNG as large as the result, 16 grays a grey level of the root mean square over bands; tiles stay the same."""
    lr = pixels(height=15, width=16) // 20 + 30
    Image.fromarray(lr).save(tmp_path / "a.png")
    manifest(tmp_path, "a.png")
    config = from_prior({"noise": "0"}, disagreement=True)
    run(config, observer)
    record = read_records(str(out))["a.png"]
    assert record["disagreement_uri"] == layout.map_folder(str(out), "a.png")
    with Image.open(f"{record['disagreement_uri']}/r0000_c0000.png") as image:
        drawn = np.array(image)
    image_as_computed = torch.from_numpy(lr).permute(2, 0, 1).float() / 255
    made = members((tmp_path / "p").read_bytes(), image_as_computed, config.settings)
    expected = made.var(0).mean(0).sqrt().numpy() * 255
    assert drawn.shape == expected.shape == (30, 32)
    assert 1 < np.median(expected) < 16
    np.testing.assert_allclose(drawn, np.minimum(expected * 16, 255), atol=3)
    plain = replace(config, disagreement=False, output=f"{tmp_path}/plain")
    run(plain, observer)
    assert read_tiles(f"{tmp_path}/plain") == read_tiles(str(out))
    assert not (tmp_path / "plain/disagreement").exists()


def test_a_map_of_16_bits_is_that_of_8(
    tmp_path: Path, out: Path, from_prior: Make, pixels: Make, observer: Any
) -> None:
    """The same picture in 257 times the numbers: what is white does not depend on the bits."""
    lr = pixels(height=24, width=26, bands=1) // 20 + 30
    lr[0, :8], lr[-1, -8:] = 0, 255  # so that 16 bits are scaled by their whole range, too
    Image.fromarray(lr).save(tmp_path / "8.png")
    Image.fromarray(lr.astype(np.uint16) * 257).save(tmp_path / "16.png")
    manifest(tmp_path, "8.png", "16.png")
    run(from_prior({"noise": "0"}, disagreement=True), observer)
    drawn = []
    for name in ("8.png", "16.png"):
        with Image.open(layout.map_folder(str(out), name) + "/r0000_c0000.png") as image:
            drawn.append(np.asarray(image).astype(int))
    assert 1 < np.median(drawn[0]) < 255
    np.testing.assert_allclose(drawn[1], drawn[0], rtol=0, atol=1)


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ((Band("gray", scale=0.1, offset=-3, unit="K"),) * 2, (0.1, 0.0, "K")),
        ((Band("gray", scale=0.1, unit="K"), Band(ALPHA)), (0.1, 0.0, "K")),
        ((Band("gray", scale=0.1, unit="K"), Band("gray", scale=0.2, unit="K")), (1.0, 0.0, None)),
        ((Band("gray", unit="K"), Band("gray", unit="m")), (1.0, 0.0, None)),
    ],
)
def test_unit_of_a_map(bands: tuple[Band, ...], said: tuple[float, float, str | None]) -> None:
    """Of the differences of stored numbers: scale and unit of all bands, but no offset; none where bands differ."""
    (band,) = map_header(Header("GTiff", 8, 8, "uint16", bands), Format.TIF).bands
    assert (band.scale, band.offset, band.unit) == said


def test_ground_control_points_of_a_map_are_of_corners() -> None:
    """Those of a PNG may be of pixel centres; GDAL would shift them in a GeoTIFF."""
    georef = Georef(point=True, gcps=(GroundPoint(0, 0, 5.0, 6.0, 0.0, "1", ""),))
    header = map_header(Header("PNG", 8, 8, "uint8", (Band("gray"),), georef=georef), Format.TIF)
    assert header.georef is not None
    assert (header.georef.point, len(header.georef.gcps)) == (False, 1)


@pytest.mark.parametrize("settings", [{}, {"result_size": "times:1.5x1.5"}, {"scale": 8}], ids=str)
@pytest.mark.parametrize("cog", [False, True])
def test_map_of_a_raster(cog: bool, settings: dict[str, Any], tmp_path: Path, from_prior: Make, observer: Any) -> None:
    """A GeoTIFF on the same ground, in the same pixels, with NaN where the result knows nothing; its mosaic, too."""
    from pipeline.config import Form, Format

    samples = np.random.default_rng(1).integers(1, 200, (2, 40, 36)).astype(np.uint8)
    samples[:, :10, :9] = 0
    place(tmp_path / "a.tif", samples, nodata=0)
    manifest(tmp_path, "a.tif")
    form = Form(format=Format.COG) if cog else Form(format=Format.TIF)
    run(from_prior(settings, disagreement=True, form=form), observer)
    (record,) = observer.records
    assert record.status == "done", record.error_message
    result = record.output_uri if cog else f"{record.output_uri}/mosaic.vrt"
    with rasterio.open(result) as of_result, rasterio.open(f"{record.disagreement_uri}/mosaic.vrt") as of_map:
        assert (of_map.transform, of_map.crs, of_map.shape) == (of_result.transform, of_result.crs, of_result.shape)
        assert of_map.dtypes == ("float32",)
        drawn, known = of_map.read(1), of_result.read_masks(1) > 0
        tile = of_map.files[-1]
    assert np.array_equal(np.isfinite(drawn), known)
    assert not known.all()
    assert record.disagreement_p50 / 3 < np.nanmedian(drawn) < record.disagreement_p95
    with rasterio.open(tile) as file:
        assert file.crs.to_epsg() == 32633


def test_a_map_that_is_asked_for_later(
    tmp_path: Path, out: Path, from_prior: Make, make_png: Make, observer: Any, read_records: Make
) -> None:
    """Asking for it processes the image again; a run without it keeps it; other settings without it remove it."""
    make_png(tmp_path / "a.png")
    manifest(tmp_path, "a.png")
    config = from_prior()
    folder = Path(layout.map_folder(str(out), "a.png"))
    assert run(config, observer).done == 1
    assert not folder.exists()
    assert run(replace(config, disagreement=True), observer).done == 1
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["mosaic.vrt", *sorted(path.name for path in (out / "tiles/a.png").glob("r*"))]
    assert run(replace(config, disagreement=True), observer).already_done == 1
    assert run(config, observer).already_done == 1
    assert read_records(str(out))["a.png"]["disagreement_uri"] == str(folder)
    changed = replace(config, settings=replace(config.settings, back_projections=1))
    assert run(changed, observer).done == 1
    assert list(folder.iterdir()) == []
    assert read_records(str(out))["a.png"]["disagreement_uri"] is None


def test_a_scene_has_the_map_of_an_image(
    tmp_path: Path,
    out: Path,
    from_prior: Make,
    make_png: Make,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that was begun without: its groups are done again. And the same numbers to the last bit."""
    make_png(tmp_path / "big.png", seed=5, height=96, width=80)
    manifest(tmp_path, "big.png")
    config = from_prior({"tile_size": 32}, disagreement=True)
    run(replace(config, output=f"{tmp_path}/whole"), observer)
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.002))
    do_group, left = Worker._group, [3]

    def do_or_die(self: Worker, group: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return do_group(self, group)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_group", do_or_die)
        with pytest.raises(KeyboardInterrupt):
            run(replace(config, disagreement=False), observer)
    assert list((out / "_scene").rglob("group-*"))
    run(config, observer)
    whole, scene = observer.records
    numbers = ("disagreement_p50", "disagreement_p95", "spectrum_excess", "consistency_rmse", "output_sha256")
    for name in numbers:
        assert getattr(scene, name) == getattr(whole, name) is not None, name
    files = {path.name: path.read_bytes() for path in Path(str(scene.disagreement_uri)).iterdir()}
    assert files == {path.name: path.read_bytes() for path in Path(str(whole.disagreement_uri)).iterdir()}
    assert len(files) == 10


def test_the_spectrum_is_that_of_the_result(
    tmp_path: Path, from_prior: Make, make_png: Make, observer: Any, read_tiles: Make
) -> None:
    """Of the written tiles, whose sums add up. Bicubic leaves the last octave far below; small images have none."""
    for name, height in (("a.png", 128), ("small.png", 31)):
        make_png(tmp_path / name, height=height, width=96)
    manifest(tmp_path, "a.png", "small.png")
    run(from_prior({"tile_size": 64, "method": Method.BICUBIC}), observer)
    found = {record.key: record.spectrum_excess for record in observer.records}
    assert found["small.png"] is None
    total = None
    for name, data in read_tiles(str(tmp_path / "out")).items():
        if name.startswith("a.png/"):
            with Image.open(io.BytesIO(data)) as tile:
                levels = torch.from_numpy(np.asarray(tile, np.float32).mean(-1))
            powers = OctavePowers.of(levels, levels >= 0, (2, 2))
            assert powers is not None
            total = powers if total is None else total + powers
    assert total is not None
    assert found["a.png"] == pytest.approx(total.excess(), abs=1e-4)
    assert found["a.png"] < -3


@pytest.mark.parametrize(
    ("settings", "ratios"), [({}, (2, 2)), ({"scale": 4, "result_size": "times:2.0x4.0"}, (4, 2))], ids=str
)
def test_the_spectrum_is_that_of_what_is_known(
    settings: dict[str, Any], ratios: tuple[int, int], tmp_path: Path, from_prior: Make, observer: Any
) -> None:
    """Of the written file's blocks that have no unknown sample in any band, each axis by its own ratio."""
    samples = np.random.default_rng(1).integers(1, 200, (2, 64, 160)).astype(np.uint8)
    samples[1, :, 70:75] = 0
    place(tmp_path / "a.tif", samples, nodata=0)
    manifest(tmp_path, "a.tif")
    run(from_prior({"tile_size": 256, **settings}), observer)
    (record,) = observer.records
    with rasterio.open(f"{record.output_uri}/mosaic.vrt") as file:
        written = file.read()
    assert written.shape == (2, 64 * ratios[0], 160 * ratios[1])
    levels, known = written.astype(np.float32).mean(0), (written > 0).all(0)
    powers = OctavePowers.of(torch.from_numpy(levels), torch.from_numpy(known), ratios)
    assert powers is not None
    assert record.spectrum_excess == pytest.approx(powers.excess(), abs=1e-4)


def test_curve_of_a_fit(tmp_path: Path, tiny_config: Make, make_png: Make, observer: Any) -> None:
    """A mean for each of 32 parts, of fewer steps for each; their last ones are what the final loss is the mean of."""
    make_png(tmp_path / "a.png", height=40, width=40)
    manifest(tmp_path, "a.png")
    settings = tiny_config().settings
    for steps, points in ((2, 2), (30, 30), (80, MOST_POINTS)):
        fit = FitSettings(steps=steps, crop=16, batch=1)
        run(tiny_config(settings=replace(settings, fit=fit), output=f"{tmp_path}/{steps}"), observer)
        record = observer.records[-1]
        assert len(record.fit_curve) == points
        assert min(record.fit_curve) <= record.final_loss <= max(record.fit_curve)
        if steps == points:
            assert record.final_loss == pytest.approx(np.mean(record.fit_curve[-max(1, steps // 10) :]), rel=1e-5)
    run(tiny_config(settings=replace(settings, method=Method.BICUBIC), output=f"{tmp_path}/none"), observer)
    assert observer.records[-1].fit_curve is None


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 500])
def test_points_of_a_curve_are_means(steps: int) -> None:
    losses = torch.rand(steps, generator=torch.Generator().manual_seed(0))
    expected = [part.mean() for part in np.array_split(losses.numpy(), min(32, steps))]
    assert curve(losses) == pytest.approx(expected, rel=1e-5)
    assert curve(torch.empty(0)) == ()
