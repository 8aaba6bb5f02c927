"""Kernels by their names and by their files, and what `srpipe kernel` tells of them."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import UsageError
from pipeline.imagery.kernel_files import read_kernel, to_kernel
from sr_ops.kernels import MAX_SIDE, NAMED, describe, from_spec, gaussian, middle, transfer, widest


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


@given(scale=st.integers(2, 8), share=st.floats(0.1, 1), other=st.floats(0.1, 1), degrees=st.floats(-360, 360))
def test_every_gaussian_that_is_allowed_is_centred(scale: int, share: float, other: float, degrees: float) -> None:
    """Whatever its width, it moves nothing, and fits into the largest kernel."""
    (kernel,) = from_spec(f"gaussian:{share * widest(scale)},{other * widest(scale)},{degrees}", scale)
    assert kernel.side <= MAX_SIDE
    assert kernel.centre == pytest.approx((middle(scale), middle(scale)), abs=2e-3 * scale)


def test_a_list_of_transfers_is_a_kernel_a_band() -> None:
    """The first is the blurriest here."""
    first, second = from_spec("mtf:0.2,0.4", 3)
    assert describe(first, 3)["sigma_x"] > describe(second, 3)["sigma_x"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("foo", "is no kernel; use bicubic"),
        ("", "is no kernel"),
        ("bicubic:2", "is no kernel"),
        ("gaussian", "is no kernel"),
        ("gaussian:", "is no list of numbers"),
        ("gaussian:1,2", "has 2 numbers"),
        ("gaussian:0", "a sigma is above 0"),
        ("gaussian:9", "at most 7.88 HR pixels"),
        ("gaussian:nan", "a sigma is above 0"),
        ("gaussian:1,1,inf", "an angle is finite"),
        ("mtf:0", "0 is no transfer"),
        ("mtf:1.2", "1.2 is no transfer"),
        ("mtf:0.3,1", "1 is no transfer"),
        ("mtf:nan", "nan is no transfer"),
        ("mtf:1e-300", "is no transfer"),
    ],
)
def test_what_names_no_kernel_is_refused(spec: str, said: str) -> None:
    """With what can be named, or what is allowed."""
    with pytest.raises(ValueError, match=said):
        from_spec(spec, 2)


Srpipe = Callable[..., tuple[int, str, str]]


def write(path: Path, table: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, table)
    elif path.suffix == ".csv":
        np.savetxt(path, table, delimiter=",")
    else:
        profile = {"driver": "GTiff", "height": len(table), "width": table.shape[1], "count": 1, "dtype": table.dtype}
        with rasterio.open(path, "w", **profile) as file:
            file.write(table[None])
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("ending", [".npy", ".csv", ".tif"])
def test_a_file_gives_its_taps(tmp_path: Path, ending: str) -> None:
    """As they were written, turned by nothing."""
    table = np.random.default_rng(0).random((5, 5))
    table /= table.sum()
    kernel = read_kernel(str(write(tmp_path / f"k{ending}", table)))
    np.testing.assert_allclose(kernel.taps.numpy(), table, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    """Excel marks UTF-8; a table of nothing is refused without a warning beside."""
    (tmp_path / "k.csv").write_text("\ufeff0,0,0\n0,1,0\n0,0,0\n")
    assert float(read_kernel(str(tmp_path / "k.csv")).taps[1, 1]) == 1
    (tmp_path / "k.csv").write_text("\n")
    with pytest.raises(UsageError, match="it is empty"):
        read_kernel(str(tmp_path / "k.csv"))


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (2, 5), (1, 7)])
def test_even_and_oblong_tables_move_nothing(shape: tuple[int, int]) -> None:
    """lr = correlate(hr, kernel)[0::s, 0::s] with the tap at (h // 2, w // 2) on the first pixel: a plain sum."""
    table = np.random.default_rng(1).random(shape)
    table /= table.sum()
    kernel = to_kernel(table)
    hr = np.random.default_rng(2).random((20, 20))
    top, left = 10 - shape[0] // 2, 10 - shape[1] // 2
    expected = (table * hr[top : top + shape[0], left : left + shape[1]]).sum()
    reach = kernel.side // 2
    window = torch.from_numpy(hr[10 - reach : 11 + reach, 10 - reach : 11 + reach])
    assert float((kernel.taps * window).sum()) == pytest.approx(expected, abs=1e-12)


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
        ("words.npy", np.array([["a"]]), "no table of numbers"),
        ("complex.npy", flat * 1j, "no table of numbers"),
    ):
        with pytest.raises(UsageError, match=f"{name.partition('.')[0]}.*{said}"):
            read_kernel(str(write(tmp_path / name, table)))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.csv").write_text("a,b\n")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "sum.npy").read_bytes()[:100])
    (tmp_path / "none.npy").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    for name in ("object.npy", "text.csv", "cut.npy", "none.npy", "cut.tif"):
        with pytest.raises(UsageError, match=f"{name} is no table of numbers"):
            read_kernel(str(tmp_path / name))
    with pytest.raises(UsageError, match="nothing is at"):
        read_kernel(str(tmp_path / "gone.npy"))


def test_a_sum_within_a_hundredth_is_made_1() -> None:
    """Taps that were rounded."""
    kernel = to_kernel(np.full((3, 3), 1.005 / 9))
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
        (["foo"], "SPEC: 'foo' is no kernel"),
        (["gone.npy"], "SPEC: nothing is at"),
        (["box", "-o", "k.jpg"], "--output: k.jpg is no .png"),
        (["box", "-o", "missing/k.png"], "--output: cannot write"),
    ],
)
def test_the_command_refuses(srpipe: Srpipe, arguments: list[str], said: str) -> None:
    """Exit 2 and one sentence."""
    code, _, err = srpipe("kernel", *arguments)
    assert code == 2
    assert said in err


def test_a_gaussian_is_as_wide_as_it_says() -> None:
    """Its standard deviations are told back."""
    found = describe(gaussian(2.0, 1.5, 0, 4), 4)
    assert (found["sigma_x"], found["sigma_y"]) == pytest.approx((2.0, 1.5), abs=5e-3)
