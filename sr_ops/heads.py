"""The heads of a prior in the order in which they are trained, and the weights that each begins from."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Generator, Tensor

from .body_shapes import hidden_shapes
from .direct import DirectNetwork
from .layers import initialise
from .prior import HEAD_BANDS, Head, Weights, body_of
from .settings import Body


def in_order(scales: Iterable[int], bands: Collection[int]) -> tuple[Head, ...]:
    """The largest scale first, three bands before one: later heads begin from earlier ones."""
    return tuple((scale, count) for scale in sorted(scales, reverse=True) for count in HEAD_BANDS if count in bands)


def origin(head: Head, held: Collection[Head], todo: Sequence[Head]) -> Head | None:
    """The head that one begins from: itself where it is held, else what is likest to it; None for none.

    Args:
        held: heads that there are already.
        todo: heads in training, in their order.
    """
    if head in held:
        return head
    scale, bands = head
    others = [*held, *todo[: todo.index(head)]]
    if bands == 1 and (scale, 3) in others:
        return (scale, 3)
    return next((other for other in others if other[1] == bands), None)


def first_weights(head: Head, body: Body, other: Head | None, weights: Weights, seed: int) -> dict[str, Tensor]:
    """What a head begins with.

    Args:
        other: its `origin`, and `weights` that head's. From none it is fresh and adds nothing to the base; from another
            scale it has the other's body, and the ends of a fresh one.
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
    """A head of more convolutions that makes what this one makes: what is new, spread among the old, adds nothing yet.

    Args:
        depth: at least that of the weights.
    """
    old = body_of(weights)
    hidden, wanted = old.depth - 2, depth - 2
    places = {1 + number * wanted // hidden: 1 + number for number in range(hidden)}
    made = {}
    last = 1
    for place in range(1, depth - 1):
        last = places.get(place, last)
        for name, shape in hidden_shapes(old).items():
            adds = name.startswith("convolution.")  # a gate that looks at nothing, and opens by nothing, would stay so
            nothing = place not in places and (adds or not hidden)
            made[f"body.{place}.{name}"] = torch.zeros(shape) if nothing else weights[f"body.{last}.{name}"].clone()
    for part in ("weight", "bias"):
        made[f"body.0.{part}"] = weights[f"body.0.{part}"].clone()
        made[f"body.{depth}.{part}"] = weights[f"body.{old.depth}.{part}"].clone()
    return made


def of_one_band(weights: Weights, scale: int, body: Body) -> dict[str, Tensor]:
    """Of a head for three bands what makes of one band the mean of what that makes of three equal ones."""
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
