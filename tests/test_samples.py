"""A file's numbers to those that are computed with, and back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec import DamagedError, from_json, to_json
from pipeline.errors import ErrorType, ImageError
from pipeline.imagery import samples as numbers_of
from pipeline.imagery.header import DTYPES, Band, Georef, Header, Pixels
from pipeline.imagery.samples import Scaling, known_samples, off_nodata, to_lr, to_native, within
from pipeline.imagery.survey import survey

CPU = torch.device("cpu")


def header(dtype: str, *colours: str, **said: Any) -> Header:
    return Header("GTiff", 8, 9, dtype, tuple(map(Band, colours or ("gray", "undefined"))), **said)


def find_scaling(said: Header, windows: list[Pixels], value_range: str = "auto") -> Scaling:
    """That of an image of these windows."""
    seen = survey(said, windows, look_for_fill=False)
    return numbers_of.find_scaling(said, windows, seen.least, seen.largest, value_range=value_range)


def pixels(dtype: str, bands: int = 2, seed: int = 0) -> Pixels:
    """All over the range of the type, its ends among them."""
    draw = np.random.default_rng(seed)
    if dtype == "float32":
        return Pixels(draw.normal(1000, 300, (bands, 8, 9)).astype(dtype), None)
    info = np.iinfo(dtype)
    samples = draw.integers(info.min, info.max, (bands, 8, 9), dtype, endpoint=True)
    samples[:, 0, :2] = info.min, info.max
    return Pixels(samples, None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_there_and_back(dtype: str) -> None:
    """Every number comes back: whole ones exactly, others to the precision of float32."""
    said, here = header(dtype), pixels(dtype)
    scaling = find_scaling(said, [here])
    numbers = to_native(to_lr(here, said, scaling, CPU).lr, said, scaling)
    np.testing.assert_allclose(numbers.numpy(), here.samples, rtol=3e-7 if dtype == "float32" else 0)


@given(st.integers(0, 60000), st.integers(2, 5000), st.integers(0, 9))
def test_most_samples_lie_between_0_and_1(low: int, span: int, seed: int) -> None:
    """Whatever part of 16 bits an image uses, a network sees most of it there; each band by itself."""
    draw = np.random.default_rng(seed)
    samples = np.stack([low + draw.integers(0, span, (40, 40)), draw.integers(0, 9, (40, 40))]).astype(np.uint16)
    said = header("uint16")
    lr = to_lr(Pixels(samples, None), said, find_scaling(said, [Pixels(samples, None)]), CPU).lr
    assert float(((lr >= -1e-6) & (lr <= 1 + 1e-6)).float().mean()) > 0.97
    assert bool((lr.amax((1, 2)) >= 1 - 1e-6).all())


def test_eight_bits_are_never_stretched() -> None:
    """Their line is the full range, whatever an image uses of it."""
    dark = Pixels(np.full((2, 8, 9), 3, np.uint8), None)
    ends = ((0.0, 0.0), (255.0, 255.0))
    assert find_scaling(header("uint8"), [dark]) == Scaling(*ends, *ends, (3.0, 3.0), (3.0, 3.0))


@pytest.mark.parametrize("value", [0, 700])
def test_a_flat_image_has_a_line_too(value: int) -> None:
    """One number everywhere, or none known at all, is computed with like any other."""
    flat = Pixels(np.full((2, 8, 9), value, np.uint16), None)
    for said in (header("uint16"), header("uint16", nodata=700.0)):
        scaling = find_scaling(said, [flat])
        window = to_lr(flat, said, scaling, CPU)
        assert bool(window.lr.isfinite().all())
        assert bool((to_native(window.lr, said, scaling) == value).all())


@pytest.mark.parametrize("nodata", [None, 0.0])
def test_windows_that_show_one_value_tell_no_range(nodata: float | None) -> None:
    """Of an image that is 0, known or not, wherever it was looked at, the range of all samples counts."""
    said, windows = header("uint16", nodata=nodata), [Pixels(np.zeros((2, 8, 9), np.uint16), None)]
    scaling = numbers_of.find_scaling(said, windows, (0.0, 0.0), (5000.0, 0.0))
    assert (scaling.offset, scaling.span) == ((0.0, 0.0), (5000.0, 1.0))


def test_what_is_known() -> None:
    """Nodata, NaN and infinity sample by sample; a mask and an alpha of 0 in all bands; nothing else."""
    samples = np.ones((2, 2, 3), np.float32)
    samples[0, 0] = -9, np.nan, np.inf
    mask = np.array([[True, True, True], [False, True, True]])
    known = known_samples(Pixels(samples, mask), header("float32", nodata=-9.0, mask=True))
    np.testing.assert_array_equal(known[0], [[False, False, False], [False, True, True]])
    np.testing.assert_array_equal(known[1], [[True, True, True], [False, True, True]])
    rgba = np.full((4, 1, 3), 9, np.uint8)
    rgba[3] = 0, 1, 255
    for georef in (None, Georef()):
        said = header("uint8", "red", "green", "blue", "alpha", georef=georef)
        np.testing.assert_array_equal(known_samples(Pixels(rgba, None), said), [[[False, True, True]]] * 3)
        window = to_lr(Pixels(rgba, None), said, find_scaling(said, [Pixels(rgba, None)]), CPU)
        assert window.lr.shape == (3, 1, 3)
        assert (window.alpha is None) == (georef is not None)  # there it is a mask


@pytest.mark.parametrize(
    ("dtype", "nodata", "moved"),
    [("uint8", 0, 1), ("uint8", 255, 254), ("int16", -9999, -9998), ("uint16", 65535, 65534)],
)
def test_off_nodata(dtype: str, nodata: int, moved: int) -> None:
    """A number that would say "no data" becomes the next one; all others stay."""
    numbers = torch.tensor([[[float(nodata), 7.0]]])
    assert off_nodata(numbers, header(dtype, "gray", nodata=float(nodata))).tolist() == [[[moved, 7.0]]]
    assert off_nodata(numbers, header(dtype, "gray")).tolist() == numbers.tolist()


@pytest.mark.parametrize(("dtype", "bits"), [("uint16", 12), ("uint8", 6)])
def test_fewer_bits_than_the_type(dtype: str, bits: int) -> None:
    """No number comes out that the file's bits could not hold, and all that they hold does."""
    header = Header("GTiff", 4, 4, dtype, (Band("gray"),), bits=bits)
    samples = np.linspace(0, 2**bits - 1, 16).astype(dtype).reshape(1, 4, 4)
    scaling = find_scaling(header, [Pixels(samples, None)])
    window = to_lr(Pixels(samples, None), header, scaling, torch.device("cpu"))
    assert torch.equal(to_native(window.lr, header, scaling), torch.from_numpy(samples.astype(np.float32)))
    assert float(to_native(window.lr + 9, header, scaling).max()) == 2**bits - 1
    high = torch.as_tensor(window.domain.high).flatten()[0]
    assert float(to_native(high.expand(1, 1, 1), header, scaling)) == 2**bits - 1


def test_off_nodata_of_floats() -> None:
    """It is the next number that float32 has, towards 0."""
    lowest = float(np.float32(-3.4e38))
    moved = off_nodata(torch.tensor([[[lowest, 0.5]]]), header("float32", "gray", nodata=lowest))
    assert moved.numpy()[0, 0].tolist() == [float(np.nextafter(np.float32(lowest), np.float32(0))), 0.5]


def test_a_scaling_as_json() -> None:
    """It comes back to the last bit, and what is none is refused."""
    scaling = Scaling((0.1, -1 / 3), (1e-30, 65535.0), (-3.4e38, 0), (3.4e38, 1), (0.1, 0.2), (0.3, 0.4))
    for fill in (None, -9999.0, float(np.finfo(np.float32).min)):
        assert from_json(Scaling, to_json(replace(scaling, fill=fill))) == replace(scaling, fill=fill)
    for damaged in (b"", b"{}", b"[]", b'{"offset": 1, "span": [2]}', b'{"offset": ["x"], "span": [2]}'):
        with pytest.raises(DamagedError, match=r"."):
            from_json(Scaling, damaged)


# ---- between what results lie ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_of_results(dtype: str) -> None:
    """Whatever is computed: floats stay between the ends of each band, integers within their type."""
    said, here = header(dtype), pixels(dtype)
    scaling = find_scaling(said, [here])
    wild = torch.linspace(-50, 50, 72).reshape(1, 8, 9).repeat(2, 1, 1)
    made = to_native(wild, said, scaling)
    for band, samples in zip(made.numpy(), here.samples, strict=True):
        assert (float(band.min()), float(band.max())) == (float(samples.min()), float(samples.max()))
    assert bool(within(made, scaling).all())
    if dtype == "float32":
        free = to_native(wild, said, find_scaling(said, [here], "none"))
        assert float(free.max()) > float(here.samples.max()) + 1000
        assert not bool(within(free, scaling).all())


@pytest.mark.parametrize(("dtype", "ends"), [("uint8", (20, 180)), ("int16", (-7, 900)), ("float32", (0.5, 1000.25))])
def test_a_range_that_is_told(dtype: str, ends: tuple[float, float]) -> None:
    """Nothing lies beyond it, in what is learned from neither: or the cut would be shared out among neighbours."""
    said, here = header(dtype), pixels(dtype)
    scaling = find_scaling(said, [here], f"{ends[0] - (dtype != 'float32') * 0.5},{ends[1]}")
    assert scaling.cuts
    window = to_lr(here, said, scaling, CPU)
    native = to_native(window.lr, said, scaling).numpy()
    np.testing.assert_allclose(native, here.samples.astype("f8").clip(*ends), rtol=1e-6)
    assert (native.min() >= ends[0], native.max()) == (True, ends[1])
    assert not find_scaling(said, [Pixels(native.astype(dtype), None)], f"{ends[0]},{ends[1]}").cuts


def test_a_range_without_a_number() -> None:
    """Where no sample could lie in it the image fails; where it is wider than the type it changes nothing."""
    with pytest.raises(ImageError, match=r"no uint8 sample .* range 300.0,400.0; give another --range") as caught:
        find_scaling(header("uint8"), [pixels("uint8")], "300.0,400.0")
    assert caught.value.error_type is ErrorType.UNSUPPORTED
    assert find_scaling(header("uint8"), [pixels("uint8")], "-9,400") == find_scaling(
        header("uint8"), [pixels("uint8")]
    )
