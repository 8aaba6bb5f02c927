"""What is known of a direct network's body without torch: how far it sees, and the tensors that it has."""

from collections.abc import Mapping

from .settings import Body, BodyKind

Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors, by name."""

WINDOW = 9
"""Side, in LR pixels, of what channel attention means over."""

SPATIAL_SIDE = 7
"""Of the convolution of spatial attention, as in CBAM."""

SPATIAL_CHANNELS = 4
"""That it looks at."""

_CHANNELS_TO_ONE = 4
"""That channel attention squeezes into one; 16 for the much wider networks of its paper."""

_PLANES = 2
"""Told beside image and base: `direct.PLANES`."""

_REACHES = {
    BodyKind.ADDITIVE: 1,
    BodyKind.PIXEL: 1,
    BodyKind.CHANNEL: 1 + WINDOW // 2,
    BodyKind.SPATIAL: 1 + SPATIAL_SIDE // 2,
}
"""Of a hidden layer."""


def squeezed(width: int) -> int:
    """Channels between the two convolutions of channel attention."""
    return max(1, width // _CHANNELS_TO_ONE)


def reach(body: Body) -> int:
    """How many LR pixels away, along each axis, a network sees from one: what a halo is made of."""
    return 2 + (body.depth - 2) * _REACHES[body.kind]


def shapes(scale: int, bands: int, body: Body) -> Shapes:
    """Names and shapes of a head's weights."""
    first = _convolution("body.0", bands * (1 + scale**2) + _PLANES, body.width)
    last = _convolution(f"body.{body.depth}", body.width, bands * scale**2)
    hidden = {
        f"body.{layer}.{name}": shape
        for layer in range(1, body.depth - 1)
        for name, shape in hidden_shapes(body).items()
    }
    return {**first, **hidden, **last}


def body_of(shapes: Shapes) -> Body:
    """The body whose `shapes` these are, of any head.

    Without a hidden layer all are the same, and additive. Raises ValueError for those of none.
    """
    width = shapes["body.0.bias"][0]
    depth = max(int(name.split(".")[1]) for name in shapes)
    layer = {name.removeprefix("body.1."): shape for name, shape in shapes.items() if name.startswith("body.1.")}
    for kind in BodyKind:
        if depth == 2 or layer == hidden_shapes(Body(width, depth, kind)):
            return Body(width, depth, kind)
    raise ValueError(f"no body has hidden layers of {', '.join(layer)}")


def hidden_shapes(body: Body) -> Shapes:
    """Of the tensors of one hidden layer, a class of `bodies.LAYERS`."""
    width = body.width
    shapes = _convolution("convolution", width, width)
    match body.kind:
        case BodyKind.ADDITIVE:
            return shapes
        case BodyKind.PIXEL:
            return {**shapes, **_convolution("gate", width, width, 1)}
        case BodyKind.CHANNEL:
            few = squeezed(width)
            return {**shapes, **_convolution("squeeze", width, few, 1), **_convolution("gate", few, width, 1)}
        case BodyKind.SPATIAL:
            few, side = SPATIAL_CHANNELS, SPATIAL_SIDE
            return {**shapes, **_convolution("squeeze", width, few, 1), **_convolution("gate", few, 1, side)}


def _convolution(name: str, bands_in: int, bands_out: int, side: int = 3) -> Shapes:
    return {f"{name}.weight": (bands_out, bands_in, side, side), f"{name}.bias": (bands_out,)}
