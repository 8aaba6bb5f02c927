"""The network that sees the LR image and its base."""

import pytest
import torch
from torch import Tensor

from sr_ops.networks.body_shapes import reach
from sr_ops.networks.direct import DirectNetwork, trust
from sr_ops.networks.layers import initialise
from sr_ops.settings import Body, BodyKind

BODIES = [Body(width=16, depth=4), Body(width=8, depth=3), *(Body(6, 4, kind) for kind in BodyKind)]


def network(body: Body, bands: int, scale: int, seed: int = 0) -> DirectNetwork:
    made = DirectNetwork(bands, scale, body, torch.float32)
    initialise(made.body, torch.Generator().manual_seed(seed))
    return made


def inputs(bands: int, scale: int, side: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    lr = torch.rand(2, bands, side, side, generator=generator)
    base = torch.rand(2, bands, side * scale, side * scale, generator=generator)
    return lr, base, torch.zeros(2, bands, 2)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("body", BODIES)
def test_untrained_it_is_the_base(body: Body, bands: int, scale: int) -> None:
    """Bit for bit: whatever the base is, nothing is lost before anything was learned."""
    lr, base, told = inputs(bands, scale)
    assert torch.equal(network(body, bands, scale)(lr, base, told), base)


@pytest.mark.parametrize("body", BODIES)
def test_every_input_is_heard(body: Body) -> None:
    """LR image, base, noise and JPEG loss: a change of any changes what is added to the base."""
    heard = network(body, 1, 2)
    with torch.no_grad():
        list(heard.parameters())[-2].normal_(generator=torch.Generator().manual_seed(2))
        lr, base, told = inputs(1, 2)
        added = heard(lr, base, told) - base
        assert not torch.equal(heard(lr + 0.1, base, told) - base, added)
        assert not torch.allclose(heard(lr, base + 0.1, told) - base - 0.1, added)
        for plane in range(2):
            other = told.clone()
            other[..., plane] = 0.5
            assert not torch.equal(heard(lr, base, other) - base, added)


def test_what_it_adds_counts_less_the_farther_the_image_is_from_what_it_learned() -> None:
    """All within, nothing far outside, and evenly in between, pixel by pixel."""
    assert trust(torch.tensor([[[0.0, 0.4, 1.5]]])) is None
    share = trust(torch.tensor([[[-9.0, -0.2, -0.1, 0.0, 1.5, 1.75, 2.0, 30.0]]]))
    assert share is not None
    torch.testing.assert_close(share, torch.tensor([[[0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]]]))


def test_what_it_never_learned_from_looks_flat_to_it() -> None:
    """Samples far beyond 0 and 1, as clouds are in numbers of 16 bits: whatever is there, it adds the same."""
    heard = network(BODIES[0], 1, 2)
    with torch.no_grad():
        list(heard.parameters())[-2].normal_(generator=torch.Generator().manual_seed(2))
        lr, base, told = inputs(1, 2)
        lr[..., 8:16, 8:16], base[..., 16:32, 16:32] = 1.6, 1.6
        added = heard(lr, base, told) - base
        lr[..., 8:16, 8:16] += 20 * inputs(1, 2)[0][..., :8, :8]
        base[..., 16:32, 16:32] += 20 * inputs(1, 2)[1][..., :16, :16]
        torch.testing.assert_close(heard(lr, base, told) - base, added, atol=1e-5, rtol=0)


@pytest.mark.parametrize("body", BODIES)
def test_it_reaches_as_far_as_it_says(body: Body) -> None:
    """A change of one LR pixel is felt so many LR pixels away and no farther: what a halo is made of."""
    felt = network(body, 1, 2).double()
    with torch.no_grad():
        for name, parameter in felt.named_parameters():
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
            if name.endswith("squeeze.bias"):
                parameter += 5  # beyond where it cuts off
        lr, base, told = inputs(1, 2, side=41)
        residuals = []
        for change in (0.0, 0.5):
            seen = felt.seen(lr, base, told).double()
            seen[:, 0, 20, 20] += change
            residuals.append(felt.residual(seen))
        moved = (residuals[1] - residuals[0]).abs().amax((0, 1)).nonzero() // 2 - 20
    assert int(moved.abs().max()) == felt.reach == reach(body)


def test_weights_depend_on_the_seed_alone() -> None:
    """Global randomness does not matter."""
    first = network(BODIES[0], 3, 4, seed=7).state_dict()
    torch.manual_seed(99)
    again, other = network(BODIES[0], 3, 4, seed=7).state_dict(), network(BODIES[0], 3, 4, seed=8).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])
