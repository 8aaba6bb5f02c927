"""Find a lens out of focus, or a camera that moved, by the zeros of its transfer.

`estimate`'s model is fitted again with a disc, or a line, beside its Gaussian. Where a zero lies within the spectrum no
Gaussian leaves such a ring or such stripes, and scenes have none; where none does (a disc of a radius below 1.2 LR
pixels, a line of 2) nothing tells them apart. Shorter lines than 3 LR pixels were seen in scans of print alone.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from torch import Tensor

from ..camera.blur_shapes import BlurShape, ShapeKind
from .estimate import Estimate, SceneFit
from .spectrum import Spectrum

_BADLY, _WIDE = 0.4, 0.8
"""A shape is looked for where a Gaussian fits worse than this (misfit), or is wider than this (variance, LR pixels
squared): noise fills the zeros of a shape, and a wide Gaussian then fits it well."""

_RADII = tuple(step / 5 for step in range(6, 21))
_LENGTHS = tuple(step / 2 for step in range(6, 15))
"""Sizes to try, in LR pixels: from the smallest with a zero within the spectrum to the largest that a block shows."""

_RANGES = {ShapeKind.DISC: (_RADII[0], _RADII[-1]), ShapeKind.MOTION: (_LENGTHS[0], _LENGTHS[-1])}

_NARROW = 0.4
"""Largest variance, in LR pixels squared, across a Gaussian that stands for a motion."""

_FINER = {
    ShapeKind.DISC: ((0.1, (0.0,)), (0.05, (0.0,))),
    ShapeKind.MOTION: ((0.25, (-10.0, 0.0, 10.0)), (0.1, (-5.0, 0.0, 5.0))),
}
"""Steps of the finer search, which has two rounds: of the size in LR pixels, of the direction in degrees."""

_ROUGH_STEPS, _FINE_STEPS = 5, 12

_PROMISING = 4.0
"""Evidence after the rough search from which the finer one follows."""

ENOUGH = 8.0
"""Evidence from which a shape is certain (docs/decisions.md)."""

_MOST_BESIDE = 0.35
"""Largest variance, in LR pixels squared, of the Gaussian beside a shape: that of bicubic, and a little. With more the
blur is a wide Gaussian."""

_LARGEST_SHARE = 0.6
"""Largest share of the shape's own larger variance that the Gaussian beside it may have."""

_LIKE_A_SCENE = 0.75
"""Largest misfit with a shape."""


@dataclass(frozen=True)
class _Fitted:
    fit: SceneFit
    values: Tensor
    cost: float

    @property
    def shape(self) -> BlurShape:
        assert self.fit.shape is not None
        return self.fit.shape


def with_shape(spectrum: Spectrum, plain: Estimate) -> Estimate:
    """Return an estimate with the shape of the blur if the spectrum shows one for certain, else `plain`.

    Args:
        plain: `estimate` of the spectrum.
    """
    if spectrum.small or (plain.misfit < _BADLY and plain.variances[0] < _WIDE):
        return plain
    gaussian = SceneFit(spectrum)
    start, cost = gaussian.minimised(gaussian.start())
    found = plain
    for shapes in _families(plain):
        best = _best(spectrum, shapes, start, _ROUGH_STEPS)
        if best.cost > cost - _PROMISING:
            continue
        for size, turns in _FINER[best.shape.kind]:
            finer = _best(spectrum, _around(best.shape, size, turns), best.values, _FINE_STEPS)
            best = min(best, finer, key=attrgetter("cost"))
        # Give the Gaussian its best chance: begun from where the shape led, it may settle at a better fit.
        _, led = gaussian.minimised(gaussian.widened(best.values, best.shape.covariance))
        shaped = replace(best.fit.estimate_at(best.values), evidence=min(cost, led) - best.cost)
        if _is_certain(shaped) and shaped.evidence > found.evidence:
            found = shaped
    return found


def _families(plain: Estimate) -> Iterable[Sequence[BlurShape]]:
    yield [BlurShape(ShapeKind.DISC, radius) for radius in _RADII]
    if plain.variances[1] < _NARROW:
        yield [BlurShape(ShapeKind.MOTION, length, plain.degrees) for length in _LENGTHS]


def _around(shape: BlurShape, size: float, turns: Sequence[float]) -> list[BlurShape]:
    return [
        replace(shape, size=shape.size + step, degrees=(shape.degrees + turn) % 180)
        for step, turn in itertools.product((-size, 0.0, size), turns)
        if step or turn
    ]


def _best(spectrum: Spectrum, shapes: Sequence[BlurShape], start: Tensor, steps: int) -> _Fitted:
    fits = [SceneFit(spectrum, shape=shape) for shape in shapes]
    return min((_Fitted(fit, *fit.minimised(start, steps)) for fit in fits), key=attrgetter("cost"))


def _is_certain(shaped: Estimate) -> bool:
    assert shaped.shape is not None
    moved = shaped.shape.kind == ShapeKind.MOTION
    xx, _, yy = shaped.shape.covariance
    least, most = _RANGES[shaped.shape.kind]
    return (
        shaped.evidence > ENOUGH
        and shaped.misfit < _LIKE_A_SCENE
        and shaped.variances[0] < min(_MOST_BESIDE, _LARGEST_SHARE * (xx + yy if moved else xx))
        and least <= shaped.shape.size < most
    )
