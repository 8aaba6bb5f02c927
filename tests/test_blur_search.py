"""A lens out of focus and a camera that moved, found in scenes that were made with them, and nowhere else."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from sr_ops.camera.blur_shapes import BlurShape, ShapeKind
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import from_spec, middle
from sr_ops.estimation.blur_search import ENOUGH
from sr_ops.estimation.estimate import Estimate, noise_of_bands
from sr_ops.estimation.guess import guess, guess_together
from sr_ops.estimation.signs import Signs

from .scenes import scene

STEP = 1 / 255


def seen_by(text: str, seed: int = 0, noise: float = 0.0, scale: int = 2, bands: int = 1) -> Tensor:
    """A scene that a kernel shrank to 192 x 192: 8 bits, with noise in grey levels."""
    lr = Degradation(from_spec(text, scale), scale).apply(scene(192 * scale, seed, bands))
    lr = lr + noise / 255 * torch.randn(lr.shape, generator=Generator().manual_seed(1))
    return (lr * 255).round().clamp(0, 255) / 255


def told(image: Tensor) -> Estimate:
    found = Signs(image, None, STEP).estimate
    assert found is not None
    return found


@pytest.mark.parametrize(("radius", "noise"), [(1.3, 0.0), (1.6, 0.5), (2.6, 0.0), (3.3, 0.5)])
def test_a_disc_is_found_with_its_radius(radius: float, noise: float) -> None:
    """In LR pixels, within a tenth; hardly any blur is told beside it."""
    found = told(seen_by(f"disc:{2 * radius}", noise=noise))
    assert found.shape is not None
    assert found.shape.kind == ShapeKind.DISC
    assert found.shape.size == pytest.approx(radius, abs=0.1)
    assert found.evidence > ENOUGH
    assert found.variances[0] < 0.2


@pytest.mark.parametrize(("length", "degrees"), [(3.5, 130), (4.5, 0), (4.5, 30)])
def test_a_motion_is_found_with_its_length_and_direction(length: float, degrees: float) -> None:
    found = told(seen_by(f"motion:{2 * length},{degrees}"))
    assert found.shape is not None
    assert found.shape.kind == ShapeKind.MOTION
    assert found.shape.size == pytest.approx(length, abs=0.3)
    assert abs((found.shape.degrees - degrees + 90) % 180 - 90) < 5


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize(
    "text", ["bicubic", "box", "bilinear", "lanczos", "gaussian:1.4", "gaussian:2.4", "gaussian:2.8,0.8,30", "mtf:0.2"]
)
def test_no_other_kernel_is_taken_for_one(text: str, noise: float) -> None:
    assert told(seen_by(text, noise=noise)).shape is None


@pytest.mark.parametrize(("sigma", "shape"), [(0.3, ShapeKind.DISC), (0.6, None)])
def test_a_disc_counts_only_where_little_is_blurred_besides(sigma: float, shape: ShapeKind | None) -> None:
    """Sigma in LR pixels, of a Gaussian after the disc: undone without it, a wide one would leave a soft image."""
    hr = scene(384)
    square = (
        torch.fft.fftfreq(384, dtype=torch.float64)[:, None] ** 2 + torch.fft.fftfreq(384, dtype=torch.float64) ** 2
    )
    soft = torch.fft.ifft2(torch.fft.fft2(hr.double()) * torch.exp(-2 * torch.pi**2 * (2 * sigma) ** 2 * square)).real
    lr = Degradation(from_spec("disc:4", 2), 2).apply(soft.float())
    found = told((lr * 255).round().clamp(0, 255) / 255).shape
    assert (None if found is None else found.kind) == shape


def test_white_noise_and_stripes_have_no_shape() -> None:
    """Nor what no camera made: white noise, and stripes whose power has gaps of its own."""
    stripes = (torch.arange(192) % 7 < 3).float().expand(1, 192, -1) * 0.8 + 0.1
    white = 0.5 + 0.1 * torch.randn(1, 192, 192, generator=Generator().manual_seed(2))
    for image in (stripes, white.clamp(0, 1), (stripes + white).clamp(0, 1) / 2):
        found = Signs(image, None, STEP).estimate
        assert found is None or found.shape is None


def test_the_kernel_of_a_shape_follows_the_scale() -> None:
    """It is told in LR pixels, and named in HR pixels."""
    disc = Estimate((0.1, 0.0, 0.1), 0.05, 2.2, 0.0, 0.0, 0.3, shape=BlurShape(ShapeKind.DISC, 1.55), evidence=40.0)
    moved = replace(disc, shape=BlurShape(ShapeKind.MOTION, 3.5, 179.8), evidence=ENOUGH)
    assert [guess(disc, scale).kernel for scale in (2, 3, 4)] == ["disc:3.1", "disc:4.65", "disc:6.2"]
    assert guess(moved, 2).kernel == "motion:7,0"
    assert guess(moved, 2).confidence == 0 < 0.9 < guess(disc, 2).confidence < 1


def test_a_disc_is_a_camera_s_and_a_motion_an_image_s() -> None:
    """Of images of one camera most decide; one image alone tells what it tells."""
    plain = Estimate((0.6, 0.0, 0.6), 0.05, 2.2, 0.0, 0.0, 0.2)
    discs = [replace(plain, shape=BlurShape(ShapeKind.DISC, size), evidence=20.0) for size in (1.5, 1.6, 1.9)]
    moved = replace(plain, shape=BlurShape(ShapeKind.MOTION, 4.0, 30.0), evidence=20.0)
    assert guess_together([*discs, plain, None], 2).kernel == "disc:3.2"
    assert guess_together([discs[0], plain, plain], 2).kernel == guess_together([plain, plain], 2).kernel
    assert guess_together([moved, *discs], 2).kernel == "disc:3.2"
    assert guess_together([moved], 2).kernel == "motion:8,30"
    for several in ([moved, moved], [moved, None]):
        guessed = guess_together(several, 2)
        assert (guessed.kernel, guessed.confidence) == ("bicubic", 0)
        assert "moved" in guessed.reason


def test_noise_is_told_under_a_disc() -> None:
    """A Gaussian in its place leaves too much for noise to be told."""
    lr = seen_by("disc:4", noise=1.0, bands=3)
    shape = told(lr).shape
    assert shape is not None
    noise = noise_of_bands(lr, shape=shape)
    assert noise is not None
    torch.testing.assert_close(noise * 255, torch.full((3,), 1.04), rtol=0.15, atol=0)


@pytest.mark.parametrize(
    "shape", [BlurShape(ShapeKind.DISC, 1.7), BlurShape(ShapeKind.MOTION, 3.4, 25.0)], ids=["disc", "motion"]
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_transfer_is_that_of_the_taps(shape: BlurShape, scale: int) -> None:
    """By their sum over waves. Taps are means over HR pixels, and a motion is one HR pixel wide besides."""
    direction = "" if shape.kind == ShapeKind.DISC else f",{shape.degrees}"
    (kernel,) = from_spec(f"{shape.kind}:{shape.size * scale}{direction}", scale)
    assert kernel.centre == pytest.approx((middle(scale), middle(scale)))
    offsets = (torch.arange(kernel.side, dtype=torch.float64) - kernel.side // 2 - middle(scale)) / scale
    cycles = torch.linspace(-0.5, 0.5, 21, dtype=torch.float64)
    y, x = torch.meshgrid(cycles, cycles, indexing="ij")
    waves = torch.exp(2j * torch.pi * cycles[:, None] * offsets)
    by_taps = (waves @ kernel.taps.to(waves) @ waves.T).real
    turn = torch.tensor(shape.degrees).deg2rad()
    pixel = torch.sinc(x / scale) * torch.sinc(y / scale)
    across = torch.sinc((y * turn.cos() - x * turn.sin()) / scale) if direction else torch.ones_like(x)
    torch.testing.assert_close(by_taps, shape.transfer(x, y) * across * pixel, rtol=0, atol=0.03)
    xx, xy, yy = shape.covariance
    close = 1 - 2 * torch.pi**2 * (xx * x.square() + 2 * xy * x * y + yy * y.square())
    long = torch.hypot(x, y) < 0.08
    torch.testing.assert_close(shape.transfer(x, y)[long], close[long], rtol=0, atol=0.02)
