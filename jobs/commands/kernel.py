"""`srpipe kernel`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError
from pipeline.option_values import names_kernel_file
from sr_ops.settings import MAX_SCALE, MIN_SCALE

from ..answers import EXIT_SOME_FAILED, print_result, tell_reason
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .shared_options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.manifest.manifest import Manifest
    from sr_ops.camera.kernels import Kernel


@with_panels
def kernel(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC|MANIFEST",
            help="Name a kernel: bicubic, gaussian:1.4, mtf:0.3, sensor:sentinel-2, ..., or a .npy, .csv"
            " or .tif file; or images, as for `srpipe run`, to estimate theirs from the pixels.",
        ),
    ] = None,
    scale: Annotated[
        int,
        typer.Option(
            "--scale",
            "-s",
            metavar="N",
            min=MIN_SCALE,
            max=MAX_SCALE,
            help="Assume this scale: a kernel lies on the HR grid.",
        ),
    ] = 4,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PNG", help="Write a picture of its taps and of its transfer to this local file."
        ),
    ] = None,
    as_json: AsJson = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Print all names, and sensors with their bands, values and sources.")
    ] = False,
    *,
    storage: StorageFlags,
) -> int:
    """Describe a camera's kernel. You name it, give its file, or give images in whose pixels it is looked for."""
    if listed or spec is None:
        _print_list(spec, output, listed=listed, as_json=as_json)
        return 0
    from pipeline.driver.kernel_report import images_named, is_among
    from pipeline.storage import absolute, use

    picture = None if output is None else _local_png(output)
    use(storage.options(), None)
    images = images_named(spec)
    if images is not None:
        if picture is not None and is_among(images, absolute(str(picture))):
            raise UsageError(f"--output: {output} is one of the images; choose another file for the picture")
        return _tell_of_images(spec, images, scale, picture, as_json=as_json)
    _tell_of_kernel(spec, scale, picture, as_json=as_json)
    return 0


def _local_png(output: str) -> Path:
    """Return the path of a local PNG. Raises UsageError for any other place or file."""
    if "://" in output:
        raise UsageError(f"--output: {output} is no path, and the picture is a local file; give the path of one")
    if not output.lower().endswith(".png"):
        raise UsageError(f"--output: {output} is not a .png file; a picture of a kernel is a PNG")
    return Path(output)


def _tell_of_kernel(spec: str, scale: int, output: Path | None, *, as_json: bool) -> None:
    """Print its size, shift, blur and transfer."""
    from pipeline.imagery.kernel_files import read_kernel
    from pipeline.storage import absolute, check_service
    from sr_ops.camera.degradation import Degradation
    from sr_ops.camera.kernel_spec import parse
    from sr_ops.camera.kernels import describe, from_spec

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
        _draw(kernels, scale, output)
    if as_json:
        print_result(json.dumps({"spec": spec, "scale": scale, "kernels": told}))
        return
    if parse(text).bands:  # shows which kernel belongs to which band
        print_result(parse(text).text)
    print_result("\n".join(_sentences(each, scale) for each in told))


def _tell_of_images(spec: str, images: "Manifest", scale: int, output: Path | None, *, as_json: bool) -> int:
    """Print the kernel of each image and of each camera's images together, draw it, and return the exit code."""
    from pipeline.driver.kernel_report import KernelReport
    from sr_ops.camera.kernels import from_spec

    from ..kernel_findings import (
        as_object,
        as_text,
        object_of_camera,
        object_of_image,
        text_of_cameras,
        text_of_image,
    )

    report, told = KernelReport(images, scale), []
    for image in report:
        told.append(image)
        if not as_json:
            print_result(text_of_image(image, scale))
    cameras, together = report.cameras(), report.together()
    if as_json:
        said = {
            "images": [object_of_image(image) for image in told],
            "cameras": [object_of_camera(camera, scale) for camera in cameras],
            "together": None if together is None else as_object(together),
        }
        print_result(json.dumps({"spec": spec, "scale": scale, **said}))
    elif len(cameras) > 1:
        print_result(text_of_cameras(cameras, scale))
    elif together is not None:
        print_result(f"together: {as_text(together)}")
    found = [(image.guess.kernel, image.scale) for image in told if image.guess is not None]
    if output is not None and not found:
        tell_reason(f"{output} is not written: no image could be read")
    elif output is not None:
        one, at = found[0] if together is None else (together.kernel, scale)
        if len(cameras) > 1:  # one row per camera, as in the table
            _draw([from_spec(camera.guess(scale).kernel, scale)[0] for camera in cameras], scale, output)
        else:
            _draw(from_spec(one, at), at, output)
    return EXIT_SOME_FAILED if len(found) < len(told) else 0


def _draw(kernels: "Sequence[Kernel]", scale: int, output: Path) -> None:
    from pipeline.imagery.kernel_picture import draw

    try:
        draw(kernels, scale).save(output)
    except OSError as error:
        raise UsageError(f"--output: cannot write {output}: {error.strerror}; choose another place") from error


def _print_list(spec: str | None, output: str | None, *, listed: bool, as_json: bool) -> None:
    from ..kernel_list import as_objects, as_text

    if not listed:
        raise UsageError("SPEC is missing; name a kernel, or use --list, which prints all names")
    for name, given in (("SPEC", spec), ("--output", output)):
        if given is not None:
            raise UsageError(f"--list prints all names, and {name} says {given}; leave one of them out")
    print_result(json.dumps(as_objects()) if as_json else as_text())


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
