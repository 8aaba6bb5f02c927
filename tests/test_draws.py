"""What a prior learns from, against the single-image operators and other people's JPEG."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sr_ops.camera.base import make_base
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, bicubic, gaussian, middle
from sr_ops.image.resample import upscale
from sr_ops.networks.direct import BASE_RANGE, JPEG_UNIT, NOISE_UNIT
from sr_ops.priors.album import Album
from sr_ops.priors.drawn_kernels import BANK_SIDE, cameras, kernel_bank
from sr_ops.priors.draws import MARGIN, Draws, Odds

CPU = torch.device("cpu")
CLEAN = Odds(noise=0, jpeg=0, grey=0, border=0)
CROP = 16


def pictures() -> list[Tensor]:
    """Three smooth colour pictures with edges; one just as large as a patch at x4."""
    drawn = []
    for seed, (height, width) in enumerate([(192, 192), (200, 240), (256, 208)]):
        generator = torch.Generator().manual_seed(seed)
        small = torch.rand(3, height // 8, width // 8, generator=generator)
        drawn.append((upscale(small, 8).clamp(0, 1) * 255).byte())
    return drawn


def draws(scale: int, odds: Odds = CLEAN, kernels: Tensor | None = None, bands: int = 3, seed: int = 0) -> Draws:
    album = Album(pictures(), [1, 1, 1], CPU)
    bank = kernel_bank(scale, 50, odds.bicubic, 0, CPU) if kernels is None else kernels
    return Draws(album, bank, scale, bands, CROP, odds, seed)


def as_bank(kernel: Kernel) -> Tensor:
    return torch.nn.functional.pad(kernel.taps, ((BANK_SIDE - kernel.side) // 2,) * 4).float()[None]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_kernel_of_the_bank_is_one(scale: int) -> None:
    """They sum to 1 and lie within the bank; the share of bicubic is what was asked for; some shift, some sharpen."""
    bank = kernel_bank(scale, 400, 0.35, seed=0, device=CPU)
    assert bank.shape == (400, BANK_SIDE, BANK_SIDE)
    torch.testing.assert_close(bank.sum((1, 2)), torch.ones(400), atol=1e-5, rtol=0)
    same = (bank - as_bank(bicubic(scale))).abs().amax((1, 2)) < 1e-6
    assert int(same.sum()) == 140
    offsets = torch.arange(BANK_SIDE) - BANK_SIDE // 2
    centres = (bank.sum(2) * offsets).sum(1)
    assert 0 < int((centres.abs() < 0.01).sum()) < 200
    assert int((bank.amin((1, 2)) < -1e-3).sum()) > 150  # bicubic, Lanczos, and the sharpened ones


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_batch_is_what_single_images_get(scale: int) -> None:
    """Batched FFT against `Degradation`: the data step from bicubic, away from the end of the patch."""
    kernel = gaussian(1.1, 0.7, 25, scale)
    made = draws(scale, kernels=as_bank(kernel))
    degradation = Degradation((kernel,), scale)
    hr = torch.stack([picture[:, : 48 * scale, : 48 * scale] for picture in pictures()]).float() / 255
    transfer = made._transfer(as_bank(kernel).expand(3, -1, -1), 48 * scale)
    lr = degradation.apply(hr)
    base = made._base(lr, transfer, torch.zeros(3))
    expected = degradation.data_step(lr, upscale(lr, scale)).clamp(*BASE_RANGE)
    inner = slice(20 * scale, 28 * scale)
    torch.testing.assert_close(base[..., inner, inner], expected[..., inner, inner], atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [2, 4])
def test_some_crops_are_whole_images(scale: int) -> None:
    """With a border all around: their base is that of the crop alone."""
    kernel = gaussian(0.9, 0.9, 0, scale)
    made = draws(scale, Odds(noise=0, jpeg=0, border=1), as_bank(kernel))
    lr = torch.rand(2, 3, CROP + 2 * MARGIN, CROP + 2 * MARGIN, generator=torch.Generator().manual_seed(3))
    lr = upscale(lr[..., ::4, ::4], 4)
    transfer = made._transfer(as_bank(kernel).expand(2, -1, -1), lr.shape[-1] * scale)
    base = made._base(lr, transfer, torch.zeros(2))[
        ..., MARGIN * scale : -MARGIN * scale, MARGIN * scale : -MARGIN * scale
    ]
    alone = lr[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert float((base - make_base(Degradation((kernel,), scale), alone)).abs().max()) < 2e-6


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shapes_and_ranges(scale: int, bands: int) -> None:
    """As `Batch` says, with all kinds of damage drawn."""
    batch = draws(scale, Odds(noise=0.5, jpeg=0.5), bands=bands).batch(6)
    assert batch.lr.shape == (6, bands, CROP, CROP)
    assert batch.base.shape == batch.hr.shape == (6, bands, CROP * scale, CROP * scale)
    assert batch.told.shape == (6, 1, 2)
    assert 0 <= float(batch.hr.min()) <= float(batch.hr.max()) <= 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in batch)


def test_batches_depend_on_the_seed_alone() -> None:
    """And follow from each other."""
    first, again, other = draws(2), draws(2), draws(2, seed=1)
    torch.manual_seed(5)
    assert all(torch.equal(a, b) for a, b in zip(first.batch(3), again.batch(3), strict=True))
    assert not torch.equal(first.batch(3).hr, draws(2).batch(3).hr)
    assert not torch.equal(other.batch(3).hr, draws(2).batch(3).hr)


def test_noise_is_as_strong_as_told() -> None:
    """The plane times its unit is the standard deviation of what was added."""
    flat = [torch.full((3, 160, 160), 128, dtype=torch.uint8)]
    odds = Odds(noise=1, jpeg=0, grey=0)
    made = Draws(Album(flat, [1], CPU), as_bank(bicubic(2)), 2, 3, 48, odds)
    batch = made.batch(8)
    told = batch.told[:, 0, 0] * NOISE_UNIT
    measured = batch.lr.std((1, 2, 3))
    rounding = 1 / 255 / 12**0.5
    clear = (told > 4 / 255) & (told < 0.1)
    assert int(clear.sum()) >= 3
    torch.testing.assert_close(measured[clear], (told[clear] ** 2 + rounding**2).sqrt(), rtol=0.08, atol=0.002)


@pytest.mark.parametrize("quality", [35, 60, 90])
@pytest.mark.parametrize(("bands", "subsampled"), [(1, False), (3, False), (3, True)])
def test_jpeg_is_pillows(quality: int, bands: int, subsampled: bool) -> None:
    """What libjpeg makes of the same pixels is several times nearer than they were: grey, 4:4:4 and 4:2:0."""
    side = CROP + 2 * MARGIN
    drawn = 0.05 * torch.rand(3, side, side, generator=torch.Generator().manual_seed(4))
    picture = (255 * (pictures()[0][:bands, :side, :side] / 255 + drawn[:bands]).clamp(0, 1)).round()
    file = BytesIO()
    pixels = picture.byte().movedim(0, -1).numpy()
    Image.fromarray(pixels if bands == 3 else pixels[..., 0]).save(
        file, "JPEG", quality=quality, subsampling=2 if subsampled else 0
    )
    theirs = torch.from_numpy(np.array(Image.open(file)).reshape(side, side, bands).copy()).movedim(-1, 0) / 255
    ours = draws(2, bands=bands)._jpeg(picture[None] / 255, torch.tensor([quality]), torch.tensor([subsampled]))[0]
    lost = float((theirs - picture / 255).abs().mean())
    assert float((ours.clamp(0, 1) - theirs).abs().mean()) < 0.35 * lost


def test_jpeg_loss_is_told() -> None:
    """The plane times its unit is the mean step; 0 where nothing was compressed."""
    batch = draws(2, Odds(noise=0, jpeg=0.5)).batch(12)
    told = batch.told[:, 0, 1] * JPEG_UNIT
    assert 0 < int((told == 0).sum()) < 12
    assert float(told[told > 0].min()) > 3  # of quality 96


@pytest.mark.parametrize("bands", [3, 1])
def test_only_jpegs_are_processed(bands: int) -> None:
    """What makers do to images nobody can tell of one that is no JPEG: there it would spoil what is learned."""
    processed, plain = (draws(2, replace(CLEAN, processed=share), bands=bands).batch(6) for share in (1.0, 0.0))
    for one, other in zip(processed, plain, strict=True):
        assert torch.equal(one, other)


def test_of_processed_images_only_jpeg_is_told() -> None:
    """Grain and sharpening change the image, and no plane; three in four bases are those of bicubic."""
    odds = replace(CLEAN, jpeg=1.0)
    made = draws(2, replace(odds, processed=1.0)).batch(16)
    plain = draws(2, replace(odds, processed=0.0)).batch(16)
    torch.testing.assert_close(made.told, plain.told)
    assert bool((made.told[..., 0] == 0).all())
    assert int(((made.lr - plain.lr).abs().amax((1, 2, 3)) > 2 / 255).sum()) > 12
    assert torch.equal(made.hr, plain.hr)


@pytest.mark.parametrize("scale", [2, 4])
def test_cameras_blur_in_their_place(scale: int) -> None:
    """By a quarter to two thirds of an LR pixel, a little longer in one direction, and nothing shifts."""
    bank = cameras(scale, 200, torch.Generator().manual_seed(0))
    offsets = torch.arange(BANK_SIDE, dtype=torch.float64) - BANK_SIDE // 2 - middle(scale)
    torch.testing.assert_close(bank.sum((1, 2)), torch.ones(200, dtype=torch.float64))
    assert float((bank.sum(2) * offsets).sum(1).abs().max()) < 1e-3
    widths = (bank.sum(2) * offsets**2).sum(1).sqrt() / scale
    assert 0.2 < float(widths.min()) < 0.3
    assert 0.58 < float(widths.max()) < 0.75
