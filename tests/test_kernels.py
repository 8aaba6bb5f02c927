"""Kernels by their names and by their files, and what `srpipe kernel` tells of them."""

import json
import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from pipeline.errors import UsageError
from pipeline.imagery.kernel_files import holds_kernel, read_kernel, to_text
from sr_ops.camera.kernel_spec import LEAST_SIGMA, MAX_SIDE, check_scale, described, parse, widest
from sr_ops.camera.kernels import NAMED, Kernel, describe, from_spec, gaussian, middle, transfer, unlike_gaussian

from .fixture_types import Refusal, Srpipe
from .rasters import write_raster


@given(
    transfer_at_nyquist=st.floats(0.05, 0.6),
    scale=st.integers(2, 8),
)
def test_mtf_is_the_transfer_at_the_lr_nyquist_frequency(transfer_at_nyquist: float, scale: int) -> None:
    """Measured by summing cosines over the taps; the sampled Gaussian is off by what it lets through beyond."""
    (kernel,) = from_spec(f"mtf:{transfer_at_nyquist}", scale)
    found = describe(kernel, scale)
    assert found["mtf_x"] == pytest.approx(transfer_at_nyquist, abs=0.02)
    assert found["mtf_y"] == pytest.approx(found["mtf_x"], abs=1e-9)


_shares = st.floats(0.1, 1)


@given(scale=st.integers(2, 8), share=_shares, other=_shares, degrees=st.floats(-360, 360))
def test_every_gaussian_that_is_allowed_is_centred(scale: int, share: float, other: float, degrees: float) -> None:
    """Whatever its width, it moves nothing, and fits into the largest kernel."""
    (kernel,) = from_spec(f"gaussian:{share * widest(scale)},{other * widest(scale)},{degrees}", scale)
    assert kernel.side <= MAX_SIDE
    assert kernel.centre == pytest.approx((middle(scale), middle(scale)), abs=2e-3 * scale)


@given(scale=st.integers(2, 8), sigma=st.floats(LEAST_SIGMA, 0.1), other=_shares, degrees=st.floats(-360, 360))
def test_no_gaussian_is_too_narrow_to_have_taps(scale: int, sigma: float, other: float, degrees: float) -> None:
    """The narrowest that is allowed does not vanish between HR pixels, whichever way it lies."""
    for text in (f"gaussian:{sigma}", f"gaussian:{sigma},{other * widest(scale)},{degrees}"):
        (kernel,) = from_spec(text, scale)
        assert float(kernel.taps.max()) > 0.01


# ---- kernels as text -------------------------------------------------------------------------------------------------

_sigmas = st.floats(0.2, 7) | st.integers(1, 7)
_numbers = st.tuples(st.just("gaussian"), st.tuples(_sigmas) | st.tuples(_sigmas, _sigmas, st.floats(-720, 720)))
_transfers = st.tuples(st.just("mtf"), st.lists(st.floats(0.1, 0.9), min_size=1, max_size=4))
_specs = (_numbers | _transfers).map(lambda told: f"{told[0]}:{','.join(map(str, told[1]))}")


@given(text=st.sampled_from([*NAMED]) | _specs, scale=st.integers(2, 4))
def test_canonical_text_is_the_same_kernel(text: str, scale: int) -> None:
    """Whatever its angle was, with the taps that the numbers as they were written have; once canonical, always."""
    canonical = parse(text).text
    assert parse(canonical).text == parse(f" {text.upper()} ").text == canonical
    kernels = from_spec(canonical, scale)
    if not text.startswith("gaussian"):
        assert len(kernels) == text.count(",") + 1
        return
    numbers = [float(number) for number in text.partition(":")[2].split(",")]
    plain = gaussian(*(numbers if len(numbers) == 3 else [numbers[0], numbers[0], 0]), scale)
    torch.testing.assert_close(kernels[0].taps, plain.taps, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["Gaussian:1.40", "gaussian: 1.4", "GAUSSIAN:1.4,1.4,77", "gaussian:14e-1"], "gaussian:1.4"),
        (["gaussian:2,1,30", "gaussian:2.0,1,210", "gaussian:1,2,-60", "gaussian:1,2,120"], "gaussian:2,1,30"),
        (["gaussian:2,1,0", "gaussian:2,1,-0", "gaussian:2,1,180", "gaussian:1,2,90", "gaussian:2,1,-1e-20"], None),
        (["disc:3.20", "Disc: 3.2"], "disc:3.2"),
        (["motion:7,190", "motion:7.0,-170", "motion:7,10"], "motion:7,10"),
        (["mtf:0.30,.28", "MTF:3e-1,0.28"], "mtf:0.3,0.28"),
        (["Box", " box "], "box"),
    ],
)
def test_equal_kernels_have_equal_texts(texts: list[str], canonical: str | None) -> None:
    """The shortest numbers, the larger sigma first, an angle from 0 to below 180."""
    assert {parse(text).text for text in texts} == {canonical or "gaussian:2,1,0"}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_taps_as_text_are_the_taps(height: int, width: int, seed: int) -> None:
    """Of float64 and float32 alike, and of the same table with a row of zeros behind an even side."""
    table = np.random.default_rng(seed).random((height, width)) + 0.01
    table /= table.sum()
    text = to_text(table)
    assert to_text(table.astype(np.float32)) == text == parse(text).text
    padded = np.pad(table, ((0, 1 - height % 2), (0, 1 - width % 2)))
    assert to_text(padded) == text
    check_scale(parse(text), 8)
    (kernel,) = from_spec(text, 3)
    inside = np.argwhere(kernel.taps.numpy())
    (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
    np.testing.assert_allclose(kernel.taps[top:bottom, left:right].numpy(), table, rtol=1e-6)


_pieces = [
    "gaussian:",
    "disc:",
    "motion:",
    "mtf:",
    "taps:",
    ":",
    "box",
    ",",
    "1",
    "3",
    "0",
    ".5",
    "-",
    "e9",
    "1e309",
    "nan",
    "inf",
    "AADAfw==",
    "AACAPw==",
    "taps:1:AACAPw==",
    "é",
]
_fragments = st.lists(st.sampled_from([*_pieces, " "]), max_size=6).map("".join)


def refusal(text: str) -> str:
    """What is said of a text that is not a kernel at x2 and x8; "" for one that is."""
    try:
        for scale in (2, 8):
            check_scale(parse(text), scale)
    except ValueError as error:
        return str(error)
    return ""


@given(st.text(max_size=9) | _fragments)
def test_any_text_is_a_kernel_or_refused_in_a_sentence(text: str) -> None:
    """Never another error, now or when it is looked at for a scale; what is one has a text that is the same."""
    said = refusal(text)
    if said:
        assert re.search(
            "not a kernel|not a list of numbers|has . numbers|a sigma|a disc|a motion|HR pixels at|not a transfer"
            "|give its file",
            said,
        )
        return
    spec = parse(text)
    assert parse(spec.text) == spec
    assert described(spec.text)
    assert from_spec(spec.text, 2)


def test_zero_has_no_sign() -> None:
    """A table with -0 in it is the same as one with 0."""
    assert to_text(np.array([[-0.0, 1.0, 0.0]])) == to_text(np.array([[0.0, 1.0, 0.0]]))


def test_a_list_of_transfers_is_a_kernel_a_band() -> None:
    """The first is the blurriest here."""
    first, second = from_spec("mtf:0.2,0.4", 3)
    assert describe(first, 3)["sigma_x"] > describe(second, 3)["sigma_x"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("foo", "is not a kernel; use bicubic"),
        ("", "is not a kernel"),
        ("bicubic:2", "is not a kernel"),
        ("gaussian", "is not a kernel"),
        ("gaussian:", "is not a list of numbers"),
        ("gaussian:1,2", "has 2 numbers"),
        ("gaussian:0", "a sigma is above 0"),
        ("gaussian:9", "range is 0.02 to 7.87"),
        ("gaussian:nan", "a sigma is above 0"),
        ("gaussian:1,1,inf", "an angle is a number of degrees"),
        ("disc", "is not a kernel"),
        ("disc:0", "its radius, above 0"),
        ("disc:1,2", "a disc has one number"),
        ("disc:nan", "its radius, above 0"),
        ("disc:31.1", "has 31.1 HR pixels at x2; the range is 0.1 to 31"),
        ("disc:0.01", "has 0.01 HR pixels at x2"),
        ("motion:3", "has a length above 0, in HR pixels, and an angle"),
        ("motion:0,1", "has a length above 0"),
        ("motion:3,inf", "and an angle"),
        ("motion:62,1", "has 62 HR pixels at x2; the range is 0.1 to 61"),
        ("mtf:0", "0 is not a transfer"),
        ("mtf:1.2", "1.2 is not a transfer"),
        ("mtf:0.3,1", "1 is not a transfer"),
        ("mtf:nan", "nan is not a transfer"),
        ("mtf:1e-300", "has a sigma of 23.66 HR pixels at x2; the range is 0.02 to 7.87"),
        ("mtf:0.99999", "has a sigma of 0.002847 HR pixels"),
        ("gaussian:1,0.01,0", "has a sigma of 0.01 HR pixels"),
        ("gaussian:1e309", "a sigma is above 0"),
        ("taps:3:AAAA", "not 3 x 3 float32 in base64"),
        ("taps:3:****", "not 3 x 3 float32 in base64"),
        ("taps:2:AAAAAA==", "an odd side of at most 65"),
        ("taps:67:AAAA", "an odd side of at most 65"),
        ("taps:1:AAAAAA==", "sums to 1, not 0"),
        ("taps:1:AADAfw==", "sums to 1, not nan"),
        ("taps", "is not a kernel"),
    ],
)
def test_what_names_no_kernel_is_refused(spec: str, said: str) -> None:
    """With what can be named, or what is allowed."""
    with pytest.raises(ValueError, match=said):
        from_spec(spec, 2)


def of_file(path: Path) -> Kernel:
    (kernel,) = from_spec(read_kernel(str(path), "--kernel"), 2)
    return kernel


def write(path: Path, table: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, table)
    elif path.suffix == ".csv":
        np.savetxt(path, table, delimiter=",")
    else:
        write_raster(path, table[None])
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("ending", [".npy", ".csv", ".tif"])
def test_a_file_gives_its_taps(tmp_path: Path, ending: str) -> None:
    """As they were written, turned by nothing."""
    table = np.random.default_rng(0).random((5, 5))
    table /= table.sum()
    kernel = of_file(write(tmp_path / f"k{ending}", table))
    np.testing.assert_allclose(kernel.taps.numpy(), table, rtol=2e-7)
    assert float(kernel.taps.sum()) == pytest.approx(1, abs=1e-15)


@pytest.mark.filterwarnings("error")
def test_a_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    """Excel marks UTF-8; a table of nothing is refused without a warning beside."""
    (tmp_path / "k.csv").write_text("\ufeff0,0,0\n0,1,0\n0,0,0\n")
    assert float(of_file(tmp_path / "k.csv").taps[1, 1]) == 1
    (tmp_path / "k.csv").write_text("0;0;0\n0;0.5;0.5\n0;0;0\n")
    assert float(of_file(tmp_path / "k.csv").taps[1, 2]) == 0.5
    assert holds_kernel(str(tmp_path / "k.csv"))
    (tmp_path / "k.csv").write_text("\n")
    with pytest.raises(UsageError, match="it is empty"):
        of_file(tmp_path / "k.csv")


@pytest.mark.parametrize(
    "text",
    [
        "# by hand; of May\n0.25,0.5,0.25\n",
        "  # by hand; of May\n\n0.25,0.5,0.25 # measured; twice\n",
        "# by hand, of May\n0.25;0.5;0.25\n",
        "0,25;0,5;0,25\n",
        "\ufeff# 3,1 m\n0,25;0,5;,25\n",
    ],
)
def test_a_csv_with_comments_and_decimal_commas(tmp_path: Path, text: str) -> None:
    """The first line with numbers tells what separates them, and semicolons leave commas for the decimals."""
    (tmp_path / "k.csv").write_text(text)
    assert holds_kernel(str(tmp_path / "k.csv"))
    assert of_file(tmp_path / "k.csv").taps[1].tolist() == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (2, 5), (1, 7)])
def test_even_and_oblong_tables_move_nothing(shape: tuple[int, int]) -> None:
    """lr = correlate(hr, kernel)[0::s, 0::s] with the tap at (h // 2, w // 2) on the first pixel: a plain sum."""
    table = np.random.default_rng(1).random(shape)
    table /= table.sum()
    (kernel,) = from_spec(to_text(table), 2)
    hr = np.random.default_rng(2).random((20, 20))
    top, left = 10 - shape[0] // 2, 10 - shape[1] // 2
    expected = (table * hr[top : top + shape[0], left : left + shape[1]]).sum()
    reach = kernel.side // 2
    window = torch.from_numpy(hr[10 - reach : 11 + reach, 10 - reach : 11 + reach])
    assert float((kernel.taps * window).sum()) == pytest.approx(expected, rel=1e-6)


def test_what_is_no_kernel_is_refused_with_what_was_found(tmp_path: Path) -> None:
    """Sum, numbers, size, axes, kind of file: each in a sentence that names the file."""
    flat = np.full((3, 3), 1 / 9)
    spoiled = flat.copy()
    spoiled[0, 0] = np.nan
    for name, table, said in (
        ("sum.npy", flat * 1.2, "sum to 1.2; a kernel's sum to 1: divide them by 1.2"),
        ("edge.npy", np.array([[-1.0, 0, 1]]), "sum to 0; .* give one"),
        ("nan.npy", spoiled, "not finite"),
        ("wide.npy", np.full((67, 67), 1 / 67**2), "67 x 67 taps; a kernel has at most 65 x 65"),
        ("axes.npy", np.full((2, 3, 3), 1 / 18), "3 axes"),
        ("empty.npy", np.zeros((0, 3)), "shape"),
        ("words.npy", np.array([["a"]]), "not a table of numbers"),
        ("huge.npy", np.array([[1e300, 1 - 1e300, 0.0]]), "not finite"),
        ("cancelling.npy", np.array([[1e10, 1 - 1e10, 0.0]]), "sum to 0"),
        ("complex.npy", flat * 1j, "not a table of numbers"),
    ):
        with pytest.raises(UsageError, match=f"{name.partition('.')[0]}.*{said}"):
            of_file(write(tmp_path / name, table))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.csv").write_text("a,b\n")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "sum.npy").read_bytes()[:100])
    (tmp_path / "none.npy").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    (tmp_path / "long.csv").write_bytes(b"1" * ((1 << 20) + 1))
    (tmp_path / "folder.npy").mkdir()
    for name in ("object.npy", "text.csv", "cut.npy", "none.npy", "cut.tif"):
        with pytest.raises(UsageError, match=f"{name} is not a table of numbers"):
            of_file(tmp_path / name)
    with pytest.raises(UsageError, match="nothing is at"):
        of_file(tmp_path / "gone.npy")
    with pytest.raises(UsageError, match=r"long\.csv has 1048577 bytes; a kernel has at most 1048576"):
        of_file(tmp_path / "long.csv")
    with pytest.raises(UsageError, match=r"folder\.npy: it is a folder; name a file in it"):
        of_file(tmp_path / "folder.npy")


@pytest.mark.parametrize(
    "header", [b"{'descr': ((", b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000, 4000000), }", b""]
)
def test_damaged_arrays_are_no_kernels(tmp_path: Path, header: bytes) -> None:
    """Brackets that are not closed, more numbers than memory has, and an archive: numpy has an error for each."""
    start = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) if header else b"PK\3\4 no more"
    (tmp_path / "k.npy").write_bytes(start + header)
    with pytest.raises(UsageError, match=r"k\.npy is not a table of numbers"):
        of_file(tmp_path / "k.npy")


def test_a_kernel_is_read_from_its_own_file_alone(tmp_path: Path) -> None:
    """What names another file, or says that it has billions of pixels, is no kernel."""
    write_raster(tmp_path / "other.tif", np.ones((1, 1, 1), np.float32))
    (tmp_path / "named.tif").write_text(
        "<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand dataType='Float32' band='1'><SimpleSource>"
        f"<SourceFilename>{tmp_path}/other.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    profile = {"driver": "GTiff", "height": 30_000, "width": 30_000, "count": 1, "dtype": "uint8", "sparse_ok": True}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(tmp_path / "vast.tif", "w", **profile):
        pass
    for name, said in (("named", "not recognized"), ("vast", "it has 30000 x 30000 pixels, too many")):
        with pytest.raises(UsageError, match=f"{name}.tif is not a table of numbers .*{said}"):
            of_file(tmp_path / f"{name}.tif")


def test_a_sum_within_a_hundredth_is_made_1() -> None:
    """Taps that were rounded."""
    (kernel,) = from_spec(to_text(np.full((3, 3), 1.005 / 9)), 2)
    assert float(kernel.taps.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", NAMED)
def test_transfer_is_that_of_the_fourier_transform(name: str) -> None:
    """Sums of cosines and sines against numpy's FFT along both axes."""
    kernel = NAMED[name](3)
    spectrum = np.abs(np.fft.fft2(kernel.taps.numpy(), (64, 64)))
    cycles = torch.arange(33, dtype=torch.float64) / 64
    np.testing.assert_allclose(transfer(kernel, 1, cycles).numpy(), spectrum[0, :33], atol=1e-12)
    np.testing.assert_allclose(transfer(kernel, 0, cycles).numpy(), spectrum[:33, 0], atol=1e-12)


def test_the_command_tells_and_draws(srpipe: Srpipe, tmp_path: Path) -> None:
    """Numbers as JSON; a picture with the LR pixel framed and as many rows as kernels."""
    picture = tmp_path / "k.png"
    code, out, _ = srpipe("kernel", "mtf:0.3,0.15", "-s", "2", "-o", str(picture), "--json")
    assert code == 0
    told = json.loads(out)
    assert [round(kernel["mtf_x"], 2) for kernel in told["kernels"]] == [0.3, 0.15]
    assert told["kernels"][0]["sigma_x"] == pytest.approx(2 / math.pi * math.sqrt(2 * math.log(1 / 0.3)), abs=0.01)
    one = tmp_path / "one.png"
    assert srpipe("kernel", "box", "-o", str(one))[0] == 0
    with Image.open(picture) as two_rows, Image.open(one) as one_row:
        assert two_rows.height > 1.8 * one_row.height


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["foo"], "SPEC: 'foo' is not a kernel"),
        (["gone.npy"], "SPEC: nothing is at"),
        (["box", "-o", "k.jpg"], "--output: k.jpg is not a .png"),
        (["box", "-o", "missing/k.png"], "--output: cannot write"),
        (["box", "-o", "s3://bucket/k.png"], "s3://bucket/k.png is no path, and the picture is a local file; give"),
    ],
)
def test_the_command_refuses(refusal: Refusal, arguments: list[str], said: str) -> None:
    """Exit 2 and one sentence."""
    assert said in refusal("kernel", *arguments)


def test_a_gaussian_is_as_wide_as_it_says() -> None:
    """Its standard deviations are told back."""
    found = describe(gaussian(2.0, 1.5, 0, 4), 4)
    assert (found["sigma_x"], found["sigma_y"]) == pytest.approx((2.0, 1.5), abs=5e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_gaussian_is_like_itself(scale: int) -> None:
    """However wide, long and turned, off the middle tap or on it; and what sharpens as much as it blurs is no blur."""
    for sigmas in ((0.3, 0.3), (0.7, 0.7), (1.2, 0.6)):
        first, second = (scale * sigma for sigma in sigmas)
        assert unlike_gaussian(gaussian(first, second, 25, scale)) < 0.2
    for name in ("bicubic", "lanczos"):
        assert unlike_gaussian(from_spec(name, scale)[0]) == 0


@pytest.mark.parametrize("sharper", [1 / 24, 0.1])
def test_blur_along_one_axis_and_sharpening_along_the_other_is_like_a_gaussian(sharper: float) -> None:
    """As makers leave it; of the axis that is narrower than a pixel there is no Gaussian to be unlike."""
    down, across = gaussian(3.0, 3.0, 0, 2).taps.sum(1), torch.tensor([-sharper, 1 + 2 * sharper, -sharper]).double()
    taps = down[:, None] * torch.nn.functional.pad(across, ((len(down) - 3) // 2,) * 2)
    assert unlike_gaussian(Kernel(taps / taps.sum())) < 0.3


def test_lines_curves_and_rings_are_unlike_a_gaussian() -> None:
    """So is a lens out of focus, by less; a line by however it lies, and however short its other side is."""
    line, ring = torch.zeros(9, 9, dtype=torch.float64), torch.ones(9, 9, dtype=torch.float64)
    line[4] = 1 / 9
    ring[1:8, 1:8] = 0
    apart = torch.arange(-6.0, 7, dtype=torch.float64)
    disc = ((apart[:, None] ** 2 + apart**2) < 30).double()
    for taps in (line, line.T, line.diag().diag() + torch.eye(9, dtype=torch.float64) / 9, ring / ring.sum()):
        assert unlike_gaussian(Kernel(taps / taps.sum())) > 0.35
    assert 0.3 < unlike_gaussian(Kernel(disc / disc.sum())) < unlike_gaussian(Kernel(ring / ring.sum()))
