"""What the benchmark of real pairs is made of: places, colours, detail, makers and scenes of two sensors."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from PIL import Image
from rasterio.transform import from_origin
from torch import Tensor

from benchmarks import matching, pair_runs, quality, real_scenes
from benchmarks.makers import SCALE, Maker, drawn, make
from benchmarks.pair_runs import INTERPOLATED, Nearness, enlarged, interpolated
from benchmarks.pictures import decode, encode_png
from benchmarks.quality import Case
from benchmarks.small_jpegs import counted, of_picture
from jobs.sample_pictures import satellite_view

from .rasters import write_raster

SIDE = 96


def scene(down: float = 0.0, right: float = 0.0, pixel: float = 1.0, side: int = SIDE) -> Tensor:
    """Waves of every direction, (side, side), seen from so far beside; none is shorter than 5 pixels."""
    generator = np.random.default_rng(3)
    y, x = np.meshgrid(*2 * [(np.arange(side) + 0.5) * pixel], indexing="ij")
    total = np.full((side, side), 128.0)
    for _ in range(40):
        length, angle, phase = (
            generator.uniform(5, 30),
            generator.uniform(0, 2 * np.pi),
            generator.uniform(0, 2 * np.pi),
        )
        along = (y + down) * np.sin(angle) + (x + right) * np.cos(angle)
        total += 6 * np.sin(2 * np.pi * along / length + phase)
    return torch.from_numpy(total)


def inside(side: int = SIDE, border: int = 8) -> Tensor:
    return matching.away_from(torch.zeros(side, side, dtype=torch.bool), border)


def maker_of_nothing() -> Maker:
    """One who does nothing but make it small."""
    return replace(
        drawn(0),
        sigmas=(0.4, 0.4),
        shift=(0.0, 0.0),
        noise=0.0,
        gains=(1.0,) * 3,
        offsets=(0.0,) * 3,
        stretch=0.0,
        amount=0.0,
        quality=95,
        colours_halved=False,
    )


@pytest.mark.parametrize("shift", [(0, 0), (0.37, -0.81), (-1.3, 0.5), (1.9, 1.6)])
def test_the_place_is_found_to_a_twentieth_of_a_pixel(shift: tuple[float, float]) -> None:
    """Of a picture of other contrast, with noise, from formulas that know nothing of phases."""
    noise = 3 * torch.from_numpy(np.random.default_rng(1).standard_normal((SIDE, SIDE)))
    beside = 0.6 * scene(*shift) + 30 + noise
    found = matching.best_shift(beside[None], scene(), inside())
    assert found == pytest.approx(shift, abs=0.05)


def test_moving_weakens_no_wave() -> None:
    moved = matching.mover(scene()[None])((0.5, -0.25))[0]
    assert float((moved - scene(-0.5, 0.25))[inside()].abs().max()) < 1.5
    assert float(moved[inside()].std()) == pytest.approx(float(scene(-0.5, 0.25)[inside()].std()), rel=2e-3)


def test_bands_are_mixed_by_what_is_known() -> None:
    """The reference is a mix where it is known, and nonsense elsewhere."""
    bands = torch.stack([scene(), scene(20, 3), scene(-11, 40)])
    known = inside()
    reference = torch.where(known, 0.2 * bands[0] + 0.7 * bands[1] - 0.1 * bands[2] + 12, 1e6)
    wanted = 0.2 * bands[0] + 0.7 * bands[1] - 0.1 * bands[2] + 12
    assert torch.allclose(matching.mixed(bands, reference, known), wanted, atol=1e-6)


def test_bands_that_are_alike_are_mixed() -> None:
    """Nor has an even band a part in it: there is no one mix."""
    grey = torch.stack([scene(), scene(), torch.full((SIDE, SIDE), 5.0)])
    assert torch.allclose(matching.mixed(grey, 2 * scene() - 7, inside()), 2 * scene() - 7, atol=1e-6)


def test_detail_is_what_is_fine() -> None:
    """Waves of 4 pixels count, those of 60 do not; nor does what is unknown."""
    x = torch.arange(SIDE, dtype=torch.float64)
    fine, coarse = (torch.sin(2 * torch.pi * x / length).expand(SIDE, SIDE) for length in (4, 60))
    known = inside(border=16)
    assert matching.detail_correlation(fine + 3 * coarse, fine, known, 4) > 0.95
    assert abs(matching.detail_correlation(fine.T + 3 * coarse, fine, known, 4)) < 0.1
    spoiled = torch.where(inside(border=1), fine, 1e6)
    assert matching.detail_correlation(torch.where(known, fine, spoiled), fine, inside(border=24), 1) > 0.999


def test_decibels_are_over_the_range_that_is_told() -> None:
    assert matching.psnr(scene() + 2, scene(), inside(), 200) == pytest.approx(40)


def test_what_is_near_the_unknown_is_left_out() -> None:
    unknown = torch.zeros(40, 50, dtype=torch.bool)
    unknown[20, 25] = True
    far = matching.away_from(unknown, 3)
    assert int((~far).sum()) == 40 * 50 - 34 * 44 + 7 * 7
    assert not far[17:24, 22:29].any()
    assert far[16, 25]


def test_makers_differ_and_are_the_same_again() -> None:
    makers = [drawn(number) for number in range(30)]
    assert makers == [drawn(number) for number in range(30)]
    assert len({maker.quality for maker in makers}) > 5
    assert {maker.colours_halved for maker in makers} == {False, True}
    assert all(0.3 <= sigma <= 0.6 for maker in makers for sigma in maker.sigmas[:1])


def test_a_maker_who_does_nothing_makes_it_small() -> None:
    """Each colour of an even picture stays; a scene lies where it lay, or as far beside it as is said."""
    even = torch.tensor([40, 120, 200], dtype=torch.uint8)[:, None, None].expand(3, 64, 48)
    nothing = maker_of_nothing()
    assert int((decode(make(even, nothing, 0)).int() - even[:, ::SCALE, ::SCALE].int()).abs().max()) <= 1
    hr = scene(pixel=0.4, side=256).round().clamp(0, 255).byte().expand(3, -1, -1)
    for shift in ((0.0, 0.0), (0.9, -0.6)):
        lr = decode(make(hr, replace(nothing, shift=shift), 0))
        near = of_picture(interpolated(lr, SCALE), hr)
        assert near.shift == pytest.approx([-part for part in shift], abs=0.15)
        assert near.detail > 0.95


def test_what_a_maker_does_is_seen() -> None:
    """The noise has its strength, JPEG its quality and colours; sharpening makes edges overshoot."""
    even, nothing = torch.full((3, 512, 512), 128, dtype=torch.uint8), maker_of_nothing()
    noisy = decode(make(even, replace(nothing, noise=4.0), 0)).double()
    assert float(noisy[1].std()) == pytest.approx(4, rel=0.15)
    smooth = decode(make(even, replace(nothing, noise=4.0, smooth=0.6), 0)).double()[1]
    neighbours = torch.corrcoef(torch.stack([smooth[:, 1:].flatten(), smooth[:, :-1].flatten()]))[0, 1]
    assert neighbours > 0.2
    edge = torch.where(torch.arange(128) < 64, 80, 160).byte().expand(3, 128, 128)
    assert decode(make(edge, replace(nothing, amount=1.0), 0)).max() > 165 > decode(make(edge, nothing, 0)).max()
    sizes = [len(make(even, replace(nothing, noise=4.0, colours_halved=halved), 0)) for halved in (False, True)]
    assert sizes[1] < 0.8 * sizes[0]
    with Image.open(io.BytesIO(make(edge, nothing, 0))) as image:
        assert image.size == (32, 32)


def written(path: Path, samples: Tensor, pixel: int) -> None:
    """A band as a GeoTIFF of 16 bits."""
    place = {"crs": "EPSG:32616", "transform": from_origin(0, 0, pixel, pixel)}
    write_raster(path, samples.numpy().astype(np.uint16)[None], **place)


def test_a_scene_is_compared_where_no_cloud_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pan band half a pixel beside: the place is found, clouds count for nothing, a whole run is nearest."""
    monkeypatch.setattr(quality, "OUT", tmp_path / "out")
    folder = tmp_path / "satellite_pairs"
    folder.mkdir()
    # LR pixels of 2 x 2 HR pixels, of the scene as three bands see it; the pan band has a row more
    fine = 40 * scene(pixel=0.7, side=194)
    coarse = fine[:192, :192].reshape(96, 2, 96, 2).mean((1, 3))
    pan = 40 * scene(-0.35, -0.35, 0.7, side=194)[:193, :192]
    quality_band = torch.full((96, 96), 20480)
    quality_band[:10, :10] = 61440
    pan[:20, :20] = 60000
    for band, samples, pixel in (("B2", coarse, 30), ("B3", coarse.flip(0), 30), ("B4", coarse.T, 30)):
        written(folder / f"LC80200392015216_{band}.tif", samples, pixel)
    written(folder / "LC80200392015216_B8.tif", pan, 15)
    written(folder / "LC80200392015216_BQA.tif", quality_band, 30)
    (found,) = real_scenes.landsat(tmp_path, tmp_path / "made")
    assert found.reference.shape == found.known.shape == (192, 192)
    assert not found.known[:60, :60].any()
    assert found.known.any()
    assert found.peak < 40 * 255
    case = Case("set", 2, "scene", found.lr, found.lr)
    results = enlarged("small", [case], {"base": ("--method", "bicubic", "--executor", "inline")})
    plain, base = (real_scenes.of_scene(results[name][case.id], found) for name in (INTERPOLATED, "base"))
    assert plain.shift == pytest.approx((0.5, 0.5), abs=0.1)
    assert base.shift == pytest.approx((0.5, 0.5), abs=0.1)
    assert base.psnr > plain.psnr + 1
    assert base.detail > plain.detail


def test_arrays_of_matlab_go_by_columns(tmp_path: Path) -> None:
    """In a netCDF 4 file, which is HDF5 as well."""
    samples = np.arange(5 * 7, dtype=np.float32).reshape(1, 5, 7)
    shape = {"count": 1, "height": 5, "width": 7, "dtype": "float32"}
    with rasterio.open(tmp_path / "band.tif", "w", driver="GTiff", **shape) as raster:
        raster.write(samples)
    path = tmp_path / "saved.nc"
    source, made = (str(each) for each in (tmp_path / "band.tif", path))
    rasterio.shutil.copy(source, made, driver="netCDF", FORMAT="NC4", WRITE_BOTTOMUP="NO")
    read = real_scenes._of_matlab(path, "Band1")
    assert np.array_equal(read, samples.transpose(0, 2, 1).astype(np.uint16))


def test_interpolation_is_of_whole_numbers_as_files_hold_them(tmp_path: Path) -> None:
    """As Pillow has it of a picture of 8 bits, but for the last digit's rounding."""
    levels = torch.from_numpy(satellite_view(32)).permute(2, 0, 1)
    path = tmp_path / "view.png"
    path.write_bytes(encode_png(levels))
    with Image.open(path) as image:
        expected = np.asarray(image.resize((128, 128), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(interpolated(levels, 4).numpy() - expected).max() <= 1
    deep = interpolated(levels.double() * 200, 2)
    assert deep.max() > 255
    assert torch.equal(deep, deep.round())


def test_better_is_counted_picture_by_picture() -> None:
    """Against interpolation on the same picture; a draw is not better; only the pictures that are asked for."""
    nowhere = torch.zeros(1)
    plain = [Nearness(psnr, 0.5, (0.0, 0.0), nowhere) for psnr in (20.0, 30.0, 40.0)]
    ours = [replace(plain[0], psnr=21.0), replace(plain[1], detail=0.6), replace(plain[2], psnr=38.0, detail=0.4)]
    near = {INTERPOLATED: plain, "ours": ours}
    assert "| ours | 29.67 | 0.5000 | 1 | 1 |" in counted(near, range(3))
    assert "| ours | 34.00 | 0.5000 | 0 | 1 |" in counted(near, [1, 2])
    assert "| bicubic | 35.00 | 0.5000 |  |  |" in counted(near, [1, 2])


def test_panels_are_shown_pixel_by_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side under their captions; a grey one by the levels of the truth."""
    monkeypatch.setattr(pair_runs, "HERE", tmp_path)
    ramp = torch.arange(100).expand(1, 40, 100) * 100.0
    pair_runs.save("sheet", {"dark": ramp * 0, "truth": ramp}, peak=9900)
    with Image.open(tmp_path / "sheet.png") as image:
        shown = np.asarray(image)[-40:]
    assert shown.shape[1] > 200
    assert not shown[:, :100].any()
    assert shown[0, -100, 0] == 0
    assert shown[0, -1, 0] == 255
    assert int(shown[0, -50, 0]) == pytest.approx(128, abs=3)


def test_place_and_colours_of_a_result_count_for_nothing() -> None:
    """A truth that lies beside, each of its bands of another contrast, is the truth."""
    hr = scene(side=128).round().clamp(0, 255).byte().expand(3, -1, -1)
    beside = scene(0.8, -1.4, side=128)
    near = of_picture(torch.stack([0.5 * beside + 60, 0.8 * beside, beside + 10]), hr)
    assert near.psnr > 40
    assert near.detail > 0.999
