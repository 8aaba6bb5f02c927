"""The options of `srpipe run` that say what enlarges an image, and how networks are fitted to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from sr_ops.named_files import unknown
from sr_ops.settings import ALL_METHODS, ALL_NETWORKS, Loss, Method, Normalisation, Preset

from .size_options import SizeOptions


def _one_of(kind: str, names: Sequence[str]) -> Callable[[str | None], str | None]:
    """A check that a name is one of these."""

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise typer.BadParameter(unknown(kind, name, names))
        return name

    return check


@dataclass(frozen=True)
class FitOptions(SizeOptions):
    """Preset, method, network and fit. None leaves it to the preset."""

    preset: Annotated[
        Preset,
        typer.Option(
            metavar="PRESET",
            help="Choose time against quality: fast, balanced, best or paper; real, for images whose camera, noise"
            " and JPEG nobody knows; or classic, another ZSSR's scheme, for comparison. The options from --steps"
            " to --tile-size change parts of it.",
        ),
    ] = Preset.BALANCED
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Start fits from the shipped weights, none, or a FILE made by `srpipe prior`.",
            show_default="shipped; none for paper and classic",
        ),
    ] = None
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            callback=_one_of("method", ALL_METHODS),
            help="Take a network fitted to the image (zssr), the prior as it is (prior), a trained model of others"
            " (model), one of those that `srpipe methods` lists, or let the image decide between zssr, prior and"
            " bicubic (auto).",
        ),
    ] = Method.AUTO.value
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Take this trained model for --method model, path or s3://: as ONNX, or .safetensors or .pth that"
            " spandrel knows.",
        ),
    ] = None
    model_halo: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=1024,
            help="Let --method model read so many pixels around a tile: as far as it sees, tiles agree with the whole.",
            show_default="32",
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Take so many optimiser steps for each network that is fitted."),
    ] = None
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            callback=_one_of("network", ALL_NETWORKS),
            help="Take the network for any camera (direct), or fit one from scratch, for bicubic alone: subpixel, zssr,"
            " or another that `srpipe methods` lists.",
        ),
    ] = None
    width: Annotated[int | None, typer.Option(metavar="N", min=1, help="Give the hidden layers so many channels.")] = (
        None
    )
    depth: Annotated[int | None, typer.Option(metavar="N", min=2, help="Give the network so many convolutions.")] = None
    dropout: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0.0,
            max=0.9,
            help="Do without this share of the channels in each step, in networks that have it (superresnet):"
            " 0.1 costs 0.15 dB.",
        ),
    ] = None
    normalisation: Annotated[
        Normalisation | None,
        typer.Option(
            metavar="none|batch|layer",
            help="Normalise the blocks of networks that have it (superresnet): batch costs 0.3 dB, layer more.",
        ),
    ] = None
    crop: Annotated[int | None, typer.Option(metavar="N", min=8, help="Train on crops of so many pixels a side.")] = (
        None
    )
    batch: Annotated[int | None, typer.Option(metavar="N", min=1, help="Train on so many crops a step.")] = None
    learning_rate: Annotated[
        float | None, typer.Option(metavar="X", min=1e-6, max=1.0, help="Let the one-cycle schedule peak at this rate.")
    ] = None
    loss: Annotated[
        Loss | None,
        typer.Option(
            metavar="l1|l2|charbonnier", help="Make this small in fits: l1 is what the others are measured by."
        ),
    ] = None
    adversarial: Annotated[
        float | None,
        typer.Option(
            metavar="WEIGHT",
            min=0.0,
            max=100.0,
            help="Add this weight of an adversarial term over the image's own patches to fits from scratch: an image"
            " then takes three times as long, and gains no PSNR.",
        ),
    ] = None
