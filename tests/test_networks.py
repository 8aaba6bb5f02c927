"""The networks before any training: bicubic exactly, weights from the seed alone, no further reach than promised."""

import pytest
import torch
from torch import Tensor, nn

from sr_ops.image.resample import upscale
from sr_ops.networks.residual_network import ResidualNetwork, fastest_dtype
from sr_ops.settings import Network

from .cameras import CPU, FROM_SCRATCH, enlarged_by, first_stage, network_at_start
from .pictures import noise
from .weights import weights_of

names = pytest.mark.parametrize("name", FROM_SCRATCH)


def network(
    name: Network, bands: int = 1, width: int = 8, depth: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32
) -> ResidualNetwork:
    return network_at_start(name, bands, width, depth, seed, dtype=dtype)


def enlarged(built: ResidualNetwork, images: Tensor) -> Tensor:
    """By 2, from bicubic."""
    return enlarged_by(built, images, first_stage())


def convolutions(built: ResidualNetwork) -> list[nn.Conv2d]:
    return [layer for layer in built.modules() if isinstance(layer, nn.Conv2d)]


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 3, 7, 10), (1, 4, 5, 5)])
def test_untrained_is_bicubic(name: Network, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """An untrained network returns the bicubic x2 enlargement bit for bit, in float32 whatever it computes in."""
    image = noise(*shape)
    made = enlarged(network(name, bands=shape[1], dtype=dtype), image)
    assert made.dtype == torch.float32
    assert torch.equal(made, upscale(image, 2))


@names
def test_the_seed_decides_the_weights(name: Network) -> None:
    """Equal seeds give equal weights, other seeds others."""
    assert torch.equal(weights_of(network(name, seed=5)), weights_of(network(name, seed=5)))
    assert not torch.equal(weights_of(network(name, seed=5)), weights_of(network(name, seed=6)))


@names
def test_global_random_state_is_neither_read_nor_moved(name: Network) -> None:
    """The weights do not depend on torch's global random state, which is afterwards what it was."""
    weights = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            weights.append(weights_of(network(name)))
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (Network.ZSSR, (3 * 9 + 1) * 64 + 6 * (64 * 9 + 1) * 64 + (64 * 9 + 1) * 3),
        (Network.SUBPIXEL, (3 * 9 + 1) * 64 + 6 * (64 * 9 + 1) * 64 + (64 * 9 + 1) * 12),
    ],
)
def test_number_of_parameters_by_hand(name: Network, parameters: int) -> None:
    """8 layers of 64 channels for 3 bands, 3 x 3 weights and a bias each: 225,091 in the paper's network."""
    built = network(name, bands=3, width=64, depth=8)
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters
    assert len(convolutions(built)) == 8


@names
@pytest.mark.parametrize("depth", [2, 3, 6])
def test_depth_counts_the_convolutions(name: Network, depth: int) -> None:
    """`depth` is the number of convolutions, two at least."""
    assert len(convolutions(network(name, depth=depth))) == depth


@torch.no_grad()
def handing_on(built: ResidualNetwork) -> ResidualNetwork:
    """The same with weights that hand the middle pixel of the first band on to the last layer, and nothing else."""
    for layer in convolutions(built):
        layer.weight.zero_()[0, 0, 1, 1] = 1
    return built


@torch.inference_mode()
def test_the_papers_network_looks_at_the_bicubic_enlargement() -> None:
    """With weights that hand on the middle pixel, half of the enlargement is added to the enlargement."""
    built = handing_on(network(Network.ZSSR))
    convolutions(built)[-1].weight[0, 0, 1, 1] = 0.5
    image = 0.2 + 0.6 * noise(2, 1, 9, 12)
    torch.testing.assert_close(enlarged(built, image), 1.5 * upscale(image, 2), rtol=0, atol=1e-6)


@torch.inference_mode()
def test_the_default_network_makes_four_pixels_of_one() -> None:
    """A pixel handed on once, twice, ... is added to its four, row by row, less what the hidden layers take from it."""
    built = handing_on(network(Network.SUBPIXEL, depth=4))
    for layer in convolutions(built)[1:-1]:
        layer.weight[0, 0, 1, 1] = -0.5
    convolutions(built)[-1].weight[:, 0, 1, 1] = 4 * torch.tensor([1.0, 2, 3, 4])
    image = noise(2, 1, 9, 12)
    residual = enlarged(built, image) - upscale(image, 2)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        expected = (1 + 2 * row + column) * image
        torch.testing.assert_close(residual[..., row::2, column::2], expected, rtol=0, atol=1e-5)


@names
@pytest.mark.parametrize("depth", [2, 5])
@torch.inference_mode()
def test_a_pixel_reaches_no_further_than_the_depth(name: Network, depth: int) -> None:
    """A change of one pixel stays within `depth` LR pixels and bicubic's 2, which is what tiles count on."""
    built = network(name, depth=depth).double()
    nn.init.constant_(convolutions(built)[-1].weight, 0.1)
    image = noise(1, 1, 21, 21).double()
    changed = image.clone()
    changed[0, 0, 10, 10] += 1
    change = (enlarged(built, changed) - enlarged(built, image)).abs()[0, 0]
    assert float(change.max()) > 0
    reach = depth + 2
    near = slice(2 * (10 - reach), 2 * (11 + reach))
    change[near, near] = 0
    assert float(change.max()) == 0


def lively(built: ResidualNetwork) -> ResidualNetwork:
    """The same with a last layer that lets all of it show."""
    nn.init.normal_(convolutions(built)[-1].weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return built


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bands", [2, 4])
@torch.inference_mode()
def test_a_network_of_one_band_treats_each_band_on_its_own(name: Network, dtype: torch.dtype, bands: int) -> None:
    """What it makes of an image of several bands is what it makes of each band alone."""
    built = lively(network(name, dtype=dtype))
    images = noise(3, bands, 9, 12)
    made = enlarged(built, images)
    assert made.shape == (3, bands, 18, 24)
    assert made.dtype == torch.float32
    assert float((made - upscale(images, 2)).abs().max()) > 0.05
    for band in range(bands):
        torch.testing.assert_close(made[:, [band]], enlarged(built, images[:, [band]]), rtol=0, atol=1e-6)


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_one_band_of_many_untrained_is_bicubic(name: Network, dtype: torch.dtype) -> None:
    """Bit for bit, as it is of one."""
    image = noise(2, 4, 8, 7)
    assert torch.equal(enlarged(network(name, dtype=dtype), image), upscale(image, 2))


@names
def test_a_network_of_one_band_learns_from_all_bands(name: Network) -> None:
    """Its gradient for an image of three bands is the mean of the gradients for each band alone."""
    images, truth = noise(2, 3, 9, 12), noise(2, 3, 18, 24)

    def gradient(bands: list[int]) -> Tensor:
        built = lively(network(name))
        (enlarged(built, images[:, bands]) - truth[:, bands]).square().mean().backward()
        return torch.cat([parameter.grad.flatten() for parameter in built.parameters() if parameter.grad is not None])

    together = gradient([0, 1, 2])
    assert float(together.abs().max()) > 1e-3
    torch.testing.assert_close(together, sum(gradient([band]) for band in range(3)) / 3, rtol=1e-4, atol=1e-6)


@names
@torch.inference_mode()
def test_a_network_of_many_bands_mixes_them(name: Network) -> None:
    """Every band of its answer depends on every band of the image: only a network of one band keeps them apart."""
    built = lively(network(name, bands=3))
    image = noise(1, 3, 9, 12)
    for band in range(3):
        changed = image.clone()
        changed[:, band] = 1 - changed[:, band]
        residuals = [enlarged(built, each) - upscale(each, 2) for each in (image, changed)]
        assert bool(((residuals[0] - residuals[1]).abs().amax((0, 2, 3)) > 1e-3).all())


@names
@torch.inference_mode()
def test_hidden_layers_pass_the_signal_on(name: Network) -> None:
    """At 8 layers the last one still gets a signal about as strong as the first one gives, so that it can learn."""
    built = network(name, width=64, depth=8)
    strengths: list[float] = []
    for layer in convolutions(built):
        layer.register_forward_hook(lambda _layer, inputs, _output: strengths.append(float(inputs[0].std())))
    enlarged(built, noise(1, 1, 24, 24))
    assert len(strengths) == 8
    assert 0.3 < strengths[-1] / strengths[1] < 3


@names
def test_the_first_step_can_leave_bicubic(name: Network) -> None:
    """The zeros of the last layer get a gradient."""
    built = network(name)
    (enlarged(built, noise(1, 1, 8, 8)) - noise(1, 1, 16, 16)).abs().mean().backward()
    gradient = convolutions(built)[-1].weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_only_where_a_processor_multiplies_it(
    capabilities: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU without native bfloat16 keeps float32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fastest_dtype(CPU) == dtype
