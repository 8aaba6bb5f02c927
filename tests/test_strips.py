"""A body over an image strip by strip: what it makes of the whole, at every border, whatever its layers look at."""

from collections.abc import Sequence

import pytest
import torch
from torch import Generator, Tensor, nn

from sr_ops.networks.bodies import hidden_layers
from sr_ops.networks.body_shapes import reaches
from sr_ops.networks.layers import convolution, initialise
from sr_ops.networks.strips import Strips, strips_of
from sr_ops.settings import Body, BodyKind

from .cameras import SIZE_CHANGES_NO_BIT
from .pictures import noise

TYPES = (torch.float32, torch.bfloat16)


def body_of(kind: BodyKind, dtype: torch.dtype) -> tuple[nn.Sequential, tuple[int, ...]]:
    """Six layers, gates and biases far from where they begin: what lies beyond a border is seen."""
    made = Body(16, 6, kind)
    body = nn.Sequential(convolution(3, 16), *hidden_layers(made), nn.ReLU(), convolution(16, 3))
    generator = Generator().manual_seed(0)
    initialise(body, generator)
    for parameter in body.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return body.to(dtype).to(memory_format=torch.channels_last), reaches(made)  # type: ignore[call-overload]


def in_strips(body: nn.Sequential, seen: Sequence[int], image: Tensor, rows: int) -> list[Tensor]:
    strips, height, width = Strips(body, seen), *image.shape[-2:]
    places = strips_of(height, width, sum(seen), rows * width)
    return [strips(image[..., place, :], place.stop == height) for place in places]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", BodyKind)
@torch.inference_mode()
def test_strips_are_the_whole(kind: BodyKind, dtype: torch.dtype) -> None:
    """Bit for bit where the processor allows it: many strips, a last one of one row, one alone, several images."""
    body, seen = body_of(kind, dtype)
    reach = sum(seen)
    for height, width, rows in (
        (2 * reach + 61, 21, 9),
        (reach + 8 + 1, 13, 8),
        (reach + 16, 9, 8),
        (5, 7, 8),
        (1, 1, 8),
    ):
        image = noise(2, 3, height, width).to(dtype).contiguous(memory_format=torch.channels_last)
        parts = in_strips(body, seen, image, rows)
        exact = SIZE_CHANGES_NO_BIT and (dtype == torch.bfloat16 or kind is BodyKind.ADDITIVE)
        torch.testing.assert_close(torch.cat(parts, -2), body(image), rtol=0, atol=0 if exact else 1e-4)
        assert len(parts) == 1 + max(0, -(-(height - reach - rows) // rows))


@pytest.mark.parametrize("kind", BodyKind)
@torch.inference_mode()
def test_every_row_of_the_reach_is_needed(kind: BodyKind) -> None:
    """What the test above can see: with a row less in any one layer that looks around, the result is another."""
    body, seen = body_of(kind, torch.float32)
    image = noise(1, 3, 2 * sum(seen) + 30, 21)
    for layer in (0, 2, len(seen) - 1):
        less = [reach - (number == layer) for number, reach in enumerate(seen)]
        assert not torch.allclose(torch.cat(in_strips(body, less, image, 9), -2), body(image), atol=1e-4)


def test_strips_by_hand() -> None:
    """The first ends the reach below what is made of it; those of wide images have eight rows at least."""
    assert list(strips_of(50, 10, 6, 170)) == [slice(0, 23), slice(23, 40), slice(40, 50)]
    assert list(strips_of(23, 10, 6, 170)) == [slice(0, 23)]
    assert list(strips_of(20, 1000, 6, 170)) == [slice(0, 14), slice(14, 20)]
