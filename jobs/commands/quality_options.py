"""Options of `srpipe run` that decide pixels: the fields of `Quality`, each with its flag."""

from dataclasses import dataclass
from typing import Annotated

import typer

from pipeline.option_values import PARSERS
from sr_ops.settings import AUTO, Settings

from .fit_options import FitOptions
from .size_options import checked_by


@dataclass(frozen=True)
class QualityOptions(FitOptions):
    """Options that decide pixels. None leaves a value to the preset."""

    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=2**63 - 1, help="Draw all random numbers from this seed, the same for every image."
        ),
    ] = Settings.seed
    ensemble: Annotated[
        bool | None,
        typer.Option(
            "--self-ensemble/--no-self-ensemble",
            help="Average the results of turned and flipped copies; networks from scratch take the median.",
        ),
    ] = None
    back_projections: Annotated[
        int | None,
        typer.Option(
            "--back-projection",
            metavar="N",
            min=0,
            help="Correct the result by the input, N times for the bicubic kernel, once for others; 0 leaves this out.",
        ),
    ] = None
    tile_size: Annotated[
        int | None, typer.Option(metavar="N", min=16, help="Cut the input into tiles of N x N pixels.")
    ] = None
    nodata: Annotated[
        str,
        typer.Option(
            metavar="auto|none|VALUE",
            callback=checked_by(PARSERS["nodata"]),
            help="Set the number that means that nothing was measured, for rows without one; auto: the"
            " one the file declares, or a fill that cannot be anything else.",
        ),
    ] = Settings.nodata
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="auto|none|LOW,HIGH",
            callback=checked_by(PARSERS["range"]),
            help="Keep the samples of the result in this range; auto: of integers that of their type, of floats that"
            " of the input.",
        ),
    ] = Settings.value_range
    kernel: Annotated[
        str,
        typer.Option(
            metavar="auto|SPEC|FILE",
            callback=checked_by(PARSERS["kernel"]),
            help="Set the camera's blur, for rows without one: bicubic, box, bilinear, lanczos,"
            " gaussian:SIGMA, disc:RADIUS, motion:LENGTH,DEGREES, mtf:0.3, sensor:sentinel-2,"
            " or a .npy, .csv or .tif FILE of taps;"
            " estimate: from the pixels of each image; estimate-collection: from some images of its"
            " camera together; auto: as estimate if the network takes any kernel, else bicubic.",
        ),
    ] = AUTO
    noise: Annotated[
        str,
        typer.Option(
            metavar="SIGMA|auto|0",
            callback=checked_by(PARSERS["noise"]),
            help="Set the standard deviation of the noise in the file's units, for rows without one;"
            " auto: measure it where it is visible.",
        ),
    ] = Settings.noise
    stack: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Fit N images at once in a worker; for a GPU, where 16 is a good start."),
    ] = Settings.stack
