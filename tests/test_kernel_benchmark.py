"""What the benchmarks of cameras are made of: LR images, bars, figures and pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks import cameras_picture, kernels_seconds, parts, pictures, quality
from benchmarks.kernel_shots import Camera, in_file, mzsr_taps, named, run_and_measure, shoot, shots
from benchmarks.parts import Part
from benchmarks.pictures import decode, encode_png
from benchmarks.shrinking import profile, shrink
from jobs.sample_pictures import satellite_view
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, from_spec


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    """A picture of 99 x 98, which no scale but 2 divides."""
    path = tmp_path / "view.png"
    path.write_bytes(encode_png(torch.from_numpy(satellite_view(128)).permute(2, 0, 1)[:, :98, :99]))
    return path


def by_loops(hr: NDArray[np.float64], taps: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """lr = correlate(hr, taps)[0::scale, 0::scale] as it is written, mirrored at the border."""
    room = len(taps) // 2
    padded = np.pad(hr, room, "symmetric")
    rows, columns = (range(0, side, scale) for side in hr.shape)
    return np.array(
        [[(taps * padded[y : y + len(taps), x : x + len(taps)]).sum() for x in columns] for y in rows], np.float64
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_shot_is_what_the_convention_says(hr: Path, scale: int) -> None:
    """Cut to whole LR pixels, correlated without a flip, each first HR pixel kept, rounded."""
    taps = np.random.default_rng(0).dirichlet(np.ones(25)).reshape(5, 5)
    levels = decode(hr.read_bytes())
    lr = shoot(levels, Camera("drawn", Kernel(torch.from_numpy(taps)), ""), scale)
    cut = levels[1, : 98 // scale * scale, : 99 // scale * scale].double().numpy()
    assert lr.shape == (3, 98 // scale, 99 // scale)
    assert np.abs(lr[1].numpy() - by_loops(cut, taps, scale)).max() <= 0.501


def test_noise_is_of_its_strength_and_the_same_again() -> None:
    """On an even picture all that differs is noise."""
    grey = torch.full((3, 200, 200), 128, dtype=torch.uint8)
    camera = Camera("noisy", from_spec("bicubic", 2)[0], "", noise=7.65)
    noisy = shoot(grey, camera, 2)
    assert float(noisy.double().std()) == pytest.approx(7.65, rel=0.02)
    assert torch.equal(noisy, shoot(grey, camera, 2))


def test_the_kernel_of_mzsr_lies_on_the_first_hr_pixel() -> None:
    """Variance 2 about the middle tap."""
    kernel = Kernel(torch.from_numpy(mzsr_taps()))
    assert kernel.centre == pytest.approx((0, 0), abs=1e-12)
    offsets = torch.arange(21) - 10
    assert float((kernel.taps.sum(0) * offsets**2).sum()) == pytest.approx(2, rel=1e-3)


def test_rows_tell_what_is_known_of_the_camera(hr: Path, tmp_path: Path) -> None:
    """A file that holds the taps, and noise where it is told."""
    noisy = in_file("drawn", mzsr_taps(), tmp_path, 2.55)
    (case,) = shots("set", [hr], 2, [noisy], tmp_path / "lr")
    assert np.array_equal(np.load(case.kernel), mzsr_taps())
    assert case.noise == "2.55"
    assert in_file("drawn", mzsr_taps(), tmp_path).told_noise == ""
    clear = decode(next(shots("set", [hr], 2, [named("box", 2)], tmp_path / "lr")).lr.read_bytes())
    assert not torch.equal(decode(case.lr.read_bytes()), clear)


def test_figures_are_those_of_what_was_told(hr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture by a wide Gaussian, whole runs: told of it the result is nearer the truth than told nothing."""
    monkeypatch.setattr(quality, "OUT", tmp_path / "out")
    camera = named("gaussian:1.6", 2)
    cases = [
        case
        for name, told in (("told", camera.told), ("untold", ""))
        for case in shots(name, [hr], 2, [Camera(camera.name, camera.kernel, told)], tmp_path / "lr")
    ]
    scores = run_and_measure("small", cases, "--method", "bicubic", "--kernel", "bicubic", "--executor", "inline")
    told, untold = (scores[case.id] for case in cases)
    assert told.interpolated == untold.interpolated
    assert told.psnr > untold.psnr + 1 > told.interpolated + 1


def test_a_bar_is_held_in_the_digits_that_are_shown() -> None:
    part = Part("")
    part.hold("just", 36.296, 36.3)
    part.hold("also", 37.496, 37.60 - 0.1)
    assert part.missed == []
    part.hold("kernel 1", 36.294, 36.3)
    assert part.missed == ["kernel 1: 36.29 dB, at least 36.30 asked"]


def test_the_median_of_the_ratios_counts() -> None:
    part = kernels_seconds.section([(40.0, 9.0), (40.0, 40.0), (50.0, 10.0)])
    assert "**0.225**" in part.text
    assert part.missed == []
    assert kernels_seconds.section([(40.0, 9.0), (40.0, 11.0), (50.0, 13.0)]).missed


@pytest.mark.parametrize("kernel", ["bicubic", "gaussian:1.4", "gaussian:0.8"])
def test_fidelity_has_a_forward_model_of_its_own(kernel: str) -> None:
    """In NumPy, of strips with what is missing beyond the image mirrored; the same as srpipe's."""
    hr = np.random.default_rng(0).uniform(0, 255, (2, 40, 36))
    taps = profile(kernel)
    margin = len(taps) // 2 - 1
    whole = shrink(hr, margin, margin, taps)
    expected = Degradation(from_spec(kernel, 2), 2).apply(torch.from_numpy(hr)).numpy()
    assert np.abs(whole - expected).max() < 0.01
    assert np.abs(shrink(hr[:, : 20 + margin], margin, 0, taps) - whole[:, :10]).max() < 1e-9


def test_the_picture_shows_pixels_side_by_side() -> None:
    """Panels in order, each its middle, every pixel a square."""
    side, shown, times = cameras_picture.SIDE, cameras_picture.SHOWN, cameras_picture.ENLARGED
    gap, line = pictures.GAP, pictures.LINE
    ramp = torch.arange(side).expand(3, side, side).clamp_max(255)
    panels = [(name, cameras_picture.magnified(levels)) for name, levels in (("a", ramp), ("b", ramp.flip(-1)[:1]))]
    sheet = np.asarray(pictures.captioned([("title", panels)], across=1, letters=14))
    top, first = gap + 2 * line, (side - shown) // 2
    left = sheet[top : top + shown * times, gap : gap + shown * times]
    assert np.array_equal(left[::times, ::times, 0], ramp[0, first : first + shown, first : first + shown].numpy())
    assert np.array_equal(left, left[::times, ::times].repeat(times, 0).repeat(times, 1))
    right = sheet[top : top + shown * times, 2 * gap + shown * times :][:, : shown * times]
    assert np.array_equal(right, left[:, ::-1])


def test_parts_are_written_only_as_a_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A look at some of a part prints it; it writes no section, and holds no bar."""
    written: dict[str, str] = {}
    monkeypatch.setattr(parts, "write_section", lambda name, text, _: written.__setitem__(name, text))
    made = {"one": lambda: Part("## One\n\nFigures."), "": lambda: Part("## Two\n\nMore.", ["too little"])}
    assert parts.measure("make bench-it DATA=...", "it", made, whole=False) == []
    assert written == {}
    assert "## Two" in capsys.readouterr().out
    missed = parts.measure("make bench-it DATA=...", "it", made)
    assert missed == ["too little"]
    assert list(written) == ["it-one", "it"], "a part without a name has the section's"
    assert written["it-one"].startswith("## One\n\n`make bench-it DATA=...` (1 minute). ")
    assert written["it"].endswith("\n\nMore.")  # targets are held by the exit code, and stand in no public table
    assert (parts.exit_code([]), parts.exit_code(missed)) == (0, 1)
    assert "missed: too little\n" in capsys.readouterr().out
