"""`srpipe kernel`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import names_kernel_file
from pipeline.errors import UsageError
from sr_ops.settings import MAX_SCALE, MIN_SCALE

from ..answers import print_result


def kernel(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC", help="Name a kernel: bicubic, gaussian:1.4, mtf:0.3, ..., or a .npy, .csv or .tif file."
        ),
    ],
    scale: Annotated[
        int,
        typer.Option(
            "--scale",
            "-s",
            metavar="N",
            min=MIN_SCALE,
            max=MAX_SCALE,
            help="Enlarge by this: a kernel lies on the HR grid.",
        ),
    ] = 4,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PNG", help="Write a picture of its taps and of its transfer."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Tell what a camera's kernel is. Print its size, its shift, its blur and what it lets through."""
    from pipeline.imagery.kernel_files import read_kernel
    from pipeline.storage import absolute, check_service
    from sr_ops.degradation import Degradation
    from sr_ops.kernels import describe, from_spec

    from ..kernel_picture import draw

    if output is not None and output.suffix.lower() != ".png":
        raise UsageError(f"--output: {output} is no .png file; a picture of a kernel is a PNG")
    text = spec
    if names_kernel_file(spec):
        check_service(absolute(spec))
        text = read_kernel(spec, "SPEC")
    try:
        kernels = from_spec(text, scale)
    except ValueError as error:
        raise UsageError(f"SPEC: {error}") from error
    told = [{**describe(each, scale), "reach": Degradation((each,), scale).reach} for each in kernels]
    if output is not None:
        try:
            draw(kernels, scale).save(output)
        except OSError as error:
            raise UsageError(f"--output: cannot write {output}: {error.strerror}; choose another place") from error
    if as_json:
        print_result(json.dumps({"spec": spec, "scale": scale, "kernels": told}))
        return
    for each in told:
        print_result(_sentences(each, scale))


def _sentences(told: dict[str, float | int], scale: int) -> str:
    along = "{0:.2f} along x, {1:.2f} along y".format
    across, down = (round(told[shift], 3) + 0.0 for shift in ("shift_x", "shift_y"))  # no "-0.000"
    blur = f"standard deviation {along(told['sigma_x'], told['sigma_y'])}" if told["least"] >= 0 else "it sharpens, too"
    return (
        f"{told['side']} x {told['side']} HR pixels; {blur}\n"
        f"transfer at half a cycle per LR pixel: {told['mtf_x']:.3f} along x, {told['mtf_y']:.3f} along y\n"
        f"shift against the LR pixels: {across:+.3f} along x, {down:+.3f} along y, in LR pixels\n"
        f"its undoing at x{scale} reaches {told['reach']} LR pixels"
    )
