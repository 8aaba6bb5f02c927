"""Kernels found for the images of a camera: OUT/kernels, with a JSON file and a picture per camera.

Later runs use what is saved, so that they continue with the first run's kernel. The estimate is saved in LR pixels; the
text of the kernel at each scale follows from it.
"""

import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sr_ops.camera.blur_shapes import BlurShape
from sr_ops.camera.kernels import from_spec
from sr_ops.estimation.estimate import Estimate
from sr_ops.estimation.guess import Guess, guess, guess_together

from .. import storage
from ..codec import DamagedError, from_json, from_plain_exactly, to_plain
from ..config import VERSION
from ..errors import UsageError
from ..imagery.kernel_picture import draw
from . import layout
from .clock import now

_WIDEST = 16.0
"""Variance in LR pixels squared: four times the largest of an estimate."""

_LARGEST = 8.0
"""LR pixels, of a disc or a motion: more than an estimate can have."""

_ROUNDING = 1e-6
"""Relative tolerance for a semidefinite covariance."""


@dataclass(frozen=True)
class SavedKernel:
    """What the images of one camera gave together."""

    camera: str
    """What the images share: the manifest's cell, the file's make and model, the folder, or nothing."""
    estimate: Estimate | None
    """None if no image gave one: bicubic."""
    confidence: float
    """0 to 1, as in `Guess`."""
    reason: str
    """Why the kernel is bicubic; "" if it is not."""
    images_used: int
    images_left_out: int
    """Images that gave no estimate, or could not be read."""
    images_unreadable: int
    """Number of these that could not be read."""
    srpipe_version: str
    found_at: str

    def guess(self, scale: int) -> Guess:
        """Return the kernel at a scale; if it is bicubic for lack of an estimate, with the reason found then."""
        guessed = guess(self.estimate, scale)
        return replace(guessed, reason=self.reason) if self.estimate is None else guessed


def make_saved(camera: str, told: Sequence[Estimate | None], unreadable: int, scale: int) -> SavedKernel:
    """Combine what some images of a camera gave.

    Args:
        told: one per image that could be read.
        unreadable: number of images that could not.
        scale: any; the reasons do not depend on it.
    """
    together = guess_together(told, scale)
    alone = [guess(each, scale) for each in told]
    used = sum(each.confidence > 0 for each in alone)  # 0: bicubic for want of an estimate
    reason = together.reason if alone else "none of them could be read"
    if alone and not used:
        reason = Counter(each.reason for each in alone).most_common(1)[0][0]
    return SavedKernel(
        camera=camera,
        estimate=together.estimate,
        confidence=together.confidence,
        reason=reason,
        images_used=used,
        images_left_out=len(told) - used + unreadable,
        images_unreadable=unreadable,
        srpipe_version=VERSION,
        found_at=now().isoformat(timespec="seconds"),
    )


def read_saved(output: str, camera: str) -> SavedKernel | None:
    """Return what an earlier run found for a camera; None if nothing.

    Raises:
        UsageError: it cannot be read, or was edited to something invalid.
    """
    uri = layout.kernel_json(output, camera)
    try:
        saved = from_plain_exactly(SavedKernel, from_json(dict[str, Any], storage.read(uri)))
        if saved.camera != camera:
            raise DamagedError(f"it is for the camera {saved.camera!r}, not {camera!r}")
        _check(saved)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read {uri}: {storage.reason(error)}; check access") from error
    except DamagedError as error:
        message = (
            f"the saved kernel {uri} is damaged: {error}; delete it, or estimate it again with --existing overwrite"
        )
        raise UsageError(message) from error
    return saved


def save(output: str, saved: SavedKernel, scale: int) -> None:
    """Store the picture at a scale, then the JSON, which implies that the picture exists. Raises UsageError."""
    picture = io.BytesIO()
    draw(from_spec(saved.guess(scale).kernel, scale), scale).save(picture, "PNG")
    uri = layout.kernel_json(output, saved.camera)
    try:
        storage.write(layout.kernel_picture(output, saved.camera), picture.getvalue())
        storage.write(uri, json.dumps(to_plain(saved), indent=2, ensure_ascii=False).encode())
    except OSError as error:
        raise UsageError(f"cannot write {uri}: {storage.reason(error)}; check space and access") from error


def _check(saved: SavedKernel) -> None:
    """Raise DamagedError for numbers that no estimate can have."""
    if not 0 <= saved.confidence <= 1:
        raise DamagedError(f"its confidence {saved.confidence} is not between 0 and 1")
    if saved.estimate is None:
        return
    _check_shape(saved.estimate.shape)
    for name, value in to_plain(replace(saved.estimate, shape=None)).items():
        if value is not None and not all(map(math.isfinite, value if isinstance(value, list | tuple) else [value])):
            raise DamagedError(f"its {name} {value} is not finite")
    for name in ("deviation", "noise", "misfit", "sharpening", "evidence"):
        if getattr(saved.estimate, name) < 0:
            raise DamagedError(f"its {name} {getattr(saved.estimate, name)} is below 0")
    xx, xy, yy = saved.estimate.covariance
    if min(xx, yy) < 0 or xy * xy > xx * yy * (1 + _ROUNDING) + _ROUNDING:
        raise DamagedError(f"its covariance {xx}, {xy}, {yy} is not positive semidefinite")
    if max(xx, yy) > _WIDEST:
        raise DamagedError(f"its covariance {xx}, {xy}, {yy} is wider than {_WIDEST:g} LR pixels squared")


def _check_shape(shape: BlurShape | None) -> None:
    """Raise DamagedError for a shape that no search finds."""
    if shape is not None and not (0 < shape.size <= _LARGEST and math.isfinite(shape.degrees)):
        raise DamagedError(f"its {shape.kind} of {shape.size} LR pixels, {shape.degrees} degrees, is none")
