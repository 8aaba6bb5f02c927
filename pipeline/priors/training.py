"""`srpipe prior`: images of a collection become one file of weights that fits start from."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from sr_ops.prior import train_prior as train
from sr_ops.settings import FitSettings, Settings

from .. import storage
from ..errors import ErrorType, ImageError, UsageError
from ..imagery.header import FileLimits
from ..imagery.picture import Picture
from ..imagery.reading.decoders import open_image
from . import prior_file

MIN_IMAGES = 4
"""Fewer images than this are no collection: what is learned from them is theirs alone."""

_WINDOW = 768
"""Side in pixels of the most that one image gives: bounds the memory at 21 MB an image."""


@dataclass(frozen=True)
class TrainingImages:
    """What a manifest offers."""

    manifest: str
    """As given."""
    uris: frozenset[str]
    left_out: tuple[tuple[str, str], ...]
    """Rows that name no image, with the reason."""


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    output: str
    sha256: str
    bands: tuple[int, ...]
    """Of the networks in the file."""
    images: int
    """That were learned from."""
    left_out: tuple[tuple[str, str], ...]
    """Images that could not be used, with the reason."""


Progress = Callable[[int, int], None]
"""Called with the bands of the network in training and the steps done."""


def train_prior_file(
    offered: TrainingImages,
    output: str,
    settings: Settings,
    training: FitSettings,
    start: str,
    max_images: int,
    device: str,
    threads: int,
    progress: Progress | None = None,
) -> Trained:
    """Train a prior on the images that are offered, at most `max_images` of them drawn by the seed.

    The same images, settings, thread count and device class give the same file byte for byte.

    Args:
        start: the prior to go on from, as `--prior` names it.

    Raises:
        UsageError: too few images can be used, the start is for another network, or the output cannot be written.
    """
    torch.set_num_threads(threads)
    if max_images < MIN_IMAGES:
        raise UsageError(f"--max-images: {max_images} is too few; a prior needs at least {MIN_IMAGES} images")
    begin = prior_file.read_prior(start, "--from")
    if begin is not None:
        prior_file.check_fits(begin, settings, "--from")
    if "://" in output and "/" not in output.partition("://")[2]:
        raise UsageError(f"--output: {output} is a bucket; name a file in it")
    storage.check_service(output)
    if storage.is_folder(output):
        raise UsageError(f"--output: {output} is a folder; name a file in it")
    storage.check_writable(storage.parent(output))
    images, left_out = _read_images(offered.uris, training.crop, max_images, settings.seed)
    left_out = [*offered.left_out, *left_out]
    if len(images) < MIN_IMAGES:
        reasons = "".join(f"; {uri}: {reason}" for uri, reason in left_out[:3])
        raise UsageError(
            f"{offered.manifest}: {len(images)} images can be learned from, and a prior needs at least"
            f" {MIN_IMAGES}{reasons}"
        )
    weights = train(
        [image.to(device) for image in images],
        settings,
        training,
        None if begin is None else prior_file.weights(begin.data),
        progress,
    )
    data = prior_file.to_bytes(weights, settings)
    try:
        made = prior_file.parse_prior(data)
    except ValueError as error:
        raise UsageError(f"the training diverged: it {error}; use a lower --learning-rate") from error
    storage.write(output, data)
    return Trained(output, made.sha256, made.bands, len(images), tuple(left_out))


def _read_images(
    uris: frozenset[str], crop: int, max_images: int, seed: int
) -> tuple[list[Tensor], list[tuple[str, str]]]:
    """Windows of the usable images, and what was left out and why."""
    left_out: list[tuple[str, str]] = []
    draw = Random(seed)
    images: list[Tensor] = []
    for uri in draw.sample(sorted(uris), len(uris)):
        if len(images) == max_images:
            break
        try:
            images.append(_read_window(uri, crop, draw))
        except ImageError as error:
            left_out.append((uri, str(error)))
        except OSError as error:
            left_out.append((uri, storage.reason(error)))
    return images, left_out


def _read_window(uri: str, crop: int, draw: Random) -> Tensor:
    """A part of an image. Raises ImageError or OSError."""
    with storage.on_disk(uri) as path, closing(Picture(open_image(path, FileLimits()))) as picture:
        height, width = picture.height, picture.width
        if min(height, width) < crop:
            message = f"its {width} x {height} pixels are too few: both sides must be at least {crop}"
            raise ImageError(ErrorType.UNSUPPORTED, message)
        top, left = draw.randint(0, max(0, height - _WINDOW)), draw.randint(0, max(0, width - _WINDOW))
        rows, columns = slice(top, min(height, top + _WINDOW)), slice(left, min(width, left + _WINDOW))
        window = picture.window(rows, columns, torch.device("cpu"))
    if window.domain.known is not None:
        raise ImageError(ErrorType.UNSUPPORTED, "some of its samples hold no data; cut out a part without")
    return window.lr.clone()
