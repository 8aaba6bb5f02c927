"""What all samples say together: fills that can be nothing else are recognised, and nothing else ever is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import ErrorType, ImageError
from pipeline.imagery import picture, survey
from pipeline.imagery.header import Band, FileLimits, Header, Pixels
from pipeline.imagery.nodata import with_nodata
from pipeline.imagery.picture import Picture
from pipeline.imagery.reading.decoders import open_image
from pipeline.imagery.survey import Survey

from .rasters import write_raster

LOWEST = float(np.finfo(np.float32).min)

_Y, _X = np.mgrid[0:96, 0:128]
TERRAIN = 200 + 50 * np.sin(_X / 9) + 30 * np.cos(_Y / 6)


def look(samples: np.ndarray, side: int = 32, look_for_fill: bool = True, **said: Any) -> Survey:
    """The survey of (H, W) or (C, H, W) read in windows of that side."""
    samples = samples if samples.ndim == 3 else samples[None]
    bands, height, width = samples.shape
    header = Header("GTiff", height, width, str(samples.dtype), (Band("undefined"),) * bands, **said)
    windows = (
        Pixels(samples[:, top : top + side, left : left + side], None)
        for top in range(0, height, side)
        for left in range(0, width, side)
    )
    return survey.survey(header, windows, look_for_fill)


def holed(values: np.ndarray, fill: float, dtype: str, where: Any = np.s_[30:50, 40:70]) -> np.ndarray:
    samples = values.astype(dtype)
    samples[..., *where] = fill
    return samples


# ---- what is recognised ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        *(("float32", fill) for fill in (LOWEST, -LOWEST, -3.4e38, 3.4e38, 1e20, 1e30, -1e30, -1e10, 9.96921e36)),
        *(("float32", fill) for fill in (-9999, -99999, -999, -9999.9, -32768, -32767, -2147483648, 99999, -54321.5)),
        *(("float32", fill) for fill in (9999, -1999.5, -2475)),
        *(("int16", fill) for fill in (-6000, -32768, -32767, -9999, -999, 32767, -20000)),
        ("int8", -128),
    ],
)
@pytest.mark.parametrize("where", [np.s_[30:50, 40:70], np.s_[:, :20], np.s_[95:, 126:]], ids=["hole", "edge", "two"])
def test_fills(dtype: str, fill: float, where: Any) -> None:
    """The ends of a type, nines and powers of ten far below all others, and what repeats very far away."""
    values = TERRAIN if dtype != "int8" else TERRAIN / 10
    seen = look(holed(values, fill, dtype, where))
    assert seen.fill == float(np.dtype(dtype).type(fill))
    rest = values.astype(dtype)[look_at_rest(where)]
    assert (seen.least, seen.largest) == ((float(rest.min()),), (float(rest.max()),))


def look_at_rest(where: Any) -> np.ndarray:
    rest = np.ones(TERRAIN.shape, bool)
    rest[where] = False
    return rest


def test_a_single_sample() -> None:
    """A usual fill needs no company."""
    assert look(holed(TERRAIN, -9999, "float32", np.s_[7:8, 9:10])).fill == -9999
    assert look(holed(TERRAIN, LOWEST, "float32", np.s_[7:8, 9:10])).fill == LOWEST


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_positive_number_needs_company(dtype: str) -> None:
    """One height of 999 m far below a plateau may be a hole in the ground."""
    plateau = 2000 + 900 * (TERRAIN - TERRAIN.min()) / np.ptp(TERRAIN)
    assert look(holed(plateau, 999, dtype, np.s_[7:8, 9:10])).fill is None
    assert look(holed(plateau, -999, dtype, np.s_[7:8, 9:10])).fill == -999


@pytest.mark.parametrize("high", [0.5, 80, 1102, 4810, 8848])
def test_heights_up_to_the_highest(high: float) -> None:
    """Elevations of the whole Earth's land lie near enough together for what fills them."""
    heights = high / 2 + high / 2 * np.sin(_X / 9) * np.cos(_Y / 6)
    assert look(holed(heights, -9999, "float32")).fill == -9999
    assert look(holed(heights, -32768, "int16")).fill == (-32768 if high > 1 else None)  # two kinds: it may be a mask


def test_a_plain_with_a_hole() -> None:
    """One number beside a fill is no mask when the fill is nines."""
    assert look(holed(np.full((96, 128), 200.0), -9999, "float32")).fill == -9999


@pytest.mark.parametrize("fill", [-32768, -32767, -2147483648, -1e10])
@pytest.mark.parametrize("value", [0, 1, 200])
def test_a_float_of_one_number_with_a_hole(value: float, fill: float) -> None:
    """Nor where what it holds is small beside the fill; the two ends of a type may be a mask's."""
    assert look(holed(np.full((96, 128), float(value)), fill, "float32")).fill == fill
    assert look(holed(np.full((96, 128), -fill - 1), fill, "float32")).fill is None


@given(st.floats(1, 9.5), st.floats(-1e4, 1e4), st.floats(1, 1e3), st.integers(2, 40))
def test_what_is_not_far_away_is_measured(widths: float, level: float, spread: float, side: int) -> None:
    """An unusual number that repeats less than ten widths below all others may be a lake or a shadow."""
    rest = (level + spread * (TERRAIN - TERRAIN.min()) / np.ptp(TERRAIN)).astype("f4")
    lake = np.float32(rest.min() - widths * np.ptp(rest)) - np.float32(0.37)
    assume(float(lake) not in {-32768.0, -32767.0, -28672.0} and lake != 0)
    if (rest.min() - lake) / np.ptp(rest) < 9.9:
        assert look(holed(rest, lake, "float32", np.s_[:side, :side])).fill is None


@given(st.floats(10.5, 1e3), st.floats(-1e4, 1e4), st.floats(1, 1e3), st.integers(2, 40))
def test_the_farther_the_surer(widths: float, level: float, spread: float, side: int) -> None:
    """What repeats ten widths below all others is none of them, whatever the number: it would spoil what is near."""
    rest = (level + spread * (TERRAIN - TERRAIN.min()) / np.ptp(TERRAIN)).astype("f4")
    fill = np.float32(rest.min() - widths * np.ptp(rest))
    if fill != 0:
        assert look(holed(rest, fill, "float32", np.s_[:side, :side])).fill == fill


def test_one_number_for_all_bands() -> None:
    """A fill of one band is that of all: where it is all of another, nothing is known there."""
    both = np.stack([holed(TERRAIN, -9999, "float32"), np.full((96, 128), -9999, "f4")])
    known = both[0][look_at_rest(np.s_[30:50, 40:70])]
    assert look(both) == Survey((float(known.min()), 0.0), (float(known.max()), 0.0), -9999.0)


@pytest.mark.parametrize("fill", [LOWEST, 3.4e38, 1e35])
def test_an_interpolated_fill(fill: float) -> None:
    """Where a program mixed it with its neighbours no number says it, and nothing else would be left beside it."""
    samples = holed(TERRAIN, fill, "float32")
    samples[29, 40:70], samples[50, 40:70] = fill / 2, fill / 16 * np.linspace(0.3, 1, 30)
    with pytest.raises(ImageError, match=r"several numbers beyond 1e\+30.*--nodata"):
        look(samples)
    assert look(samples, look_for_fill=False).fill is None
    huge = (np.random.default_rng(0).lognormal(0, 6, (48, 48)) * 1e28).astype("f4")
    assert look(huge).fill is None  # from 1e20 to 1e36, measured


def test_nan_beside_it() -> None:
    """NaN is unknown anyway; a declared nodata of NaN, or one that no sample has, is no other fill."""
    samples = holed(TERRAIN, LOWEST, "float32")
    samples[:, :9] = np.nan
    assert look(samples).fill == look(samples, nodata=float("nan")).fill == look(samples, nodata=-3.40282306e38).fill
    assert look(samples).fill == LOWEST


@pytest.mark.parametrize(
    ("samples", "said", "named"),
    [
        (holed(holed(TERRAIN, -9999, "float32"), -32768, "float32", np.s_[:9, :]), {}, "-32768 and -9999"),
        (holed(holed(TERRAIN, -9999, "float32"), 1e20, "float32", np.s_[:9, :]), {}, r"1e\+20 and -9999"),
        (
            holed(holed(TERRAIN, 0, "float32"), -9999, "float32", np.s_[:9, :]),
            {"nodata": 0.0},
            "-9999, .* nodata value 0",
        ),
        (np.stack([holed(TERRAIN, -999, "float32"), TERRAIN.astype("f4") * 50 - 9000]), {}, "-999 are a fill in one"),
    ],
    ids=["two usual ones", "below and above", "beside a declared one", "measured elsewhere"],
)
def test_more_than_one_meaning(samples: np.ndarray, said: dict[str, Any], named: str) -> None:
    """Where one number cannot say it all, the user is asked."""
    with pytest.raises(ImageError, match=f"{named}.*--nodata") as caught:
        look(samples, **said)
    assert caught.value.error_type is ErrorType.UNSUPPORTED
    assert look(samples, look_for_fill=False, **said).fill is None


@given(st.sampled_from([LOWEST, -9999.0, 1e20]), st.integers(0, 95), st.integers(0, 127), st.integers(8, 128))
def test_wherever_it_lies(fill: float, row: int, column: int, side: int) -> None:
    """One decision an image, by all of its samples, whatever windows they come in."""
    samples = holed(TERRAIN, fill, "float32", np.s_[row : row + 5, column : column + 5])
    assert look(samples, side) == look(samples, 128)
    assert look(samples, side).fill == np.float32(fill)


# ---- what is not -----------------------------------------------------------------------------------------------------

DTYPES = st.sampled_from(["float32", "int16", "int8"])


@given(st.sampled_from(["uint8", "uint16"]), st.integers(0, 10**6), st.integers(1, 300))
def test_pictures_never(dtype: str, seed: int, span: int) -> None:
    """Black and saturated are measurements in 8 bits and in 16 without sign, however far from the others."""
    rng, top = np.random.default_rng(seed), np.iinfo(dtype).max
    base = rng.integers(0, top)
    samples = np.clip(base + rng.integers(0, span, (32, 32)), 0, top).astype(dtype)
    samples[:9], samples[9:12] = 0, top
    assert look(samples).fill is None


@given(DTYPES, st.data())
def test_masks_and_classes_never(dtype: str, data: st.DataObject) -> None:
    """A few whole numbers around 0, of which any may be rare, are classes; so are the two ends of a type."""
    kinds = data.draw(st.lists(st.integers(-128 if dtype == "int8" else -500, 127), min_size=1, max_size=6))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    samples = rng.choice(kinds, (32, 32), p=rng.dirichlet(np.full(len(kinds), 0.3))).astype(dtype)
    assert dtype == "int8" or look(samples).fill is None
    for pair in ((0, 1), (0, 255), (0, 100), (0, 32767), (-32768, 32767), (-1, 1), (0, 10000), (0, 65535)):
        if dtype == "float32" or (np.iinfo(dtype).min <= min(pair) and max(pair) <= np.iinfo(dtype).max):
            mask = np.where(rng.random((32, 32)) < 0.1, *pair).astype(dtype)
            assert look(mask).fill == look(np.where(mask == pair[0], *pair[::-1]).astype(dtype)).fill is None


@given(st.sampled_from(["float32", "int16"]), st.integers(1, 32000), st.integers(0, 9999))
def test_black_never(dtype: str, base: int, seed: int) -> None:
    """0 is measured, however far from all others: the border of a scene, no rain, black."""
    samples = (base + np.random.default_rng(seed).integers(0, 50, (32, 32))).astype(dtype)
    samples[:9] = 0
    assert look(samples).fill is None
    assert look(-samples).fill is None


@given(st.floats(0.01, 1e4), st.sampled_from([1, 255, 1000, 4095, 10000, 32767, 65535, 1e6]), st.integers(0, 9999))
def test_saturated_never(level: float, full: float, seed: int) -> None:
    """What a sensor gives at its most is no fill, though it repeats and nothing lies just below it."""
    samples = np.random.default_rng(seed).normal(level, 0.05 * level, (32, 32)).astype("f4")
    samples = np.minimum(samples, np.float32(full))
    samples[9:12, 9:12] = full
    assert look(samples).fill is None
    whole = np.random.default_rng(seed).integers(0, 3000, (32, 32)).astype("i2")
    whole[9:12, 9:12] = 32767
    assert look(whole).fill is None


@given(DTYPES, st.integers(0, 9999), st.floats(0.001, 1.0))
def test_clipped_never(dtype: str, seed: int, share: float) -> None:
    """A picture that was clipped at both ends comes near them before."""
    rng = np.random.default_rng(seed)
    info = np.finfo("f4") if dtype == "float32" else np.iinfo(dtype)
    scale = 1e4 if dtype == "float32" else info.max * (1 + share)
    low, high = (-9999, 9999) if dtype == "float32" else (info.min, info.max)
    samples = np.clip(rng.normal(0, scale, (64, 64)), low, high).astype(dtype)
    assert look(samples).fill is None


@given(st.integers(0, 9999), st.sampled_from([0.5, 1.0, 2.0, 6.0]), st.sampled_from([1e-6, 1.0, 1e12]))
def test_heavy_tails_never(seed: int, shape: float, unit: float) -> None:
    """A measurement may reach over many powers of ten."""
    samples = (np.random.default_rng(seed).lognormal(0, shape, (48, 48)) * unit).astype("f4")
    assert look(samples).fill is None
    assert look(-samples).fill is None


def test_sea_floor_never() -> None:
    """-9999 metres among depths is a depth."""
    depths = (-5500 + 5400 * np.sin(_X / 9) * np.cos(_Y / 6)).astype("i2")
    depths[30:33, 30:33] = -9999
    assert look(depths).fill is None


def test_the_one_number_of_an_image_never() -> None:
    """Nothing lies beside it to be far from."""
    for value in (-9999, 0, LOWEST):
        assert look(np.full((9, 9), value, "f4")) == Survey((value,), (value,))


# ---- the header, and whole pictures ----------------------------------------------------------------------------------


def test_what_the_user_tells() -> None:
    """It wins over what the file says, and the header tells when that loses something."""
    plain, declared = (Header("GTiff", 9, 9, "int16", (Band("gray"),), nodata=nodata) for nodata in (None, -1.0))
    assert with_nodata(declared, "auto") == declared
    assert with_nodata(plain, "none") == plain
    assert (with_nodata(declared, "none").nodata, with_nodata(declared, "7").nodata) == (None, 7)
    assert "its nodata value -1 is taken for a measurement" in with_nodata(declared, "none").notes[0]
    assert "its nodata value -1 is taken for a measurement" in with_nodata(declared, "7").notes[0]
    assert (with_nodata(plain, "7").nodata, with_nodata(plain, "7").notes) == (7, ())
    for value in ("nan", "0.5", "40000"):
        assert with_nodata(declared, value).nodata == -1
        assert "cannot occur in int16 and is left out" in with_nodata(declared, value).notes[0]


@pytest.mark.parametrize("corner", [np.s_[:, :3, :3], np.s_[:, -3:, -3:], np.s_[:, 1024:1030, 1100:1106]])
def test_scene(tmp_path: Path, corner: Any) -> None:
    """In a scene, of which few windows are drawn, a fill is found wherever it lies; a group of its tiles knows, too."""
    y, x = np.mgrid[0:2050, 0:2060]
    samples = (800 + 200 * np.sin(x / 90) + 100 * np.cos(y / 60)).astype("i2")[None]
    samples[corner] = -32768
    assert samples.size > picture.HELD_WHOLE
    place = {"crs": "EPSG:32633", "transform": (10, 0, 5e5, 0, -10, 5e6)}
    path = str(write_raster(tmp_path / "a.tif", samples, tiled=True, **place))
    found = Picture(open_image(path, FileLimits()))
    found.close()
    assert (found.header.nodata, found.scaling.fill) == (-32768, -32768)
    assert (found.scaling.least, found.scaling.largest) == ((500,), (1099,))
    told = Picture(open_image(path, FileLimits()), found.scaling)
    told.close()
    assert told.header == found.header
    without = Picture(open_image(path, FileLimits()), nodata="none")
    without.close()
    assert (without.header.nodata, without.scaling.fill, without.scaling.least) == (None, None, (-32768,))
