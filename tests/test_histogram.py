"""Quantiles of what is counted in bins, against NumPy's of the values themselves."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pipeline.codec import from_json, to_json
from sr_ops.measures.histogram import Histogram


def spread(seed: int, size: int, middle: float) -> Tensor:
    """Values over several orders of magnitude."""
    return middle * torch.randn(size, generator=Generator().manual_seed(seed)).mul(1.5).exp()


@pytest.mark.parametrize("middle", [1e-7, 0.003, 1.0, 700.0, 1e9])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 1.0])
def test_quantiles_are_numpys(middle: float, share: float) -> None:
    """To a sixteenth, whatever the unit."""
    values = spread(0, 20_000, middle)
    expected = np.quantile(values.double().numpy(), share)
    assert Histogram.of(values.reshape(2, 100, 100)).quantile(share) == pytest.approx(expected, rel=1 / 16)


def test_parts_add_up_to_the_whole() -> None:
    """However they are cut, and after a journey as JSON: the same counts, so the same quantiles to the last bit."""
    values = torch.cat([spread(1, 1000, 0.01), torch.zeros(50), spread(2, 3000, 4.0)])
    whole = Histogram.of(values)
    for cuts in ([1, 4049], [1000, 50, 3000], [2025, 2025]):
        parts = [from_json(Histogram, to_json(Histogram.of(part))) for part in torch.split(values, cuts)]
        total = sum(parts, Histogram())
        assert total == whole
        assert total.quantile(0.95) == whole.quantile(0.95)


def test_only_known_values_count() -> None:
    values, known = torch.tensor([[1.0, 50.0], [1.0, 1.0]]), torch.tensor([[True, False], [True, True]])
    assert Histogram.of(values, known) == Histogram.of(torch.ones(3))
    assert Histogram.of(values, torch.zeros_like(known)) == Histogram()


def test_of_nothing_and_of_zeros() -> None:
    """No values have no quantile; zeros have 0."""
    assert Histogram().quantile(0.5) is None
    assert Histogram.of(torch.empty(0)).quantile(0.5) is None
    assert Histogram.of(torch.zeros(9)).quantile(0.5) == 0
