"""Methods that learn from patches of the image itself: what each does with them, and what it is worth."""

import pytest
import torch
from torch import Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import degradation_of
from sr_ops.image.domain import UNIT, Domain
from sr_ops.image.resample import downscale
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.methods.anr import ridge_regression
from sr_ops.methods.patches.anchors import directions
from sr_ops.methods.patches.own_examples import LAID, Examples, examples_of, laid_over, patches_of
from sr_ops.methods.patches.patch_method import steps_of
from sr_ops.methods.selfex import METHOD as SELFEX
from sr_ops.methods.sparse import METHOD as SPARSE
from sr_ops.methods.sparse import codes
from sr_ops.settings import Settings

from .pictures import noise, star

CAMERA = Degradation((bicubic(2),), 2)


def enlarged(lr: Tensor, name: str) -> Tensor:
    settings = Settings(scale=2, method=name, noise="0")
    model = fit_stages(Observation(lr, degradation_of(settings)), settings, None).model
    return enlarge(lr, model, settings)


def examples(count: int) -> Examples:
    """Those of an image of noise."""
    found = examples_of(noise(1, 96, 96), steps_of(CAMERA)[0], UNIT, count, seed=0)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "gain"), [("anr", 1.0), ("selfex", 1.0), ("sparse", 0.5)])
def test_what_recurs_across_scales_is_enlarged_better(name: str, gain: float) -> None:
    """Of rays, which are alike at every scale, by so many dB better than by bicubic that agrees with its input, too."""
    truth = star(128)
    lr = downscale(truth, 2)
    error, plain = (float((enlarged(lr, each) - truth).square().mean()) for each in (name, "bicubic"))
    assert error < plain * 10 ** (-gain / 10)


def test_an_album_gives_back_its_own() -> None:
    """A patch that is in the album lacks what it lacked there, where no other is like it."""
    album = examples(2000)
    learned = SELFEX.learn_from(album, 0)
    assert torch.allclose(SELFEX.residuals(album.shapes[:50], learned), album.residuals[:50], atol=0.02)


def test_a_dictionary_rebuilds_what_it_was_made_of() -> None:
    """Sums of three atoms are told apart into these, and what is coupled to them comes back with them."""
    atoms = directions(torch.linalg.qr(noise(25, 25, seed=3)).Q + 0.25 * (noise(25, 25, seed=6) - 0.5))
    coupled, weights = noise(25, 36, seed=4), 0.2 + noise(40, 3, seed=5)
    used = torch.stack([torch.arange(40) % 25, (torch.arange(40) + 7) % 25, (torch.arange(40) + 11) % 25], 1)
    shapes = torch.einsum("nk,nkd->nd", weights, atoms[used])
    found, amounts = codes(shapes, atoms)
    assert torch.equal(found.sort(1).values, used.sort(1).values)
    assert torch.allclose(torch.einsum("nk,nkd->nd", amounts, atoms[found]), shapes, atol=1e-4)
    made = SPARSE.residuals(shapes, {"atoms": atoms, "residuals": coupled})
    assert torch.allclose(made, torch.einsum("nk,nke->ne", weights, coupled[used]), atol=1e-3)


def test_the_regression_is_the_closed_form() -> None:
    """As least squares have it with the ridge as rows of its own."""
    shapes, residuals = noise(60, 25) - 0.5, noise(60, 36, seed=1) - 0.5
    rows = torch.cat([shapes, 0.1**0.5 * torch.eye(25)]), torch.cat([residuals, torch.zeros(25, 36)])
    expected = torch.linalg.lstsq(*rows).solution
    assert torch.allclose(ridge_regression(shapes, residuals), expected, atol=1e-4)


def test_shapes_are_compared_exactly() -> None:
    """Sums of their products are the same in any order."""
    shapes = patches_of(noise(40, 40)).shapes
    double = shapes.double() @ shapes.double().T
    assert torch.equal((shapes @ shapes.T).double(), double)


def test_patches_that_agree_lie_as_they_are() -> None:
    """Cut out of an image and laid over one another they are that image again."""
    image = noise(24, 30)
    around = torch.nn.functional.pad(image[None, None], (2,) * 4)
    cut = torch.nn.functional.unfold(around, LAID * 2, stride=2)[0].T
    assert torch.allclose(laid_over(cut, 12, 2), image, atol=1e-6)


def test_what_is_not_known_teaches_nothing() -> None:
    """Where half of an image is unknown the examples are the same whatever stands there; where all is, none."""
    image, known = noise(1, 64, 64), torch.ones(1, 64, 64, dtype=torch.bool)
    known[..., 32:] = False
    step, found = steps_of(CAMERA)[0], []
    for level in (0.0, 0.5):
        filled = torch.where(known, image, torch.full_like(image, level))
        some = examples_of(filled, step, Domain(known), 500, seed=0)
        assert some is not None
        found.append(some.shapes)
    assert torch.equal(*found)
    assert examples_of(image, step, Domain(torch.zeros_like(known)), 500, seed=0) is None
