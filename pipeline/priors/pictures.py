"""Pictures for training heads: windows of a collection's images at several sizes, in 8 bits."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import ceil
from random import Random

import torch
from torch import Tensor

from sr_ops.image.resample import resize
from sr_ops.priors.album import Album

from .. import storage
from ..config import RunConfig
from ..errors import ErrorType, ImageError, UsageError
from ..imagery.header import FileLimits, OpenPicture
from ..imagery.picture import Picture
from ..imagery.reading.routing import open_file
from ..storage.patience import Patience

MIN_IMAGES = 4
"""Fewer images are no collection: what is learned from them holds for them only."""

_WINDOW = 768
"""Largest side, in pixels, taken from one image; bounds the memory."""

_SIZES = (1.0, 0.8, 0.64, 0.5)
"""Relative sizes at which an image is learned from."""

_MOST_BANDS = 3
"""Most bands taken from an image without three bands; each becomes a grey picture."""

_LEAST_SHARE = 0.8
"""Share of a patch's side that a picture must have; it is then mirrored."""

LARGEST_PATCH = round(_WINDOW / _LEAST_SHARE)
"""Side of the largest patch that a part of an image holds, or nearly."""


@dataclass(frozen=True)
class TrainingImages:
    """The images of a manifest."""

    manifest: str
    """As given."""
    weights: Mapping[str, float]
    """Relative weight of each image, by uri."""
    left_out: tuple[tuple[str, str], ...]
    """Rows without an image, with the reason."""


@dataclass(frozen=True)
class _Drawn:
    """A picture, and how often patches are drawn from it."""

    pixels: Tensor
    """(3, H, W) uint8."""
    odds: float
    """Relative to the others."""
    image: int
    """Number of the image it belongs to."""


@dataclass(frozen=True)
class Pictures:
    """The pictures to learn from."""

    drawn: tuple[_Drawn, ...]
    images: int
    in_colour: bool
    """Whether any has three bands."""
    left_out: tuple[tuple[str, str], ...]
    """Images that could not be used, with the reason."""

    @property
    def sha256(self) -> str:
        """Hash of all pixels and odds."""
        digest = hashlib.sha256()
        for picture in self.drawn:
            digest.update(f"{tuple(picture.pixels.shape)} {picture.odds!r}".encode())
            digest.update(picture.pixels.numpy().tobytes())
        return digest.hexdigest()

    def album(self, side: int, device: torch.device) -> Album:
        """Return the pictures that hold a patch of `side` pixels, or nearly.

        Raises:
            ValueError: they come from fewer than MIN_IMAGES images; the message gives the number.
        """
        chosen = [picture for picture in self.drawn if min(picture.pixels.shape[1:]) >= _least(side)]
        images = len({picture.image for picture in chosen})
        if images < MIN_IMAGES:
            raise ValueError(f"{images} images have {_least(side)} pixels on both sides")
        pixels = [_mirrored(picture.pixels, side) for picture in chosen]
        return Album(pixels, [picture.odds for picture in chosen], device)


def read_pictures(offered: TrainingImages, side: int, max_images: int, seed: int) -> Pictures:
    """Read the images, at most `max_images` of them, drawn by `seed` regardless of their order.

    Args:
        side: of the smallest patch in pixels; smaller images are left out.

    Raises:
        UsageError: there are fewer than MIN_IMAGES, or the storage of one does not answer.
    """
    left_out, patiently = list(offered.left_out), Patience(RunConfig.retries)
    draw = Random(seed)
    drawn: list[_Drawn] = []
    images, in_colour = 0, False
    for uri in draw.sample(sorted(offered.weights), len(offered.weights)):
        if images == max_images:
            break
        try:
            window = patiently(partial(_read_window, uri, _least(side), draw))
        except ImageError as error:
            left_out.append((uri, str(error)))
            continue
        except OSError as error:
            if storage.is_transient(error):  # without it the pictures would be others, and no training could go on
                raise UsageError(f"cannot read {uri}: {storage.reason(error)}; give the same command again") from error
            left_out.append((uri, storage.reason(error)))
            continue
        in_colour = in_colour or len(window) == 3
        drawn.extend(_sizes_of(window, offered.weights[uri], images, _least(side), draw))
        images += 1
    if images < MIN_IMAGES:
        reasons = "".join(f"; {uri}: {reason}" for uri, reason in left_out[:3])
        raise UsageError(
            f"{offered.manifest}: {images} images can be learned from, and a prior needs at least {MIN_IMAGES}{reasons}"
        )
    return Pictures(tuple(drawn), images, in_colour, tuple(left_out))


def _read_window(uri: str, least: int, draw: Random) -> Tensor:
    """Return a part of an image, (C, h, w) float32. Raises ImageError or OSError."""
    with storage.on_disk(uri) as path, closing(Picture(_open(path))) as picture:
        height, width = picture.height, picture.width
        if min(height, width) < least:
            message = f"its {width} x {height} pixels are too few: both sides must be at least {least}"
            raise ImageError(ErrorType.UNSUPPORTED, message)
        top, left = draw.randint(0, max(0, height - _WINDOW)), draw.randint(0, max(0, width - _WINDOW))
        rows, columns = slice(top, min(height, top + _WINDOW)), slice(left, min(width, left + _WINDOW))
        window = picture.window(rows, columns, torch.device("cpu"))
    if window.domain.known is not None:
        raise ImageError(ErrorType.UNSUPPORTED, "some of its samples hold no data; cut out a part without")
    return window.lr


def _open(path: str) -> OpenPicture:
    """Open it in a decoder process; in this process if msgspec, needed to talk to one, is missing (bare checkout)."""
    try:
        import msgspec  # noqa: F401
    except ImportError:
        return open_file(path, FileLimits())
    from ..imagery.reading.decoders import open_image

    return open_image(path, FileLimits())


def _sizes_of(window: Tensor, weight: float, image: int, least: int, draw: Random) -> Iterator[_Drawn]:
    """Yield a window in 8 bits at all sizes that are large enough; without three bands, as several grey pictures."""
    bands = sorted(draw.sample(range(len(window)), min(len(window), _MOST_BANDS)))
    parts = [window] if len(window) == 3 else [window[[band]].expand(3, -1, -1) for band in bands]
    height, width = window.shape[1:]
    sizes = [(int(height * size), int(width * size)) for size in _SIZES]
    sizes = [size for size in sizes if min(size) >= least]
    for part in parts:
        for size in sizes:
            smaller = part if size == (height, width) else resize(part, size)
            pixels = (smaller * 255).round().clamp(0, 255).byte()
            yield _Drawn(pixels, weight / len(parts) / len(sizes), image)


def _least(side: int) -> int:
    return ceil(_LEAST_SHARE * side)


def _mirrored(picture: Tensor, side: int) -> Tensor:
    for axis in (1, 2):
        length = picture.shape[axis]
        if length < side:
            index = torch.arange(side) % (2 * length)
            picture = picture.index_select(axis, torch.minimum(index, 2 * length - 1 - index))
    return picture
