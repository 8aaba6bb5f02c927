"""The kernels of images, for `srpipe kernel`: as text and as objects."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .answers import finite
from .encoding import visible

if TYPE_CHECKING:
    from pipeline.driver.kernel_report import ImageKernel
    from pipeline.output.saved_kernels import SavedKernel
    from sr_ops.estimation.estimate import Estimate
    from sr_ops.estimation.guess import Guess


def text_of_image(told: "ImageKernel", scale: int) -> str:
    """Return a line with the kernel, and one with its evidence; for an unreadable image the reason.

    Args:
        scale: of rows without one.
    """
    if told.guess is None:
        return visible(f"{told.name}: {told.error_type}: {told.error_message}")
    at = "" if told.scale == scale else f" at x{told.scale}"
    noise = "" if told.noise is None else f", noise {told.noise:.3g} in the file's units"
    return f"{visible(told.name)}{at}: {as_text(told.guess)}{noise}"


def as_text(guess: "Guess") -> str:
    """Return the kernel, its confidence, and the evidence."""
    why = f", since {guess.reason}" if guess.reason else ""
    measured = "" if guess.estimate is None else f"\n    {_measured(guess.estimate)}"
    return f"{guess.kernel}, confidence {guess.confidence:.2f}{why}{measured}"


def text_of_cameras(cameras: "Sequence[SavedKernel]", scale: int) -> str:
    """Return a table of the kernels of cameras, as `--kernel estimate-collection` would use them."""
    lines = [("camera", "images", "kernel", "confidence", "")]
    for each in cameras:
        guess = each.guess(scale)
        images = f"{each.images_used} of {each.images_used + each.images_left_out}"
        why = f"since {guess.reason}" if guess.reason else ""
        lines.append((visible(each.camera), images, guess.kernel, f"{guess.confidence:.2f}", why))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _measured(estimate: "Estimate") -> str:
    along, across = estimate.variances
    shape, beside = estimate.shape, ""
    if shape is not None:
        size = f"radius {shape.size:.2f}" if shape.kind == "disc" else f"length {shape.size:.2f}"
        beside = f"{shape.kind} of {size} LR pixels, evidence {estimate.evidence:.0f}; besides "
    return (
        f"{beside}blur of variance {along:.2f} along {estimate.degrees:.0f} degrees, {across:.2f} across, give or take"
        f" {estimate.deviation:.2f}, in LR pixels; sharpening {estimate.sharpening:.2f}, exponent"
        f" {estimate.exponent:.2f}"
    )


def object_of_image(told: "ImageKernel") -> dict[str, Any]:
    """Return the same for programs."""
    guess = {} if told.guess is None else as_object(told.guess)
    return {
        "line": told.line,
        "uri": told.uri,
        "name": told.name,
        "scale": told.scale,
        **guess,
        "noise": finite(told.noise),
        "error_type": told.error_type,
        "error_message": told.error_message,
    }


def object_of_camera(camera: "SavedKernel", scale: int) -> dict[str, Any]:
    """Return a line of the table for programs."""
    counts = {name: getattr(camera, name) for name in ("images_used", "images_left_out", "images_unreadable")}
    return {"camera": camera.camera, **counts, **as_object(camera.guess(scale))}


def as_object(guess: "Guess") -> dict[str, Any]:
    """Return a guess and its evidence."""
    measured = None
    if guess.estimate is not None:
        derived = {name: getattr(guess.estimate, name) for name in ("degrees", "variances")}
        measured = finite(asdict(guess.estimate) | derived)
    return {
        "kernel": guess.kernel,
        "confidence": guess.confidence,
        "reason": guess.reason or None,
        "estimate": measured,
    }
