"""What fits make small, against the formulas."""

import pytest
import torch

from sr_ops.learning.fit import fit
from sr_ops.learning.loss import loss_of
from sr_ops.learning.stack import fit_stack
from sr_ops.settings import FitSettings, Loss, Network, Settings

from .cameras import lesson_of, network_at_start
from .pictures import star


@pytest.mark.parametrize(
    ("loss", "expected"), [(Loss.L1, [0.0, 0.3, 0.2]), (Loss.L2, [0, 0.09, 0.04]), (Loss.CHARBONNIER, [1e-3, 0.3, 0.2])]
)
def test_of_each_sample(loss: Loss, expected: list[float]) -> None:
    """Either sign counts alike; Charbonnier's is rounded at 0."""
    torch.testing.assert_close(loss_of(loss, torch.tensor([0, 0.3, -0.2])), torch.tensor(expected), rtol=0, atol=3e-6)


@pytest.mark.parametrize("loss", Loss)
def test_a_plain_name_will_do(loss: Loss) -> None:
    """As for methods and networks; another one is refused with the list."""
    difference = torch.tensor([0, 0.3, -0.2])
    assert torch.equal(loss_of(loss.value, difference), loss_of(loss, difference))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"there is no loss 'l3'.*; use one of l1, l2, charbonnier"):
        Settings(fit=FitSettings(loss="l3"))  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", Loss)
def test_a_fit_alone_and_in_a_stack_make_it_small(loss: Loss) -> None:
    """Both by the same loss, which is what they tell."""
    lesson, settings = lesson_of(star(48)), FitSettings(steps=10, crop=24, batch=2, learning_rate=1e-3, loss=loss)
    alone, together = (network_at_start(Network.SUBPIXEL, 1) for _ in range(2))
    told = fit(alone, lesson, settings, 0)
    assert fit_stack([together], [lesson], settings, 0) == pytest.approx([told], rel=1e-5)
    first = float(loss_of(loss, lesson.pairs[0].base - lesson.pairs[0].father).mean())
    assert 0 < told < 2 * first
