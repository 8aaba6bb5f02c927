"""The options of `srpipe run` that decide pixels, and the Settings that come of them."""

from dataclasses import dataclass
from typing import Annotated

import typer

from pipeline.config import names_kernel_file, parse_kernel, parse_nodata, parse_noise, parse_range
from pipeline.quality import Quality
from sr_ops.settings import AUTO, Settings

from .fit_options import FitOptions
from .size_options import checked_by


def _kernel(text: str) -> str:
    """A file's name as it is."""
    return text if names_kernel_file(text) else parse_kernel(text)


def _seed(value: int) -> int:
    if value >= 2**63:
        raise typer.BadParameter(f"{value} is not below 2 ** 63")
    return value


@dataclass(frozen=True)
class QualityOptions(FitOptions):
    """What decides pixels. None leaves it to the preset."""

    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, callback=_seed, help="Draw all that is random from this seed, the same for every image."
        ),
    ] = Settings.seed
    ensemble: Annotated[
        bool | None,
        typer.Option(
            "--self-ensemble/--no-self-ensemble", help="Take the median over the 8 flips and rotations, or not."
        ),
    ] = None
    back_projections: Annotated[
        int | None,
        typer.Option("--back-projection", metavar="N", min=0, help="Back-project so many times; 0 for not at all."),
    ] = None
    tile_size: Annotated[
        int | None, typer.Option(metavar="N", min=16, help="Cut the input into tiles of so many pixels a side.")
    ] = None
    nodata: Annotated[
        str,
        typer.Option(
            metavar="auto|none|VALUE",
            callback=checked_by(parse_nodata),
            help="Say which number means that nothing was measured, for rows that say none; auto: what the file "
            "declares, or a fill that can be nothing else.",
        ),
    ] = Settings.nodata
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="auto|none|LOW,HIGH",
            callback=checked_by(parse_range),
            help="Keep samples of the result between these; auto: floats between the least and largest of the input.",
        ),
    ] = Settings.value_range
    kernel: Annotated[
        str,
        typer.Option(
            metavar="auto|SPEC|FILE",
            callback=checked_by(_kernel),
            help="Say what the camera blurred by, for rows that say none: bicubic, box, bilinear, lanczos,"
            " gaussian:SIGMA, mtf:0.3, sensor:sentinel-2, or a .npy, .csv or .tif FILE of taps; estimate: found in the"
            " pixels of each image; estimate-collection: in those of some images of its camera together; auto: as"
            " estimate, where the network takes any kernel, else bicubic.",
        ),
    ] = AUTO
    noise: Annotated[
        str,
        typer.Option(
            metavar="SIGMA|auto|0",
            callback=checked_by(parse_noise),
            help="Say how strong the noise is, for rows that say none: its standard deviation in the file's own"
            " units; auto: measured, where it shows.",
        ),
    ] = Settings.noise
    stack: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Fit so many images at once in a worker; for a GPU, where 16 is a good start."
        ),
    ] = Settings.stack

    def asked(self) -> Quality:
        """All of it, for `pipeline` to make Settings of."""
        return Quality(**vars(self))
