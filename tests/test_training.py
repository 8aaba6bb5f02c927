"""The training of a prior's network: it learns, ends where a schedule says, and goes on as if it had not stopped."""

import pytest
import torch

from sr_ops.camera.kernels import bicubic
from sr_ops.image.resample import upscale
from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.layers import initialise
from sr_ops.priors.album import Album
from sr_ops.priors.drawn_kernels import BANK_SIDE
from sr_ops.priors.draws import Draws, Odds
from sr_ops.priors.training import Schedule, Training
from sr_ops.settings import Body

CPU = torch.device("cpu")


def training(steps: int, depth: int = 3) -> Training:
    picture = (upscale(torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0)), 6).clamp(0, 1) * 255).byte()
    kernel = bicubic(2)
    bank = torch.nn.functional.pad(kernel.taps, ((BANK_SIDE - kernel.side) // 2,) * 4).float()[None]
    network = DirectNetwork(1, 2, Body(width=8, depth=depth), torch.float32)
    initialise(network.body, torch.Generator().manual_seed(0))
    draws = Draws(Album([picture], [1], CPU), bank, 2, 1, 16, Odds(noise=0, jpeg=0))
    return Training(network, draws, Schedule(steps, batch=2, learning_rate=3e-3, warm_up=5))


def test_the_loss_falls() -> None:
    """From that of the base."""
    going = training(60)
    first = going.run(10)
    going.run(50)
    assert going.run(60) < 0.8 * first


def test_it_goes_on_as_if_it_had_not_stopped() -> None:
    """Weights, their average, the optimiser, the draws and the learning rate: all of it, bit for bit."""
    straight, stopped, resumed = training(12), training(12), training(12)
    straight.run(12)
    stopped.run(5)
    resumed.load(stopped.state())
    assert resumed.steps == 5
    resumed.run(12)
    expected = straight.averaged()
    assert all(torch.equal(expected[name], tensor) for name, tensor in resumed.averaged().items())
    one, other = straight.state()["network"], resumed.state()["network"]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_networks_checkpoint_is_refused() -> None:
    """With what to do."""
    with pytest.raises(ValueError, match="another network; start over"):
        training(4).load(training(4, depth=4).state())


def test_the_rate_rises_and_falls() -> None:
    """Over the warm-up, then to a hundredth of its peak."""
    schedule = Schedule(steps=1000, batch=1, learning_rate=1e-3, warm_up=100)
    rates = [schedule.rate(step) for step in range(1000)]
    assert rates[0] < 2e-5
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)
    assert rates[100:] == sorted(rates[100:], reverse=True)


@pytest.mark.parametrize(("steps", "part"), [(5, 1), (10, 1), (40, 4), (1000, 100), (10_000, 1000), (90_000, 1000)])
def test_the_average_follows_slowly(steps: int, part: int) -> None:
    """After one step it has gone a part of the way from the start to the weights: over a tenth of all steps at most."""
    going = training(steps)
    start = {name: tensor.clone() for name, tensor in going.averaged().items()}
    going.run(1)
    now, average = going.state()["network"], going.averaged()
    for name, tensor in start.items():
        torch.testing.assert_close(average[name], tensor + (now[name] - tensor) / part, atol=1e-8, rtol=1e-4)
