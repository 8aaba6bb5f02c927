"""`srpipe prior`: train direct networks on a collection's images, with a checkpoint, and write their weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from sr_ops.priors.album import Album
from sr_ops.priors.draws import MARGIN
from sr_ops.priors.heads import in_order
from sr_ops.priors.prior import CLEAN_BANDS, HEAD_BANDS, HEAD_SCALES, Head, Prior, body_of
from sr_ops.settings import Body, BodyKind

from .. import storage
from ..errors import UsageError, lacks_memory
from . import checkpoint, prior_file
from .checkpoint import Progress
from .course import Course, DivergedError, Tell, train
from .pictures import LARGEST_PATCH, MIN_IMAGES, Pictures, TrainingImages, read_pictures

FRESH_BODY = Body(width=96, depth=10)
"""Body of a prior that is trained from scratch."""

_MORE_CONVOLUTIONS = 6
"""Additional convolutions of heads for clean images; measured against heads without them."""

_CROP_UNIT = 16
"""In LR pixels: a JPEG block with subsampled chroma."""

_RATE, _RATE_FROM_PRIOR = 1e-3, 3e-4
"""From a prior, a higher rate would lose more than it learns."""


@dataclass(frozen=True)
class Request:
    """What to train."""

    start: str
    """The prior to start from, named as for `--prior`."""
    scales: tuple[int, ...]
    clean: bool
    """Whether to train the heads for clean images, instead of those for any camera."""
    steps: int
    """Per head."""
    batch: int
    crop: int
    """In LR pixels."""
    learning_rate: float | None
    """None for the default for the start."""
    max_images: int
    seed: int
    width: int | None
    """For a new body, as `depth` and `body`; None for that of FRESH_BODY."""
    depth: int | None
    body: BodyKind | None
    device: str
    """`cpu` or `cuda`."""
    threads: int
    """Torch threads per head."""


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    output: str
    sha256: str
    heads: tuple[Head, ...]
    """Heads that were trained; the file also has the other heads of the start."""
    images: int
    """Number of images that were learned from."""
    left_out: tuple[tuple[str, str], ...]
    """Images that could not be used, with the reason."""


def train_prior_file(offered: TrainingImages, output: str, request: Request, tell: Tell) -> Trained:
    """Train heads on images; resume from the checkpoint beside the output if there is one.

    The same images and request give the same file byte for byte, interrupted or not, on the same kind of processor.

    Raises:
        UsageError: too few images can be used, the output cannot be written, the checkpoint is of another request, or
            the training diverged.
    """
    torch.set_num_threads(request.threads)
    if request.max_images < MIN_IMAGES:
        raise UsageError(f"--max-images: {request.max_images} is too few; a prior needs at least {MIN_IMAGES} images")
    _check_crop(request)
    start_file = prior_file.read_prior(request.start, "--from")
    start = None if start_file is None else prior_file.weights(start_file)
    body = _body(request, start)
    storage.check_file(output, "--output")
    device = torch.device(request.device)
    pictures = read_pictures(
        offered, (request.crop + 2 * MARGIN) * min(request.scales), request.max_images, request.seed
    )
    course = _course(request, body, start, pictures)
    beside = output + checkpoint.SUFFIX
    command = _command(request, course, pictures, "none" if start_file is None else start_file.sha256)
    progress = checkpoint.load(beside, command)
    save = partial(checkpoint.save, beside, command, progress)
    try:
        with _enough_memory(beside):
            train(course, _albums(course, pictures, device), start, progress, device, save, tell)
        made = _file_of(_trained(course, start, progress))
    except DivergedError as error:
        storage.remove(beside)
        raise UsageError(f"the training diverged ({error}); use a lower --learning-rate") from error
    storage.write(output, made.data)
    storage.remove(beside)
    return Trained(output, made.sha256, course.heads, pictures.images, pictures.left_out)


@contextmanager
def _enough_memory(beside: str) -> Iterator[None]:
    """Raise UsageError where memory runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise UsageError(
            "the training needs more memory than there is; remove"
            f" {beside}, if it is there, and use a smaller --batch, --crop or --max-images"
        ) from error


def _body(request: Request, start: Prior | None) -> Body:
    if request.clean:
        return _clean_body(request, start)
    if start is None:
        if set(request.scales) != set(HEAD_SCALES):
            raise UsageError("--scales: from none all heads must be trained; leave it out, or start from a prior")
        width, depth = request.width or FRESH_BODY.width, request.depth or FRESH_BODY.depth
        kind = request.body or FRESH_BODY.kind
        if depth == 2 and kind is not BodyKind.ADDITIVE:
            raise UsageError(f"--body {kind} has no effect with --depth 2, which has no hidden layers; leave it out")
        return Body(width, depth, kind)
    _check_body(request, start, ("width", "depth", "body"), "; use --from none")
    return start.body


def _clean_body(request: Request, start: Prior | None) -> Body:
    if start is None:
        raise UsageError("--clean: heads for clean images begin as those for any camera; leave out --from none")
    for scale in request.scales:
        if (scale, CLEAN_BANDS) not in start.heads:
            raise UsageError(f"--clean: the prior that it starts from has no head for x{scale} and three bands")
    _check_body(request, start, ("width", "body"))
    held = [body_of(weights) for weights in start.clean.values()]
    deeper = replace(start.body, depth=request.depth or start.body.depth + _MORE_CONVOLUTIONS)
    body = held[0] if held else deeper
    if request.depth not in (None, body.depth) or body.depth < start.body.depth:
        least = f"{body.depth}" if held else f"at least {start.body.depth}"
        message = f"heads for clean images of this prior have {least} convolutions, not {request.depth}"
        raise UsageError(f"--depth: {message}")
    if body.depth > prior_file.MAX_DEPTH:
        most = prior_file.MAX_DEPTH
        raise UsageError(
            f"--depth: heads for clean images would have {body.depth} convolutions, and a prior has at most {most};"
            f" give one from {start.body.depth} to {most}"
        )
    return body


def _check_body(request: Request, start: Prior, options: Sequence[str], remedy: str = "") -> None:
    """Raise UsageError if one of these options asks for another body than that of the start."""
    held = {"width": start.body.width, "depth": start.body.depth, "body": start.body.kind}
    for option in options:
        given = getattr(request, option)
        if given not in (None, held[option]):
            raise UsageError(f"--{option}: the prior that it starts from has {held[option]}, not {given}{remedy}")


def _check_crop(request: Request) -> None:
    if request.crop % _CROP_UNIT:
        raise UsageError(f"--crop: {request.crop} is not a multiple of {_CROP_UNIT}, which the blocks of JPEG ask for")
    largest = max(request.scales)
    most = (LARGEST_PATCH // largest - 2 * MARGIN) // _CROP_UNIT * _CROP_UNIT
    if request.crop > most:
        raise UsageError(
            f"--crop: {request.crop} at x{largest} is more than is taken of an image; use at most {most}, or smaller"
            " --scales"
        )


def _course(request: Request, body: Body, start: Prior | None, pictures: Pictures) -> Course:
    """Return what is trained: no head for three bands if no picture is in colour."""
    rate = request.learning_rate or (_RATE if start is None else _RATE_FROM_PRIOR)
    if request.clean and not pictures.in_colour:
        raise UsageError("--clean: heads for clean images are of three bands, and no picture is in colour")
    bands = (CLEAN_BANDS,) if request.clean else HEAD_BANDS if pictures.in_colour else (1,)
    heads = in_order(request.scales, bands)
    return Course(heads, request.clean, body, request.steps, request.batch, request.crop, rate, request.seed)


def _albums(course: Course, pictures: Pictures, device: torch.device) -> dict[int, Album]:
    albums = {}
    for scale in sorted({scale for scale, _ in course.heads}):
        try:
            albums[scale] = pictures.album(course.side(scale), device)
        except ValueError as error:
            raise UsageError(
                f"--scales: only {error}, which x{scale} needs with --crop {course.crop}, and a prior needs at least"
                f" {MIN_IMAGES}; use a smaller --crop or other --scales"
            ) from error
    return albums


def _command(request: Request, course: Course, pictures: Pictures, start_sha256: str) -> checkpoint.Command:
    return {
        "--from": start_sha256,
        "--scales": ",".join(str(scale) for scale in sorted(request.scales)),
        "--clean": course.clean,
        "--steps": course.steps,
        "--batch": course.batch,
        "--crop": course.crop,
        "--learning-rate": course.learning_rate,
        "--seed": course.seed,
        "--width": course.body.width,
        "--depth": course.body.depth,
        "--body": course.body.kind.value,
        "--device": request.device,
        "--threads": request.threads,
        "images": pictures.sha256,
    }


def _trained(course: Course, start: Prior | None, progress: Progress) -> Prior:
    """Return the prior with the trained heads and the other heads of the start.

    A clean head is dropped if the head for any camera was trained and it was not: otherwise it would be used instead.
    """
    if start is None:
        return Prior(course.body, progress.done)
    if course.clean:
        clean = {**start.clean, **{scale: weights for (scale, _), weights in progress.done.items()}}
        return Prior(start.body, start.heads, clean)
    clean = {scale: weights for scale, weights in start.clean.items() if (scale, CLEAN_BANDS) not in progress.done}
    return Prior(course.body, {**start.heads, **progress.done}, clean)


def _file_of(prior: Prior) -> prior_file.PriorFile:
    """Return the file of a prior. Raises DivergedError if its weights are not finite as float16."""
    try:
        return prior_file.parse_prior(prior_file.to_bytes(prior))
    except ValueError as error:
        raise DivergedError(f"the file {error}") from error
