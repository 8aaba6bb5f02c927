"""`srpipe prior`."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from pipeline.config import Device
from sr_ops.settings import NO_PRIOR, FitSettings, Network, Settings

from ..answers import print_result, tell_reason
from ..panels import with_panels
from ..storage_flags import StorageFlags

if TYPE_CHECKING:
    from pipeline.priors.training import Trained

_FIT = FitSettings(steps=4000, crop=64, batch=16)
_RATES = {True: 2e-3, False: 5e-4}
"""From scratch; and from a prior, which a higher rate would make forget more than it learns."""


@dataclass(frozen=True)
class TrainingOptions:
    """How the networks learn."""

    panel: ClassVar = "Training"

    start: Annotated[
        str, typer.Option("--from", metavar="FILE", help="Go on from the shipped weights, none, or a FILE.")
    ] = "shipped"
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Take so many optimiser steps for each network.")] = (
        _FIT.steps
    )
    crop: Annotated[int, typer.Option(metavar="N", min=16, help="Train on crops of so many pixels a side.")] = _FIT.crop
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Train on so many crops a step.")] = _FIT.batch
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=1e-6,
            max=1.0,
            help="Let the schedule peak at this rate.",
            show_default="0.0005; 0.002 from none",
        ),
    ] = None
    max_images: Annotated[
        int, typer.Option(metavar="N", min=1, help="Learn from so many images at most, drawn by the seed.")
    ] = 128
    network: Annotated[Network, typer.Option(help="Train the network in LR space, or the paper's.")] = Settings.network
    width: Annotated[int, typer.Option(metavar="N", min=1, help="Give the hidden layers so many channels.")] = (
        Settings.width
    )
    depth: Annotated[int, typer.Option(metavar="N", min=2, help="Give the network so many convolutions.")] = (
        Settings.depth
    )
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Draw images, crops and weights from this seed.")
    ] = Settings.seed

    def settings(self) -> Settings:
        return Settings(network=self.network, width=self.width, depth=self.depth, seed=self.seed)

    def fit(self) -> FitSettings:
        return FitSettings(self.steps, self.crop, self.batch, self.learning_rate or _RATES[self.start == NO_PRIOR])


@with_panels
def prior(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="Learn from these images, as for `srpipe run`.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the weights to this file or s3:// uri.")
    ],
    device: Annotated[
        Device, typer.Option(help="Compute on the CPU or a GPU; auto takes the GPU where there is one.")
    ] = Device.AUTO,
    threads: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Give each network so many torch threads; changes the weights slightly."),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    *,
    training: TrainingOptions,
    storage: StorageFlags,
) -> int:
    """Learn from a collection's own images what fits start from. Use it with `srpipe run --prior FILE`."""
    from pipeline.driver.training_images import read_training_images
    from pipeline.priors.training import train_prior_file
    from pipeline.storage import absolute, parent, use
    from pipeline.work.worker import inline_device

    from ..progress import training_progress

    place = absolute(output)
    use(storage.options(), parent(place))  # where it is first tried whether anything can be written
    with training_progress(training.steps) as progress:
        trained = train_prior_file(
            read_training_images(manifest),
            place,
            training.settings(),
            training.fit(),
            training.start,
            training.max_images,
            inline_device(device),
            threads,
            progress,
        )
    for uri, reason in trained.left_out:
        tell_reason(f"left out: {uri}: {reason}")
    print_result(json.dumps(asdict(trained)) if as_json else _sentence(trained))
    return 0


def _sentence(trained: "Trained") -> str:
    bands = " and ".join(str(number) for number in trained.bands)
    return (
        f"learned from {trained.images} images, {len(trained.left_out)} left out; networks for {bands} bands;"
        f" {trained.output} sha256 {trained.sha256}"
    )
