"""`srpipe prior`."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from pipeline.config import Device
from pipeline.errors import UsageError
from sr_ops.priors.prior import HEAD_SCALES
from sr_ops.settings import BodyKind

from ..amounts import counted
from ..answers import print_result, tell_reason
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .shared_options import AsJson

if TYPE_CHECKING:
    from pipeline.priors.training import Request, Trained

_ALL_SCALES = ",".join(str(scale) for scale in HEAD_SCALES)


@dataclass(frozen=True)
class TrainingOptions:
    """How the heads are trained."""

    panel: ClassVar = "Training"

    start: Annotated[
        str, typer.Option("--from", metavar="FILE", help="Start from the shipped weights, none, or a FILE.")
    ] = "shipped"
    scales: Annotated[
        str, typer.Option(metavar="N,N", help="Train the heads for these scales, and keep the others.")
    ] = _ALL_SCALES
    clean: Annotated[
        bool,
        typer.Option(
            "--clean", help="Train the heads for clean colour images shrunk by bicubic, not those for any camera."
        ),
    ] = False
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Take N optimiser steps for each head.")] = 1200
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Train on N crops per step.")] = 12
    crop: Annotated[
        int,
        typer.Option(metavar="N", min=16, help="Train on crops of N x N LR pixels, a multiple of 16."),
    ] = 64
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=1e-6,
            max=1.0,
            help="Set the peak rate of the schedule.",
            show_default="0.0003; 0.001 from none",
        ),
    ] = None
    max_images: Annotated[
        int, typer.Option(metavar="N", min=1, help="Learn from at most N images, drawn by the seed.")
    ] = 128
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Draw images, crops and weights from this seed.")
    ] = 0
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=4096, help="Give the hidden layers N channels.", show_default="96; from none"
        ),
    ] = None
    depth: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=2, max=256, help="Give the network N convolutions.", show_default="10; from none"
        ),
    ] = None
    body: Annotated[
        BodyKind | None,
        typer.Option(help="Build the network from hidden layers of this kind.", show_default="additive; from none"),
    ] = None


@with_panels
def prior(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="Learn from these images, given as for `srpipe run`.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the weights to this file or s3:// uri.")
    ],
    device: Annotated[
        Device, typer.Option(help="Compute on the CPU or a GPU; auto uses a GPU if there is one.")
    ] = Device.AUTO,
    threads: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Give each head N torch threads; changes the weights slightly."),
    ] = 1,
    as_json: AsJson = False,
    *,
    training: TrainingOptions,
    storage: StorageFlags,
) -> int:
    """Train a prior, from which networks start, on pictures. Use it with `srpipe run --prior FILE`.

    The same command resumes where it was stopped, from FILE.checkpoint beside FILE.
    """
    from pipeline.manifest.training_images import read_training_images
    from pipeline.priors.training import train_prior_file
    from pipeline.storage import absolute, parent, use
    from pipeline.work.device import inline_device

    from ..training_progress import training_progress

    place = absolute(output)
    use(storage.options(), parent(place))  # the first place that is checked for write access
    request = _request(training, inline_device(device), threads)
    with training_progress(training.steps) as tell:
        trained = train_prior_file(read_training_images(manifest), place, request, tell)
    for uri, reason in trained.left_out:
        tell_reason(f"left out: {uri}: {reason}")
    print_result(json.dumps(asdict(trained)) if as_json else _sentence(trained))
    return 0


def _request(options: TrainingOptions, device: str, threads: int) -> "Request":
    from pipeline.priors.training import Request

    given = asdict(options) | {"scales": _scales(options.scales), "device": device, "threads": threads}
    return Request(**given)


def _scales(text: str) -> tuple[int, ...]:
    possible = {str(scale): scale for scale in HEAD_SCALES}
    scales = [part.strip() for part in text.split(",")]
    if not set(scales) <= set(possible):
        raise UsageError(f"--scales: {text!r} is not a list of scales with heads; give some of {_ALL_SCALES}")
    return tuple(sorted({possible[scale] for scale in scales}))


def _sentence(trained: "Trained") -> str:
    scales = ", ".join(f"x{scale}" for scale in sorted({scale for scale, _ in trained.heads}))
    bands = " and ".join(str(count) for count in sorted({count for _, count in trained.heads}))
    return (
        f"learned from {counted(trained.images, 'image')}, {len(trained.left_out)} left out; heads for {scales} of"
        f" {bands} bands; {trained.output} sha256 {trained.sha256}"
    )
