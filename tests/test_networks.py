"""The networks before any training: bicubic exactly, weights from the seed alone, no further reach than promised."""

import pytest
import torch
from torch import Tensor, nn

from sr_ops.networks import ResidualNetwork, build_network, fastest_dtype
from sr_ops.resample import upscale
from sr_ops.settings import Network

CPU = torch.device("cpu")
names = pytest.mark.parametrize("name", list(Network))


def network(
    name: Network, bands: int = 1, width: int = 8, depth: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32
) -> ResidualNetwork:
    return build_network(name, bands, width, depth, seed, CPU, dtype)


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def convolutions(built: ResidualNetwork) -> list[nn.Conv2d]:
    return [layer for layer in built.modules() if isinstance(layer, nn.Conv2d)]


def all_weights(built: ResidualNetwork) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in built.parameters()])


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 3, 7, 10), (1, 4, 5, 5)])
def test_untrained_is_bicubic(name: Network, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """An untrained network returns the bicubic x2 enlargement bit for bit, in float32 whatever it computes in."""
    image = noise(*shape)
    enlarged = network(name, bands=shape[1], dtype=dtype)(image)
    assert enlarged.dtype == torch.float32
    assert torch.equal(enlarged, upscale(image, 2))


@names
def test_the_seed_decides_the_weights(name: Network) -> None:
    """Equal seeds give equal weights, other seeds others."""
    assert torch.equal(all_weights(network(name, seed=5)), all_weights(network(name, seed=5)))
    assert not torch.equal(all_weights(network(name, seed=5)), all_weights(network(name, seed=6)))


@names
def test_global_random_state_is_neither_read_nor_moved(name: Network) -> None:
    """The weights do not depend on torch's global random state, which is afterwards what it was."""
    weights = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            weights.append(all_weights(network(name)))
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
    change = (built(changed) - built(image)).abs()[0, 0]
    assert float(change.max()) > 0
    reach = depth + 2
    near = slice(2 * (10 - reach), 2 * (11 + reach))
    change[near, near] = 0
    assert float(change.max()) == 0


@names
@torch.inference_mode()
def test_hidden_layers_pass_the_signal_on(name: Network) -> None:
    """At 8 layers the last one still gets a signal about as strong as the first one gives, so that it can learn."""
    built = network(name, width=64, depth=8)
    strengths: list[float] = []
    for layer in convolutions(built):
        layer.register_forward_hook(lambda _layer, inputs, _output: strengths.append(float(inputs[0].std())))
    built(noise(1, 1, 24, 24))
    assert len(strengths) == 8
    assert 0.3 < strengths[-1] / strengths[1] < 3


@names
def test_the_first_step_can_leave_bicubic(name: Network) -> None:
    """The zeros of the last layer get a gradient."""
    built = network(name)
    (built(noise(1, 1, 8, 8)) - noise(1, 1, 16, 16)).abs().mean().backward()
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
