"""A prior: weights that fits start from, learned by the task of a fit from many LR images at once. No HR image is used.

It holds a network for three bands where there were such images, and one for a single band, which an image of any
other number of bands uses for each of its bands (`ResidualNetwork`).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from threading import Event

from torch import Tensor

from .fit import fit
from .networks import build_network, fastest_dtype
from .pairs import Pair, octave_pairs
from .settings import FitSettings, Settings

Weights = Mapping[str, Tensor]

Prior = Mapping[int, Weights]
"""Weights by the bands of the network; 1 is always among them."""

RGB_BANDS = 3


def network_bands(prior: Prior, bands: int) -> int:
    """The bands of the network that an image of `bands` bands starts from."""
    return bands if bands in prior else 1


def train_prior(
    images: Sequence[Tensor],
    settings: Settings,
    training: FitSettings,
    start: Prior | None = None,
    after_step: Callable[[int, int], None] | None = None,
) -> dict[int, dict[str, Tensor]]:
    """Joint training on all images: each step draws crops from any of them, as a fit does from one.

    The same arguments, thread count and device class give the same weights bit for bit.

    Args:
        images: (C, H, W) float32 in [0, 1], C = 1 or 3, sides at least `training.crop`; on the device to train on.
        settings: which network, its size and the seed.
        start: a prior to go on from; without one, or for a network it does not hold, the start is bicubic.
        after_step: called with the bands of the network in training and the steps done.
    """
    device = images[0].device

    stopped = Event()

    def go_on(bands: int, steps: int) -> None:
        if stopped.is_set():
            raise _Stopped
        if after_step is not None:
            after_step(bands, steps)

    def train(bands: int, pairs: list[Pair]) -> dict[str, Tensor]:
        network = build_network(
            settings.network, bands, settings.width, settings.depth, settings.seed, device, fastest_dtype(device)
        )
        if start is not None and bands in start:
            network.load_state_dict(start[bands])
        fit(network, pairs, training, settings.seed, partial(go_on, bands))
        return {name: tensor.cpu() for name, tensor in network.state_dict().items()}

    lessons = {bands: _pairs(images, bands, training.crop) for bands in (RGB_BANDS, 1)}
    with ThreadPoolExecutor() as pool:  # torch works outside Python's lock: two networks keep two cores busy
        trained = {bands: pool.submit(train, bands, pairs) for bands, pairs in lessons.items() if pairs}
        try:
            wait(trained.values(), return_when=FIRST_EXCEPTION)
            for future in trained.values():
                if future.done():
                    future.result()  # raises what went wrong, whichever network it was
            return {bands: future.result() for bands, future in trained.items()}
        finally:
            stopped.set()  # when this thread is interrupted, or one training fails, none goes on for an hour


class _Stopped(Exception):  # noqa: N818 - no error: nobody waits for this training any more
    pass


def _pairs(images: Sequence[Tensor], bands: int, crop: int) -> list[Pair]:
    """The pairs of all images, for one band those of every band of theirs; all images have the same odds."""
    pairs: list[Pair] = []
    for image in images:
        if len(image) == bands:
            pairs.extend(octave_pairs(image, crop))
        elif bands == 1:
            for pair in octave_pairs(image, crop):
                weight = pair.weight / len(image)
                pairs.extend(Pair(pair.father[[band]], pair.son[[band]], weight) for band in range(len(image)))
    return pairs
