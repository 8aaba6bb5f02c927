"""The order in which heads are trained, and what each begins from."""

import pytest
import torch
from torch import Tensor

from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.layers import initialise
from sr_ops.priors.heads import deeper, first_weights, in_order, of_one_band, origin
from sr_ops.priors.prior import HEAD_BANDS, Head, Prior, body_of, largest
from sr_ops.settings import Body, BodyKind

BODY = Body(width=8, depth=3)

ALL = in_order((2, 3, 4), HEAD_BANDS)


def network(bands: int, scale: int) -> DirectNetwork:
    """One whose last layer does something, too."""
    made = DirectNetwork(bands, scale, BODY, torch.float32)
    generator = torch.Generator().manual_seed(scale)
    initialise(made.body, generator)
    with torch.no_grad():
        for parameter in list(made.parameters())[-2:]:
            parameter.normal_(generator=generator)
    return made.eval()


def result(weights: dict[str, Tensor], bands: int, scale: int) -> tuple[Tensor, Tensor]:
    """What a network with these weights makes of a picture, and the base that it was given."""
    made = DirectNetwork(bands, scale, BODY, torch.float32).eval()
    made.load_state_dict(weights)
    generator = torch.Generator().manual_seed(5)
    lr = torch.rand(1, bands, 9, 9, generator=generator)
    base = torch.rand(1, bands, 9 * scale, 9 * scale, generator=generator)
    with torch.no_grad():
        return made(lr, base, torch.rand(1, bands, 2, generator=generator)), base


def test_which_head_an_image_is_enlarged_by() -> None:
    """That for its scale and number of bands where the prior has it, else that for one band."""
    heads: dict[Head, dict[str, Tensor]] = {(2, 1): {}, (3, 1): {}, (3, 3): {}, (4, 1): {}}
    prior = Prior(BODY, heads)
    assert [prior.weights(3, bands, clean=False)[0] for bands in (1, 2, 3, 4, 12)] == [1, 1, 3, 1, 1]
    assert [prior.weights(2, bands, clean=False)[0] for bands in (1, 3, 4)] == [1, 1, 1]


def test_a_clean_image_of_three_bands_has_a_head_of_its_own() -> None:
    """Where the prior has one for its scale; a clean image of other bands, or of another scale, has that for all."""
    heads = {(scale, bands): network(bands, scale).state_dict() for scale in (2, 3) for bands in (1, 3)}
    clean = deeper(heads[2, 3], 5)
    prior = Prior(BODY, heads, {2: clean})
    assert prior.weights(2, 3, clean=True) == (3, clean)
    assert prior.weights(2, 3, clean=False) == (3, heads[2, 3])
    assert prior.weights(3, 3, clean=True) == (3, heads[3, 3])
    assert [prior.weights(2, bands, clean=True) for bands in (1, 4)] == [(1, heads[2, 1])] * 2


def test_the_largest_body_is_that_of_any_head() -> None:
    """In width and in depth, of the kind that all are."""
    heads = {(2, 3): network(3, 2).state_dict()}
    assert Prior(BODY, heads).largest == BODY
    assert Prior(BODY, heads, {2: deeper(heads[2, 3], 5)}).largest == Body(BODY.width, 5)
    wide = Body(12, 2, BodyKind.PIXEL)
    assert largest([Body(8, 3, BodyKind.PIXEL), wide]) == Body(12, 3, BodyKind.PIXEL)


@pytest.mark.parametrize("depth", [3, 4, 9])
@pytest.mark.parametrize("old", [2, 3, 5])
@pytest.mark.parametrize("kind", BodyKind)
def test_a_deeper_head_makes_the_same(kind: BodyKind, old: int, depth: int) -> None:
    """Bit for bit: what is new adds nothing, and learns from the first step on."""
    depth, kind = max(old, depth), BodyKind.ADDITIVE if old == 2 else kind
    shallow = DirectNetwork(3, 2, Body(8, old, kind), torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in shallow.parameters():
            parameter.normal_(std=0.1, generator=generator)
    made = DirectNetwork(3, 2, Body(8, depth, kind), torch.float32)
    made.load_state_dict(deeper(shallow.state_dict(), depth))
    assert body_of(made.state_dict()) == Body(8, depth, kind)
    seen = (
        torch.rand(1, 3, 9, 9, generator=generator),
        torch.rand(1, 3, 18, 18, generator=generator),
        torch.zeros(1, 3, 2),
    )
    assert torch.equal(made(*seen), shallow(*seen))
    for what_learns in ("convolution", ""):  # what a gate multiplies was nothing, before the first step
        made.zero_grad()
        made(*seen).square().sum().backward()
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                assert parameter.grad is not None
                assert what_learns not in name or bool(parameter.grad.any())
                parameter -= 1e-4 * parameter.grad


def test_every_head_begins_from_one_that_is_trained_before() -> None:
    """The largest scale first; three bands before one."""
    assert ALL == ((4, 3), (4, 1), (3, 3), (3, 1), (2, 3), (2, 1))
    assert in_order((2, 4), (1,)) == ((4, 1), (2, 1))
    for number, head in enumerate(ALL):
        begins_from = origin(head, (), ALL)
        assert (begins_from in ALL[:number]) if number else begins_from is None


@pytest.mark.parametrize(
    ("head", "held", "todo", "expected"),
    [
        ((3, 3), ALL, ALL, (3, 3)),
        ((2, 1), (), ALL, (2, 3)),
        ((2, 3), (), ALL, (4, 3)),
        ((2, 1), (), ((4, 1), (2, 1)), (4, 1)),
        ((2, 3), ((2, 1), (3, 1), (4, 1)), ((4, 3), (2, 3)), (4, 3)),
        ((4, 3), ((2, 1), (3, 1), (4, 1)), ((4, 3), (2, 3)), None),
        ((4, 3), ((2, 1), (2, 3), (3, 1), (4, 1)), ((4, 3),), (2, 3)),
    ],
)
def test_what_a_head_begins_from(head: Head, held: tuple[Head, ...], todo: tuple[Head, ...], expected: Head) -> None:
    """Itself where it is held; one band from three of its scale; else from as many bands of another scale."""
    assert origin(head, held, todo) == expected


@pytest.mark.parametrize("scale", [2, 3])
def test_a_head_for_one_band_starts_where_three_equal_bands_end(scale: int) -> None:
    """A grey picture in three bands gives the mean of its bands."""
    three = network(3, scale)
    one = DirectNetwork(1, scale, BODY, torch.float32).eval()
    one.load_state_dict(of_one_band(three.state_dict(), scale, BODY))
    generator = torch.Generator().manual_seed(5)
    lr, base = torch.rand(1, 1, 9, 9, generator=generator), torch.rand(1, 1, 9 * scale, 9 * scale, generator=generator)
    told = torch.rand(1, 1, 2, generator=generator)
    with torch.no_grad():
        equal = (lr.expand(-1, 3, -1, -1), base.expand(-1, 3, -1, -1), told.expand(-1, 3, -1))
        mean = three(*equal).mean(1, keepdim=True)
        torch.testing.assert_close(one(lr, base, told), mean, atol=1e-5, rtol=1e-4)
    begun = first_weights((scale, 1), BODY, (scale, 3), three.state_dict(), seed=0)
    assert all(torch.equal(begun[name], tensor) for name, tensor in one.state_dict().items())


def test_a_fresh_head_gives_the_base() -> None:
    """Bit for bit; its other weights depend on the seed alone."""
    fresh = first_weights((3, 3), BODY, None, {}, seed=7)
    sr, base = result(fresh, 3, 3)
    assert torch.equal(sr, base)
    torch.manual_seed(1)
    again, other = (first_weights((3, 3), BODY, None, {}, seed) for seed in (7, 8))
    assert all(torch.equal(again[name], tensor) for name, tensor in fresh.items())
    assert not torch.equal(other["body.0.weight"], fresh["body.0.weight"])


def test_a_head_for_another_scale_has_the_body() -> None:
    """What lies between the ends, which are fresh: it gives the base at first."""
    four = network(3, 4).state_dict()
    two = first_weights((2, 3), BODY, (4, 3), four, seed=0)
    hidden = "body.1.convolution.weight"
    assert torch.equal(two[hidden], four[hidden])
    assert two["body.0.weight"].shape == (8, 3 * 5 + 2, 3, 3)
    sr, base = result(two | {"body.3.bias": torch.zeros(12)}, 3, 2)
    assert torch.equal(sr, base)
    assert torch.equal(two["body.3.bias"], torch.zeros(12))


def test_a_head_goes_on_from_itself() -> None:
    """With all its weights, which stay as they are where they came from."""
    held = network(1, 4).state_dict()
    before = {name: tensor.clone() for name, tensor in held.items()}
    begun = first_weights((4, 1), BODY, (4, 1), held, seed=0)
    assert begun.keys() == held.keys()
    for tensor in begun.values():
        tensor += 1
    assert all(torch.equal(held[name], tensor) for name, tensor in before.items())
