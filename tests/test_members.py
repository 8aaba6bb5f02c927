"""Members of a direct network's ensemble: turned convolutions against turned images."""

import pytest
import torch
from torch import Tensor

from sr_ops.enlarging.model import network_of
from sr_ops.image.dihedral import ORDER, inverse, transform
from sr_ops.networks.members import mean_and_variance
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.settings import BodyKind, Network, Settings

from .cameras import CPU, random_prior
from .pictures import noise

PRIORS = {kind: random_prior(kind=kind) for kind in BodyKind}


def direct(scale: int, bands: int, kind: BodyKind = BodyKind.ADDITIVE) -> ResidualNetwork:
    """In float32."""
    settings = Settings(network=Network.DIRECT, width=8, depth=4, scale=scale)
    network = network_of(PRIORS[kind].heads[scale, bands], bands, scale, settings, CPU)
    network.autocast_dtype = torch.float32
    return network


def turned_images(network: ResidualNetwork, image: Tensor, base: Tensor, told: Tensor, element: int) -> Tensor:
    """What a member is by its definition."""
    made: Tensor = network(transform(image, element)[None], transform(base, element)[None], told[None])[0]
    return inverse(made, element)


@pytest.mark.parametrize("elements", [*((element,) for element in range(ORDER)), (0, 3, 5), range(ORDER)])
@pytest.mark.parametrize(("scale", "bands", "image_bands"), [(2, 3, 3), (3, 1, 1), (4, 3, 3), (4, 1, 3)])
@torch.inference_mode()
def test_turned_convolutions_are_turned_images(scale: int, bands: int, image_bands: int, elements: list[int]) -> None:
    """Of an image that is not square, with a base that is no enlargement of it and bands that are told differently."""
    network = direct(scale, bands)
    image, base = noise(image_bands, 9, 14), noise(image_bands, 9 * scale, 14 * scale, seed=1)
    told = noise(1, image_bands, 2, seed=2)[0]
    members = torch.stack([turned_images(network, image, base, told, element) for element in elements])
    expected = members.mean(0)
    made, variance = mean_and_variance(network, told, elements)(image, base)
    assert float((expected - base).abs().max()) > 0.01
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
    if len(elements) == 1:
        assert variance is None
    else:
        assert variance is not None
        assert float(variance.max()) > 1e-6
        torch.testing.assert_close(variance, members.var(0), atol=1e-8, rtol=1e-3)


@pytest.mark.parametrize("kind", BodyKind)
@torch.inference_mode()
def test_attention_turns_with_its_image(kind: BodyKind) -> None:
    """So do the gates of every kind of body."""
    network, image, base = direct(2, 3, kind), noise(3, 9, 14), noise(3, 18, 28, seed=1)
    told = torch.zeros(3, 2)
    for element in range(ORDER):
        made, _ = mean_and_variance(network, told, [element])(image, base)
        torch.testing.assert_close(made, turned_images(network, image, base, told, element), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_members_leave_the_network_as_it_was() -> None:
    network = direct(2, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    mean_and_variance(network, torch.zeros(3, 2), range(ORDER))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
