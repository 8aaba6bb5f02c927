"""What of a network a fit may change, and what the benchmark of fits makes of pictures."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks import fits
from benchmarks.fit_variants import VARIANTS, Variant, fold, learned
from jobs.sample_pictures import satellite_view
from sr_ops.enlarging.model import degradation_of
from sr_ops.enlarging.stages import stages_of
from sr_ops.learning.fit import fit
from sr_ops.learning.pairs import Lesson, father_son_pyramid
from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.layers import initialise
from sr_ops.priors.prior import Prior
from sr_ops.settings import Body, FitSettings, Preset, preset

BODY = Body(width=8, depth=4)
BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.fixture
def hr() -> Tensor:
    return torch.from_numpy(satellite_view(64)).permute(2, 0, 1).contiguous()


def fresh(bands: int = 3) -> DirectNetwork:
    """One of x2 that does more than its base."""
    network = DirectNetwork(bands, 2, BODY, torch.float32)
    generator = torch.Generator().manual_seed(0)
    initialise(network.body, generator)
    last = list(network.parameters())[-2]
    torch.nn.init.normal_(last, std=0.02, generator=generator)
    return network.eval()


def fitted(variant: Variant, hr: Tensor) -> DirectNetwork:
    """After a few steps; not folded."""
    network = fresh()
    variant.prepare(network)
    settings = replace(preset(Preset.BALANCED, from_prior=True), scale=2)
    (stage,) = stages_of(settings, degradation_of(settings))
    lesson = Lesson(father_son_pyramid(hr / 255, stage), torch.zeros(3, 2))
    fit(network, lesson, FitSettings(steps=5, crop=32, learning_rate=variant.rate), 0)
    return network


def changed(network: DirectNetwork) -> set[str]:
    """The weights of plain convolutions that differ from those of the start."""
    before = fresh().state_dict()
    assert network.state_dict().keys() == before.keys()
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_all_weights_are_learned(hr: Tensor) -> None:
    network = fitted(BY_NAME["all weights"], hr)
    assert changed(network) == set(fresh().state_dict())
    assert learned(network) == sum(value.numel() for value in fresh().state_dict().values())


def test_of_last_layers_two_convolutions_are(hr: Tensor) -> None:
    """The last one before the head, and the head."""
    network = fitted(BY_NAME["last layers"], hr)
    names = {"body.2.convolution", "body.4"}
    assert changed(network) == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    assert learned(network) == (8 * 8 * 9 + 8) + (8 * 12 * 9 + 12)


def test_channel_factors_begin_at_one_and_fold_into_the_weights(hr: Tensor) -> None:
    """At first the network is what it was; folded it is a plain one again that gives what was learned."""
    variant, lr, told = BY_NAME["channel factors"], hr[None, :, ::2, ::2] / 255, torch.zeros(1, 3, 2)
    base = lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
    plain, prepared = fresh(), fresh()
    variant.prepare(prepared)
    assert learned(prepared) == 3 * 8 + 12
    network = fitted(variant, hr)
    with torch.inference_mode():
        assert torch.equal(prepared(lr, base, told), plain(lr, base, told))
        expected = network(lr, base, told)
        assert not torch.allclose(expected, plain(lr, base, told), atol=1e-4)
    fold(network)
    assert changed(network)
    with torch.inference_mode():
        assert torch.allclose(network(lr, base, told), expected, atol=1e-5)


def test_every_way_to_fit_has_a_result_of_every_picture(hr: Tensor) -> None:
    """The same from the same start, whatever was fitted before; a gain is a fit's over the prior."""
    heads = {(2, bands): fresh(bands).state_dict() for bands in (3, 1)}
    images = [fits.Tested(levels, 2, Prior(BODY, heads)) for levels in (hr, hr[:1].contiguous())]
    found = fits.results_of(iter(images), [2])
    assert list(found) == [("", 0), *((variant.name, 2) for variant in VARIANTS)]
    assert all(len(results) == 2 for results in found.values())
    assert all(result.seconds > 0 for key, results in found.items() if key[1] for result in results)
    again = images[1].fitted(VARIANTS[-1], 2)
    assert replace(again, seconds=0.0) == replace(found[VARIANTS[-1].name, 2][1], seconds=0.0)


def test_gains_by_rule_are_of_fits_that_win_on_parts_held_out() -> None:
    """A fit that loses there counts as the prior."""
    before = [fits.Result(30.0, 28.0), fits.Result(32.0, 28.0)]
    after = [fits.Result(30.3, 28.1), fits.Result(31.9, 27.9)]
    assert fits._gain(before, after) == "+0.100; +0.150; 1 of 2"


def test_pictures_are_spread_over_all() -> None:
    pictures = [torch.tensor(float(number)) for number in range(10)]
    assert [int(picture) for picture in fits.spread(pictures, 4)] == [0, 2, 5, 7]
    assert fits.spread(pictures, None) == fits.spread(pictures, 12) == pictures
