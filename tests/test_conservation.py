"""Sums are kept where the range cuts off, and beside what is not known."""

import pytest
import torch
from torch import Generator, Tensor

from sr_ops.camera.back_projection import back_project
from sr_ops.camera.conservation import conserve
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, gaussian, recentred
from sr_ops.enlarging import enlarge as enlarging
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model
from sr_ops.image.domain import UNIT, Domain, fill, flat, keep_flat, nearest
from sr_ops.image.resample import downscale, upscale
from sr_ops.settings import Method, Settings

from .cameras import blur, matlab, motion, scrambled


def binary(seed: int, bands: int = 1) -> Tensor:
    """Black and white patches of 3 x 3, with some gray."""
    patches = torch.rand(bands, 16, 20, generator=Generator().manual_seed(seed))
    levels = torch.where(patches < 0.3, 0.0, torch.where(patches > 0.5, 1.0, 0.4))
    return levels.repeat_interleave(3, 1).repeat_interleave(3, 2)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_kept_where_the_range_cuts_off(scale: int, seed: int) -> None:
    """Of black and white patches back-projection alone shifts the mean; afterwards it is the image's."""
    lr = binary(seed)
    cut_off = back_project(upscale(lr, scale), lr, matlab(scale), 10)
    kept = conserve(cut_off, lr, matlab(scale), UNIT)
    assert abs(float(cut_off.mean() - lr.mean())) > 2e-4
    assert abs(float(kept.mean() - lr.mean())) < 5e-5
    assert bool(((kept >= 0) & (kept <= 1)).all())


def test_what_agrees_is_left_alone() -> None:
    """Where nothing is cut off, not a bit changes."""
    lr = 0.2 + 0.6 * torch.rand(3, 40, 40, generator=Generator().manual_seed(0))
    lr = upscale(lr, 2).clamp(0.1, 0.9)
    sr = back_project(upscale(lr, 2), lr, matlab(2), 10, Domain(None, -9.0, 9.0))
    assert conserve(sr, lr, matlab(2), Domain(None, -9.0, 9.0)) is sr


def test_the_mean_of_what_is_known_is_kept() -> None:
    """Filters reach across the border of what is known; the sum over it is the image's even so."""
    lr = binary(5, 2)
    known = torch.rand(2, 48, 60, generator=Generator().manual_seed(1)) > 0.2
    domain = Domain(known, -torch.inf, torch.inf)
    filled = fill(lr, known)
    sr = back_project(upscale(filled, 2), filled, matlab(2), 10, domain)
    sums = [
        float(part[known.repeat_interleave(2, 1).repeat_interleave(2, 2)].mean())
        for part in (sr, conserve(sr, filled, matlab(2), domain))
    ]
    expected = float(lr[known].mean())
    assert abs(sums[0] - expected) > 1e-4
    assert abs(sums[1] - expected) < 1e-5


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("black", [True, False])
def test_dots_stay_dots(scale: int, black: bool) -> None:
    """The whites around a black dot are filled before it, and the result agrees with the image about as well."""
    lr = (torch.rand(1, 60, 60, generator=Generator().manual_seed(2)) < 0.06).float()
    lr = 1 - lr if black else lr
    cut_off = back_project(upscale(lr, scale), lr, matlab(scale), 10)
    kept = conserve(cut_off, lr, matlab(scale), UNIT)
    dots = lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2) == (0 if black else 1)
    assert float((kept - cut_off)[dots].abs().max()) < 0.4
    before, after = ((lr - downscale(sr, scale)).square().mean().sqrt() for sr in (cut_off, kept))
    assert float(after) < 1.4 * float(before)
    assert abs(float(kept.mean() - lr.mean())) < 1e-5


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(8))
def test_the_mean_is_kept_beside_anything_unknown(seed: int, share: float) -> None:
    """A spike in a flat field, the unknown strewn over both: the sum of what is known is kept, and what is flat."""
    known = torch.rand(1, 64, 64, generator=Generator().manual_seed(seed)) > share
    known[0, 30, 30] = True
    lr = torch.zeros(1, 64, 64)
    lr[0, 30, 30] = 1.0
    domain, still = Domain(known, -torch.inf, torch.inf), flat(fill(lr, known))
    sr = keep_flat(back_project(upscale(lr, 2), lr, matlab(2), 10, domain), lr, 2)
    kept = conserve(sr, lr, matlab(2), domain, still)
    total = float(kept[nearest(known, 2)].double().sum()) / 4
    assert total == pytest.approx(1, abs=1e-4)
    assert bool((kept[nearest(still, 2)] == 0).all())


def test_it_stays_near() -> None:
    """Nothing changes farther than 6 pixels from what was cut off."""
    lr = torch.full((1, 60, 60), 0.5)
    sr = upscale(lr, 2)
    lr[0, 30, 30] = 1.5
    change = (conserve(sr, lr, matlab(2), UNIT) - sr).abs() > 0
    assert bool(change[:, 48:74, 48:74].all())
    change[:, 48:74, 48:74] = False
    assert not change.any()


def test_no_room() -> None:
    """Where nobody near has room, it is left as it is."""
    lr, sr = torch.full((1, 20, 20), 1.2), torch.ones(1, 40, 40)
    assert torch.equal(conserve(sr, lr, matlab(2), UNIT), sr)
    assert float(downscale(sr, 2).mean()) == pytest.approx(1)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_any_camera_keeps_the_mean(scale: int, seed: int) -> None:
    """By a Gaussian, as by bicubic: what the range cut off is given back."""
    lr, camera = binary(seed), blur(0.45 * scale, scale)
    cut_off = back_project(upscale(lr, scale), lr, camera, 10)
    kept = conserve(cut_off, lr, camera, UNIT)
    before, after = (abs(float(sr.mean() - lr.mean())) for sr in (cut_off, kept))
    assert before > 2e-4
    assert after < 0.3 * before
    assert after < 3e-4
    assert bool(((kept >= 0) & (kept <= 1)).all())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_kernels_other_than_bicubic_have_a_second_pass(scale: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not see all that one adds: by how much the mean of what they see is off falls to less than half."""
    lr, camera = binary(seed), Degradation((recentred(motion(1), scale),), scale)
    model, settings = Model(Method.BICUBIC, camera), Settings(scale=scale, method=Method.BICUBIC)
    made = enlarge(lr, model, settings)
    monkeypatch.setattr(enlarging, "passes", lambda _: 1)
    off = [abs(float((camera.apply(sr.double()) - lr).mean())) for sr in (enlarge(lr, model, settings), made)]
    assert off[1] < 0.5 * off[0]


@pytest.mark.parametrize(
    ("kernel", "allowed"),
    [(gaussian(1.1, 0.8, 30, 2), 5e-5), (recentred(scrambled(7), 2), 1e-3), (recentred(motion(1), 2), 1e-3)],
)
def test_any_camera_keeps_the_mean_of_what_is_known(kernel: Kernel, allowed: float) -> None:
    """The sum over the known is the image's even where filters reach across its border.

    As nearly as the camera sees all HR pixels alike: a Gaussian does, others to a hundredth.
    """
    lr, camera = binary(5, 2), Degradation((kernel,), 2)
    known = torch.rand(2, 48, 60, generator=Generator().manual_seed(1)) > 0.2
    domain = Domain(known, -torch.inf, torch.inf)
    filled = fill(lr, known)
    sr = back_project(upscale(filled, 2), filled, camera, 10, domain)
    expected = float(lr[known].mean())
    before, after = (
        abs(float(part[nearest(known, 2)].mean()) - expected) for part in (sr, conserve(sr, filled, camera, domain))
    )
    assert after < allowed
    assert after < 0.5 * before
