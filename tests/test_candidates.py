"""The rules by which base, prior and fit compete for an image."""

from math import nan

import pytest
import torch

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import from_spec
from sr_ops.learning.candidates import fit_pays, fit_serves, prior_serves
from sr_ops.learning.damage import CLEAN, Damage

JPEG = Damage(jpeg_steps=torch.full((8, 8), 16.0))


@pytest.mark.parametrize(
    ("kernel", "pays"),
    [("bicubic", False), ("gaussian:2", False), ("gaussian:1.2,2.4,30", False), ("motion:8,20", True)],
)
def test_a_fit_pays_for_kernels_unlike_a_gaussian(kernel: str, pays: bool) -> None:
    """And for no JPEG, whose sons show blocks."""
    camera = Degradation(from_spec(kernel, 2), 2)
    assert fit_pays(camera, CLEAN) is pays
    assert not fit_pays(camera, JPEG)


@pytest.mark.parametrize(
    ("damage", "by_bicubic", "loses"), [(CLEAN, True, 0.5), (CLEAN, False, 1.5), (JPEG, True, 1.5), (JPEG, False, 1.5)]
)
def test_a_prior_serves_until_it_is_clearly_worse(damage: Damage, by_bicubic: bool, loses: float) -> None:
    assert prior_serves(30.01 - loses, 30.0, damage, by_bicubic)
    assert not prior_serves(29.99 - loses, 30.0, damage, by_bicubic)


def test_a_broken_prior_does_not_serve() -> None:
    assert not prior_serves(nan, 30.0, CLEAN, by_bicubic=True)


def test_a_fit_serves_above_the_base_and_not_far_below_the_prior() -> None:
    """Parts held out are blurred twice: a fit that is somewhat below the prior there may be better in truth."""
    assert fit_serves(30.1, 30.0, None)
    assert not fit_serves(30.0, 30.0, None)
    assert fit_serves(31.1, 30.0, 32.0)
    assert not fit_serves(30.9, 30.0, 32.0)
    assert not fit_serves(nan, 30.0, None)
    assert not fit_serves(nan, 30.0, 32.0)
