"""Kinds of bodies: where each begins, and that tiles and strips equal the whole whatever it looks at."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.enlarging.enlarge import enlarge_and_compare, enlarge_tiled
from sr_ops.enlarging.model import no_phase
from sr_ops.enlarging.stages import halo
from sr_ops.image.domain import UNIT
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.networks import members
from sr_ops.networks.bodies import LAYERS
from sr_ops.networks.body_shapes import reach
from sr_ops.networks.layers import Addition, initialise
from sr_ops.settings import Body, BodyKind, Method, Network, Settings

from .cameras import SIZE_CHANGES_NO_BIT, matlab, random_prior
from .pictures import noise

ATTENTIVE = [kind for kind in BodyKind if kind is not BodyKind.ADDITIVE]

DIRECT = Settings(scale=2, network=Network.DIRECT, method=Method.PRIOR, width=8, depth=4, ensemble=False)


@pytest.mark.parametrize("kind", ATTENTIVE)
def test_a_gate_is_open_at_first(kind: BodyKind) -> None:
    """A layer begins as the additive one of the same convolution; an open gate stays one wherever its mean lies."""
    gated, plain = LAYERS[kind](8), Addition(8)
    for layer in (gated, plain):
        initialise(torch.nn.Sequential(layer, torch.nn.Conv2d(8, 1, 3)), Generator().manual_seed(1))
    plain.convolution.load_state_dict(gated.convolution.state_dict())
    x = noise(1, 8, 12, 12)
    torch.testing.assert_close(gated(x), plain(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ATTENTIVE)
def test_a_gate_multiplies_what_is_added(kind: BodyKind) -> None:
    """Closed, the layer hands on what it got; wide open it adds twice as much."""
    layer = LAYERS[kind](8)
    x = noise(1, 8, 12, 12)
    added = layer.convolution(torch.relu(x))
    with torch.no_grad():
        for bias, factor in ((-50.0, 0), (50.0, 2)):
            layer.gate.weight.zero_()
            layer.gate.bias.fill_(bias)
            torch.testing.assert_close(layer(x), x + factor * added, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", BodyKind)
def test_strips_equal_the_whole(kind: BodyKind, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit where the processor allows it: each layer keeps of the rows above a strip what it looks at again.

    So does the disagreement of members.
    """
    settings = replace(DIRECT, scale=scale, body=kind, ensemble=True, members=4)
    lr = noise(3, 99, 31)
    fitted = fit_stages(Observation(lr, matlab(scale)), settings, random_prior(kind=kind))
    whole = enlarge_and_compare(lr, fitted.model, settings)
    monkeypatch.setattr(members, "_PIXELS", (9 * 31, 9 * 31))
    in_strips = enlarge_and_compare(lr, fitted.model, settings)
    assert whole[1] is not None
    assert float(whole[1].median()) > 1e-3
    torch.testing.assert_close(in_strips, whole, rtol=0, atol=0 if SIZE_CHANGES_NO_BIT else 1e-6)


@pytest.mark.parametrize("scale", [2, 8])
@pytest.mark.parametrize("kind", BodyKind)
def test_tiles_equal_the_whole(kind: BodyKind, scale: int) -> None:
    """The halo grows with what the body looks at."""
    settings = replace(DIRECT, scale=scale, body=kind, tile_size=20)
    degradation = Degradation((bicubic(scale),), scale)
    margin = halo(settings, degradation)
    lr = noise(3, 8, 2 * margin + 41)  # so that no tile reads the whole
    fitted = fit_stages(Observation(lr, degradation), settings, random_prior(kind=kind))
    tiled = enlarge_tiled(lr, fitted.model, settings, no_phase, UNIT)
    whole = enlarge_tiled(lr, fitted.model, replace(settings, tile_size=512), no_phase, UNIT)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-5)
    grown = reach(settings.direct_body) - 4
    assert margin - halo(replace(settings, body=BodyKind.ADDITIVE), degradation) == (
        grown if scale == 2 else grown + (4 + grown) // 4 - 1
    )


def test_reach_is_that_of_all_layers() -> None:
    """By hand, for six hidden layers: 1 and 1, and 1, 1, 1 + 4, 1 + 3 for each."""
    assert [reach(Body(64, 8, kind)) for kind in BodyKind] == [8, 8, 32, 26]
