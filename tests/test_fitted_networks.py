"""What every network fitted from scratch holds: whatever file of `sr_ops/networks/fitted/` it is, it is tested here."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model, as_later_stage, build_network, degradation_of, no_phase
from sr_ops.enlarging.stages import halo
from sr_ops.image.resample import upscale
from sr_ops.learning.fit import fit
from sr_ops.learning.learn import fit_stages, fit_stages_together
from sr_ops.learning.observation import Observation
from sr_ops.learning.stack import fit_stack
from sr_ops.networks.layers import convolution
from sr_ops.networks.residual_network import FittedNetwork, NetworkAtLrSize, ResidualNetwork
from sr_ops.registry import NETWORKS, network_class
from sr_ops.settings import FitSettings, Method, Network, Normalisation, Settings

from .cameras import CPU, enlarged_by, first_stage, lesson_of
from .pictures import noise, star
from .tiled import enlarged_in_tiles
from .weights import weights_of

GREY_LEVEL = 1 / 255
SHORT = FitSettings(steps=8, crop=24, batch=2, learning_rate=1e-3)

OPTIONS = {
    "superresnet": (
        {"normalisation": Normalisation.BATCH},
        {"normalisation": Normalisation.LAYER},
        {"dropout": 0.5, "normalisation": Normalisation.BATCH},
    )
}
"""Of the networks that have some, beside none."""

KINDS = [(name, options) for name in NETWORKS for options in ({}, *OPTIONS.get(name, ()))]

every_kind = pytest.mark.parametrize(
    "settings",
    [Settings(scale=2, method=Method.ZSSR, network=name, width=8, depth=5, fit=SHORT, **o) for name, o in KINDS],
    ids=[f"{name} {' '.join(map(str, o.values()))}".strip() for name, o in KINDS],
)
depths = pytest.mark.parametrize("depth", [2, 3, 4, 5, 8])


def built(settings: Settings, bands: int = 3, dtype: torch.dtype = torch.float32) -> ResidualNetwork:
    network = build_network(bands, 2, settings, CPU)
    network.autocast_dtype = dtype
    return network


def state(network: ResidualNetwork) -> Tensor:
    """All that decides what it makes: its statistics, too."""
    return torch.cat([tensor.flatten().double() for tensor in network.state_dict().values()])


@torch.no_grad()
def lively(network: ResidualNetwork, std: float = 0.05) -> ResidualNetwork:
    """The same with last layers, and statistics, that let all of it show."""
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not bool(layer.weight.any()):
            layer.weight.normal_(std=std, generator=generator)
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_it_tells_what_it_is(name: str) -> None:
    """One line for people, where it was published, and options that settings have."""
    kind = network_class(name)
    assert issubclass(kind, FittedNetwork)
    assert kind.line.endswith(".")
    assert "\n" not in kind.line
    assert any(figure.isdigit() for figure in kind.source)
    assert all(hasattr(Settings(), option) for option in kind.options)


@every_kind
@depths
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_untrained_is_bicubic(settings: Settings, depth: int, dtype: torch.dtype) -> None:
    """Bit for bit, at any depth and any number of bands, whether it is being fitted or not."""
    for bands in (1, 3, 5):
        network = built(replace(settings, depth=depth), bands, dtype)
        image = noise(2, bands, 11, 8)
        assert torch.equal(enlarged_by(network.eval(), image, first_stage()), upscale(image, 2))


def test_a_layer_that_nothing_initialises_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights would be what lay in memory."""

    class Unknown(NetworkAtLrSize):
        def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:  # noqa: ARG002
            return [convolution(bands, width), nn.LayerNorm([width, 8, 8]), convolution(width, bands)]

    monkeypatch.setattr("sr_ops.enlarging.model.network_class", lambda _: Unknown)
    with pytest.raises(TypeError, match="nothing initialises a LayerNorm; teach `initialise` to"):
        build_network(3, 2, Settings(network=Network.SUBPIXEL), CPU)


@every_kind
def test_the_seed_alone_decides_the_weights(settings: Settings) -> None:
    """Statistics included; torch's global random state is neither read nor moved, and all numbers are finite."""
    states = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            states.append(state(built(settings)))
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*states)
    assert bool(states[0].isfinite().all())
    assert not torch.equal(states[0], state(built(replace(settings, seed=6))))


@every_kind
@depths
@torch.inference_mode()
def test_a_pixel_reaches_as_far_as_it_says(settings: Settings, depth: int) -> None:
    """A change of one pixel stays within `reach` LR pixels, and half of that is not enough."""
    network = lively(built(replace(settings, depth=depth), 1), 1.0).double()
    reach, side = network.reach, 2 * network.reach + 9
    image, middle = 0.2 + 0.6 * noise(1, 1, side, side).double(), side // 2
    change = torch.zeros(2 * side, 2 * side, dtype=torch.float64)
    for added in (0.3, -0.3, 5.0):  # a ReLU may be deaf to one of them
        changed = image.clone()
        changed[..., middle, middle] += added
        made = [enlarged_by(network, each, first_stage()) for each in (image, changed)]
        change += (made[1] - made[0]).abs()[0, 0]

    def beyond(distance: int) -> Tensor:
        near = slice(2 * (middle - distance), 2 * (middle + distance + 1))
        outside = change.clone()
        outside[near, near] = 0
        return outside

    assert float(beyond(reach).max()) == 0
    assert float(beyond(reach // 2 - 1).max()) > 0


@every_kind
@pytest.mark.parametrize("scale", [2, 3])
def test_tiles_equal_the_whole(settings: Settings, scale: int) -> None:
    """Put together from tiles with the halo that settings ask for, the result is that of the whole."""
    settings = replace(settings, scale=scale, ensemble=False)
    networks = [lively(built(settings)) for _ in settings.stage_scales]
    model = Model(
        Method.ZSSR, degradation_of(settings), (*networks[:1], *(as_later_stage(each) for each in networks[1:]))
    )
    image = noise(3, 60, 190)
    whole = enlarge(image, model, settings)
    assert float((whole - upscale(image, scale)).abs().mean()) > GREY_LEVEL
    tiled = enlarged_in_tiles(image, model, replace(settings, tile_size=48), halo(settings, model.degradation))
    assert float((tiled - whole).abs().max()) < 2e-3 * GREY_LEVEL


@every_kind
def test_a_fit_learns_and_is_the_same_again(settings: Settings) -> None:
    """The loss falls below that of bicubic, and equal arguments give equal weights and statistics, bit for bit."""
    lesson, fits = lesson_of(star(48)), []
    longer = replace(SHORT, steps=60, learning_rate=3e-3)
    for _ in range(2):
        network = built(settings, 1)
        with torch.random.fork_rng():
            torch.manual_seed(len(fits))
            fit(network, lesson, longer, 0)
        fits.append(network)
    assert torch.equal(*(state(network) for network in fits))
    assert not any(network.training for network in fits)
    with torch.inference_mode():
        made = enlarged_by(fits[0], lesson.pairs[0].son[None], first_stage())
    father = lesson.pairs[0].father
    assert float((made - father).abs().mean()) < float((lesson.pairs[0].base - father).abs().mean())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_stack_learns_what_each_learns_alone_or_says_that_it_cannot(name: str) -> None:
    """A network that says it can be stacked can; of another a stack says that it is none."""
    settings = Settings(network=name, width=16, depth=4)
    lessons = [lesson_of(noise(3, 48, 60, seed=seed)) for seed in range(2)]
    alone, together = ([built(replace(settings, seed=seed)) for seed in range(2)] for _ in range(2))
    if not network_class(name).stackable:
        with pytest.raises(ValueError, match="one by one"):
            fit_stack(together, lessons, SHORT, 0)
        return
    for network, lesson in zip(alone, lessons, strict=True):
        fit(network, lesson, SHORT, 0)
    fit_stack(together, lessons, SHORT, 0)
    picture = noise(1, 3, 20, 20, seed=9)
    for network, other in zip(alone, together, strict=True):
        with torch.inference_mode():
            made = [enlarged_by(each, picture, first_stage()) for each in (network, other)]
        torch.testing.assert_close(*made, rtol=0, atol=2e-5)


@every_kind
@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_images_together_are_as_each_alone(settings: Settings, adversarial: float) -> None:
    """Whatever cannot be stacked is fitted one by one, bit for bit as alone; what can, to rounding."""
    settings = replace(settings, fit=replace(SHORT, adversarial=adversarial), stack=2, noise="0")
    images = [Observation(noise(3, 40, 40, seed=seed), degradation_of(settings)) for seed in range(2)]
    together = fit_stages_together(images, settings, None, [no_phase] * 2)
    for image, fitted in zip(images, together, strict=True):
        alone = fit_stages(image, settings, None)
        (one,), (other,) = alone.model.networks, fitted.model.networks
        if network_class(settings.network).stackable and not adversarial:
            torch.testing.assert_close(state(one), state(other), rtol=0, atol=1e-3)
        else:
            assert torch.equal(state(one), state(other))
        assert fitted.final_loss == pytest.approx(alone.final_loss, rel=1e-4)


def test_dropout_is_for_the_fit_alone() -> None:
    """It changes what is learned; a fitted network enlarges with all of its channels, the same every time."""
    lesson, plain = lesson_of(star(48)), Settings(network="superresnet", width=8, depth=4)
    networks = [built(replace(plain, dropout=share), 1) for share in (0.0, 0.5)]
    for network in networks:
        fit(network, lesson, SHORT, 0)
    assert not torch.equal(*map(weights_of, networks))
    image = noise(1, 1, 12, 12)
    with torch.inference_mode():
        assert torch.equal(*(enlarged_by(networks[1], image, first_stage()) for _ in range(2)))


@pytest.mark.parametrize("normalisation", [Normalisation.BATCH, Normalisation.LAYER])
def test_normalisation_makes_the_scale_of_weights_no_matter(normalisation: Normalisation) -> None:
    """What a normalised layer makes does not depend on how large the weights of its convolution are."""
    network = lively(built(Settings(network="superresnet", width=8, depth=4, normalisation=normalisation)))
    image, made = noise(1, 3, 16, 16), []
    for factor in (1.0, 7.0):
        with torch.no_grad():
            (first,) = (layer for name, layer in network.named_modules() if name.endswith("branch.0"))
            first.weight.mul_(factor)
            network.train()
            made.append(enlarged_by(network, image, first_stage()))
    torch.testing.assert_close(*made, rtol=0, atol=2e-3)
    assert float((made[0] - upscale(image, 2)).abs().mean()) > 1e-2
