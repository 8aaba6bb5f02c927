"""The 8 transforms as a group, and the median over them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sr_ops.image.dihedral import ORDER, inverse, median_and_variance, transform
from sr_ops.image.resample import upscale

ELEMENTS = range(ORDER)


def distinct_pixels(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def median(operator: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Of the self-ensemble."""
    return median_and_variance(operator, image)[0]


def smeared_to_the_right(image: Tensor) -> Tensor:
    """An operator that depends on the direction."""
    return image + 2 * image.roll(1, -1)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("shape", [(2, 3, 5), (4, 4), (1, 1, 7)])
def test_inverse_undoes_transform(element: int, shape: tuple[int, ...]) -> None:
    """Every transform is undone by its inverse and the other way round, on images that are not square too."""
    image = distinct_pixels(*shape)
    assert torch.equal(inverse(transform(image, element), element), image)
    assert torch.equal(transform(inverse(image, element), element), image)


def test_the_transforms_are_eight() -> None:
    """No two elements turn an image the same way, and element 0 leaves it as it is."""
    image = distinct_pixels(3, 3)
    assert len({tuple(transform(image, element).flatten().tolist()) for element in ELEMENTS}) == 8
    assert torch.equal(transform(image, 0), image)


def test_two_transforms_in_turn_are_one() -> None:
    """The elements are closed under composition: a group, so an ensemble over them has no preferred direction."""
    image = distinct_pixels(3, 3)
    once = {tuple(transform(image, element).flatten().tolist()) for element in ELEMENTS}
    twice = {
        tuple(transform(transform(image, first), second).flatten().tolist())
        for first in ELEMENTS
        for second in ELEMENTS
    }
    assert twice == once


@pytest.mark.parametrize(
    ("element", "turned"),
    [
        (1, [[3, 6], [2, 5], [1, 4]]),
        (2, [[6, 5, 4], [3, 2, 1]]),
        (4, [[3, 2, 1], [6, 5, 4]]),
        (5, [[6, 3], [5, 2], [4, 1]]),
    ],
)
def test_turned_by_hand(element: int, turned: list[list[int]]) -> None:
    """Quarter turns go against the clock, the flip is left-right and comes last."""
    assert transform(torch.tensor([[1, 2, 3], [4, 5, 6]]), element).tolist() == turned


def test_leading_axes_stay() -> None:
    """Bands are turned one by one, never among each other."""
    image = distinct_pixels(3, 2, 5)
    for element in ELEMENTS:
        bands = torch.stack([transform(band, element) for band in image])
        assert torch.equal(transform(image, element), bands)


@pytest.mark.parametrize("operator", [upscale, lambda image, _scale: image.square()])
def test_ensemble_of_an_operator_without_direction_is_the_operator(operator: Callable[[Tensor, int], Tensor]) -> None:
    """Where the 8 answers agree, the ensemble adds nothing."""
    image = distinct_pixels(2, 5, 7) / 70
    expected = operator(image, 2)
    torch.testing.assert_close(median(lambda turned: operator(turned, 2), image), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("element", ELEMENTS)
def test_ensemble_has_no_direction(element: int) -> None:
    """The ensemble of any operator commutes with all 8 transforms, though the operator does not."""
    image = torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    turned_first = median(smeared_to_the_right, transform(image, element))
    assert torch.equal(turned_first, transform(median(smeared_to_the_right, image), element))
    if element not in (0, 6):  # 6 turns upside down, which the operator does not see
        assert not torch.equal(
            smeared_to_the_right(transform(image, element)), transform(smeared_to_the_right(image), element)
        )


def test_median_of_known_members() -> None:
    """The median of 8 answers is the mean of the 4th and the 5th."""
    answers = iter([10.0, 1.0, 7.0, 3.0, 100.0, 5.0, 2.0, 4.0])
    ensemble = median(lambda turned: torch.full_like(turned, next(answers)), torch.zeros(1, 2, 3))
    assert torch.equal(ensemble, torch.full((1, 2, 3), 4.5))


def test_median_of_a_tall_image_is_numpys() -> None:
    """An image higher than one strip gives NumPy's median everywhere."""
    members = torch.rand(8, 2, 300, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    answers = iter([transform(member, element) for element, member in enumerate(members)])
    ensemble = median(lambda _: next(answers), members[0])
    np.testing.assert_allclose(ensemble.numpy(), np.median(members.numpy(), axis=0), rtol=0, atol=1e-15)


def test_twelve_are_the_rotations_plain_and_flipped_either_way() -> None:
    """The median over four rotations, each as it is, flipped left to right, and flipped upside down."""
    image = torch.rand(2, 150, 130, generator=torch.Generator().manual_seed(0))

    def operator(turned: Tensor) -> Tensor:
        return upscale(smeared_to_the_right(turned) + turned.roll(3, -2).square(), 2)

    made = []
    for turns in range(4):
        for axes in ((), (-1,), (-2,)):
            result = operator(torch.rot90(image, turns, (-2, -1)).flip(axes))
            made.append(torch.rot90(result.flip(axes), -turns, (-2, -1)).numpy())
    expected = np.median(np.stack(made), axis=0)
    median_of_twelve, _ = median_and_variance(operator, image, twelve=True)
    np.testing.assert_allclose(median_of_twelve.numpy(), expected, rtol=0, atol=1e-6)


def test_variance_of_a_tall_image_is_numpys() -> None:
    """Of members that differ little from each other and are large themselves."""
    members = 1 + 1e-3 * torch.rand(8, 2, 300, 5, generator=torch.Generator().manual_seed(1))
    answers = iter([transform(member, element) for element, member in enumerate(members)])
    _, variance = median_and_variance(lambda _: next(answers), members[0])
    expected = np.var(members.double().numpy(), axis=0, ddof=1)
    np.testing.assert_allclose(variance.numpy(), expected, rtol=1e-3, atol=1e-12)
