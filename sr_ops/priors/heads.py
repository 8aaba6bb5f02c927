"""The heads of a prior: the order in which they are trained, and their initial weights."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Generator, Tensor

from ..networks.body_shapes import hidden_shapes
from ..networks.direct import DirectNetwork
from ..networks.layers import initialise
from ..settings import Body
from .prior import HEAD_BANDS, Head, Weights, body_of


def in_order(scales: Iterable[int], bands: Collection[int]) -> tuple[Head, ...]:
    """Return the heads in training order: largest scale first, three bands before one. Later start from earlier."""
    return tuple((scale, count) for scale in sorted(scales, reverse=True) for count in HEAD_BANDS if count in bands)


def origin(head: Head, held: Collection[Head], todo: Sequence[Head]) -> Head | None:
    """Return the head whose weights `head` starts from: itself if held, else the most similar one; None if none fits.

    Args:
        held: heads that exist already.
        todo: heads to be trained, in order.
    """
    if head in held:
        return head
    scale, bands = head
    others = [*held, *todo[: todo.index(head)]]
    if bands == 1 and (scale, 3) in others:
        return (scale, 3)
    return next((other for other in others if other[1] == bands), None)


def first_weights(head: Head, body: Body, other: Head | None, weights: Weights, seed: int) -> dict[str, Tensor]:
    """Return the initial weights of a head.

    Args:
        other: its `origin`; `weights` are those of that head. Without one the head is fresh and adds nothing to the
            base. From a head of another scale it takes the body; its first and last layer are fresh.
    """
    scale, bands = head
    network = DirectNetwork(bands, scale, body, torch.float32)
    initialise(network.body, Generator().manual_seed(seed))
    fresh = network.state_dict()
    if other == (scale, 3) and bands == 1:
        return of_one_band(weights, scale, body)
    if other is None:
        return fresh
    return fresh | {name: tensor.clone() for name, tensor in weights.items() if tensor.shape == fresh[name].shape}


def deeper(weights: Weights, depth: int) -> dict[str, Tensor]:
    """Return weights of a head with more convolutions and the same output: the new ones are spread among the old ones.

    Args:
        depth: at least that of `weights`.
    """
    old = body_of(weights)
    hidden, wanted = old.depth - 2, depth - 2
    places = {1 + number * wanted // hidden: 1 + number for number in range(hidden)}
    made = {}
    last = 1
    for place in range(1, depth - 1):
        last = places.get(place, last)
        for name, shape in hidden_shapes(old).items():
            adds = name.startswith("convolution.")  # with zero weights on both sides a gate would never learn
            nothing = place not in places and (adds or not hidden)
            made[f"body.{place}.{name}"] = torch.zeros(shape) if nothing else weights[f"body.{last}.{name}"].clone()
    for part in ("weight", "bias"):
        made[f"body.0.{part}"] = weights[f"body.0.{part}"].clone()
        made[f"body.{depth}.{part}"] = weights[f"body.{old.depth}.{part}"].clone()
    return made


def of_one_band(weights: Weights, scale: int, body: Body) -> dict[str, Tensor]:
    """Return a head for one band whose result is the mean of the three-band head's results for three equal bands."""
    one = {name: tensor.clone() for name, tensor in weights.items()}
    first, last = "body.0.weight", f"body.{body.depth}"
    ends = (3, 3 + 3 * scale**2)
    lr, base, planes = torch.tensor_split(weights[first], ends, dim=1)
    base = base.reshape(len(base), 3, scale**2, 3, 3).sum(1)
    one[first] = torch.cat([lr.sum(1, keepdim=True), base, planes], 1)
    for kind in ("weight", "bias"):
        of_three = weights[f"{last}.{kind}"]
        one[f"{last}.{kind}"] = of_three.reshape(3, scale**2, *of_three.shape[1:]).mean(0)
    return one
