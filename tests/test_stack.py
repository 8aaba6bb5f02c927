"""Many fits at once give what each of them gives alone."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from jobs.sample_pictures import photograph, satellite_view
from sr_ops.enlarging.stages import Stage
from sr_ops.image.resample import downscale, upscale
from sr_ops.learning import stack
from sr_ops.learning.fit import fit
from sr_ops.learning.pairs import Lesson, Pair
from sr_ops.learning.stack import fit_stack
from sr_ops.networks.residual_network import ResidualNetwork, fastest_dtype
from sr_ops.settings import BodyKind, FitSettings, Loss, Network

from .cameras import CPU, FROM_SCRATCH, blur, enlarged_by, first_stage, lesson_of, network_at_start, untold
from .pictures import noise
from .weights import weights_of

SHORT = FitSettings(steps=12, crop=24, batch=2, learning_rate=1e-3)

STAGE = first_stage()

TOLERANCE = 2e-5
"""Of the range, and of the losses' size: 20 times what was seen after `SHORT`, a tenth of what one wrong draw does."""


def some_networks(
    count: int,
    name: Network = Network.SUBPIXEL,
    bands: int = 3,
    dtype: torch.dtype = torch.float32,
    ratio: int = 2,
    body: BodyKind = BodyKind.ADDITIVE,
) -> list[ResidualNetwork]:
    """Each with weights of its own; the same on every call."""
    return [network_at_start(name, bands, 16, 4, seed, ratio, dtype, body) for seed in range(count)]


def some_lessons(stage: Stage = STAGE) -> list[Lesson]:
    """Those of noise, of noise of another size with pixels held out, and of a picture with hard edges."""
    held_out = (noise(1, 41, 52, seed=1) > 0.03).float()
    return [
        lesson_of(noise(3, 48, 60), None, stage),
        lesson_of(noise(3, 41, 52, seed=2), held_out, stage),
        lesson_of(noise(3, 48, 60, seed=3).round(), None, stage),
    ]


@torch.inference_mode()
def assert_alike(networks: Sequence[ResidualNetwork], others: Sequence[ResidualNetwork], stage: Stage = STAGE) -> None:
    """Each pair of networks enlarges a picture alike."""
    picture = noise(1, 3, 20, 20, seed=9)
    for network, other in zip(networks, others, strict=True):
        made, expected = (enlarged_by(each, picture, stage) for each in (network, other))
        torch.testing.assert_close(made, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", FROM_SCRATCH)
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stack_learns_what_each_learns_alone(name: Network, bands: int, count: int) -> None:
    """Networks, losses and mode after a stack are those of single fits, for gray networks on colour too."""
    lessons = some_lessons()[:count]
    alone, together = some_networks(count, name, bands), some_networks(count, name, bands)
    expected = [fit(network, lesson, SHORT, 7) for network, lesson in zip(alone, lessons, strict=True)]
    assert fit_stack(together, lessons, SHORT, 7) == pytest.approx(expected, rel=TOLERANCE)
    assert_alike(together, alone)
    assert not any(network.training for network in together)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stack_of_direct_networks_learns_what_each_learns_alone(scale: int, bands: int, count: int) -> None:
    """Their bases are seen and added to as they are alone, and each image is told its own noise, band by band."""
    stage = first_stage(Network.DIRECT, blur(1.2, scale, 0.02))
    lessons = []
    for index, lesson in enumerate(some_lessons(stage)[:count]):
        told = torch.tensor([[0.1, 0.4], [0.3, 0.2], [0.9, 0.0]]) * (index + 1)
        lessons.append(replace(lesson, told=told))
    alone, together = (some_networks(count, Network.DIRECT, bands, ratio=scale) for _ in range(2))
    expected = [fit(network, lesson, SHORT, 7) for network, lesson in zip(alone, lessons, strict=True)]
    assert fit_stack(together, lessons, SHORT, 7) == pytest.approx(expected, rel=TOLERANCE)
    assert_alike(together, alone, stage)
    before = some_networks(count, Network.DIRECT, bands, ratio=scale)
    moved = [float((weights_of(one) - weights_of(other)).abs().max()) for one, other in zip(alone, before, strict=True)]
    assert min(moved) > 1e-3


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("body", [kind for kind in BodyKind if kind is not BodyKind.ADDITIVE])
def test_networks_with_attention_stack(body: BodyKind, bands: int) -> None:
    """Each one's gates look at its own channels alone, and learn."""
    stage = first_stage(Network.DIRECT, blur(1.2, 2, 0.02))
    lessons = some_lessons(stage)
    alone, together = (some_networks(3, Network.DIRECT, bands, body=body) for _ in range(2))
    expected = [fit(network, lesson, SHORT, 7) for network, lesson in zip(alone, lessons, strict=True)]
    assert fit_stack(together, lessons, SHORT, 7) == pytest.approx(expected, rel=TOLERANCE)
    assert_alike(together, alone, stage)
    gates = [tensor for name, tensor in alone[0].state_dict().items() if name.endswith("gate.weight")]
    assert min(float(gate.abs().max()) for gate in gates) > 1e-4


@pytest.mark.parametrize("bands", [1, 3])
def test_a_stack_of_single_crops(bands: int) -> None:
    """It learns from one crop a step what each learns alone, though its bands are enlarged one by one."""
    lessons, single = some_lessons()[:2], replace(SHORT, batch=1)
    alone, together = some_networks(2, bands=bands), some_networks(2, bands=bands)
    expected = [fit(network, lesson, single, 7) for network, lesson in zip(alone, lessons, strict=True)]
    assert fit_stack(together, lessons, single, 7) == pytest.approx(expected, rel=TOLERANCE)
    assert_alike(together, alone)


@pytest.mark.skipif(fastest_dtype(CPU) != torch.bfloat16, reason="this processor does not multiply bfloat16")
def test_bfloat16_costs_no_quality() -> None:
    """With convolutions in bfloat16, which shows in the weights, PSNR is within 0.05 dB of that of single fits."""
    scenes = [torch.from_numpy(draw(96)).permute(2, 0, 1) / 255 for draw in (satellite_view, photograph)]
    sons = [downscale(scene, 2) for scene in scenes]
    lessons = [lesson_of(son) for son in sons]
    alone, together = some_networks(2, dtype=torch.bfloat16), some_networks(2, dtype=torch.bfloat16)
    for network, lesson in zip(alone, lessons, strict=True):
        fit(network, lesson, SHORT, 0)
    fit_stack(together, lessons, SHORT, 0)
    for scene, son, *networks in zip(scenes, sons, alone, together, strict=True):
        with torch.inference_mode():
            errors = [(enlarged_by(network, son[None], STAGE)[0] - scene).square().mean() for network in networks]
        assert abs(10 * torch.log10(errors[0] / errors[1])) < 0.05
    exact = some_networks(2)
    fit_stack(exact, lessons, SHORT, 0)
    assert not torch.equal(weights_of(exact[0]), weights_of(together[0]))


def test_neighbours_do_not_matter() -> None:
    """A network learns the same among other images, at another place and in a stack of another size."""
    image, *neighbours = some_lessons()
    learned = []
    for lessons, place in (([image, *neighbours], 0), ([neighbours[1], image], 1), (3 * [image], 2)):
        networks = some_networks(len(lessons))
        networks[place].load_state_dict(some_networks(1)[0].state_dict())
        fit_stack(networks, lessons, SHORT, 0)
        learned.append(networks[place])
    assert_alike(learned[1:], 2 * learned[:1])


def test_the_same_again() -> None:
    """Equal arguments give equal weights, bit for bit, and another seed gives others."""
    learned = []
    for seed in (0, 0, 1):
        networks = some_networks(2)
        fit_stack(networks, some_lessons()[:2], SHORT, seed)
        learned.append(torch.stack([weights_of(network) for network in networks]))
    assert torch.equal(learned[0], learned[1])
    assert not torch.equal(learned[0], learned[2])


def test_held_out_pixels_teach_nothing() -> None:
    """Where a father is held out its values may be anything, and where nothing is left a network stays as it was."""
    son = noise(3, 16, 16)
    taught = torch.ones(1, 32, 32)
    taught[:, 8:20, 4:12] = 0
    fathers = [torch.where(taught > 0, noise(3, 32, 32), noise(3, 32, 32, seed=seed)) for seed in (1, 2)]
    base, told = upscale(son, 2), untold(3)
    lessons = [Lesson((Pair(father, son, base, 1.0, taught),), told) for father in fathers]
    blank = Lesson((Pair(fathers[0], son, base, 1.0, torch.zeros(1, 32, 32)),), told)
    networks = [some_networks(1)[0] for _ in range(3)]
    before = weights_of(networks[2])
    losses = fit_stack(networks, [*lessons, blank], SHORT, 0)
    assert torch.equal(weights_of(networks[0]), weights_of(networks[1]))
    assert torch.equal(weights_of(networks[2]), before)
    assert losses[0] == losses[1] > 0 == losses[2]


def test_no_step_changes_nothing() -> None:
    """Without a step the losses are nan and the weights what they were."""
    networks = some_networks(2)
    assert all(isnan(loss) for loss in fit_stack(networks, some_lessons()[:2], FitSettings(steps=0, crop=24), 0))
    assert all(torch.equal(weights_of(n), weights_of(o)) for n, o in zip(networks, some_networks(2), strict=True))


@pytest.mark.parametrize(
    ("shape", "told"), [((3, 30, 30), r"\(3, 9, 9\), \(3, 12, 12\)"), ((1, 48, 48), r"\(1, 12, 12\)")]
)
def test_other_crops_are_refused(shape: tuple[int, ...], told: str) -> None:
    """Images that give smaller crops or have fewer bands are no stack: the message names the shapes, all stay as is."""
    networks = some_networks(2, bands=1)
    with pytest.raises(ValueError, match=told):
        fit_stack(networks, [some_lessons()[0], lesson_of(noise(*shape))], SHORT, 0)
    assert all(
        torch.equal(weights_of(n), weights_of(o)) for n, o in zip(networks, some_networks(2, bands=1), strict=True)
    )


def test_every_step_reads_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and crops stay where they are from step to step, or a CUDA graph would replay an old step."""
    seen = []
    backward = stack._backward

    def watched(network: ResidualNetwork, crops: stack.StackedCrops, loss: Loss) -> Tensor:
        seen.append(tuple(tensor.data_ptr() for tensor in (*network.parameters(), *crops)))
        return backward(network, crops, loss)

    monkeypatch.setattr(stack, "_backward", watched)
    fit_stack(some_networks(2), some_lessons()[:2], SHORT, 0)
    assert len(seen) == SHORT.steps
    assert len(set(seen)) == 1


def test_a_step_never_waits_for_what_it_computes() -> None:
    """With tensors that have shapes but no values a step runs through: a CUDA graph can hold it."""
    mode, together = FakeTensorMode(), stack._stacked(some_networks(2))
    with FakeCopyMode(mode):
        together = copy.deepcopy(together)
    with mode:
        sides = {"seen": 8, "bases": 16, "fathers": 16}
        crops = {name: torch.empty(4, 6, side, side) for name, side in sides.items()}
        losses = stack._backward(together, stack.StackedCrops(**crops, taught=torch.empty(4, 2, 16, 16)), Loss.L1)
    assert losses.shape == (2,)
    assert all(parameter.grad is not None for parameter in together.parameters())
