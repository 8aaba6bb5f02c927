"""The shape of a direct network's body, known without torch: its receptive field and its tensors."""

from collections.abc import Mapping

from ..settings import Body, BodyKind

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""

WINDOW = 9
"""Side of the window, in LR pixels, over which channel attention averages."""

SPATIAL_SIDE = 7
"""Side of the convolution of spatial attention, as in CBAM."""

SPATIAL_CHANNELS = 4
"""Channels that spatial attention reads."""

_CHANNELS_TO_ONE = 4
"""Factor by which channel attention squeezes the channels. Its paper has 16, for much wider networks."""

PLANES = 2
"""Inputs of a direct network besides image and base: noise and JPEG loss, each a constant over an image."""

_REACHES = {
    BodyKind.ADDITIVE: 1,
    BodyKind.PIXEL: 1,
    BodyKind.CHANNEL: 1 + WINDOW // 2,
    BodyKind.SPATIAL: 1 + SPATIAL_SIDE // 2,
}
"""Reach of one hidden layer, in LR pixels."""


def squeezed(width: int) -> int:
    """Return the number of channels between the two convolutions of channel attention."""
    return max(1, width // _CHANNELS_TO_ONE)


def reaches(body: Body) -> tuple[int, ...]:
    """Return how many LR pixels away, along each axis, each layer sees: 0 where it does not convolve."""
    return (1, *(_REACHES[body.kind],) * (body.depth - 2), 0, 1)


def reach(body: Body) -> int:
    """Return how many LR pixels away, along each axis, an output pixel depends on; the halo is computed from it."""
    return sum(reaches(body))


def shapes(scale: int, bands: int, body: Body) -> Shapes:
    """Return names and shapes of the weights of a head."""
    first = _convolution("body.0", bands * (1 + scale**2) + PLANES, body.width)
    last = _convolution(f"body.{body.depth}", body.width, bands * scale**2)
    hidden = {
        f"body.{layer}.{name}": shape
        for layer in range(1, body.depth - 1)
        for name, shape in hidden_shapes(body).items()
    }
    return {**first, **hidden, **last}


def body_of(shapes: Shapes) -> Body:
    """Return the body whose `shapes` these are, for a head of any scale and bands.

    Without hidden layers all kinds are equal, and ADDITIVE is returned. Raises ValueError if no kind of body fits.
    """
    width = shapes["body.0.bias"][0]
    depth = max(int(name.split(".")[1]) for name in shapes)
    layer = {name.removeprefix("body.1."): shape for name, shape in shapes.items() if name.startswith("body.1.")}
    for kind in BodyKind:
        if depth == 2 or layer == hidden_shapes(Body(width, depth, kind)):
            return Body(width, depth, kind)
    raise ValueError(f"no body has hidden layers of {', '.join(layer)}")


def hidden_shapes(body: Body) -> Shapes:
    """Return names and shapes of the tensors of one hidden layer, a class of `bodies.LAYERS`."""
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
