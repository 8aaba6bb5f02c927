"""Options of `srpipe run` for the method, and for the fit of networks."""

from dataclasses import dataclass
from typing import Annotated

import typer

from pipeline.option_values import PARSERS
from sr_ops.settings import Loss, Method, Normalisation, Preset

from .size_options import SizeOptions, checked_by


@dataclass(frozen=True)
class FitOptions(SizeOptions):
    """Preset, method, network and fit. None leaves a value to the preset."""

    preset: Annotated[
        Preset,
        typer.Option(
            metavar="PRESET",
            help="Choose between time and quality: fast, balanced, best or paper; real, the default without any fit; or"
            " classic, another ZSSR's scheme, for comparison. The options from --steps to --tile-size change parts of"
            " it.",
        ),
    ] = Preset.BALANCED
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Use these weights: shipped, a FILE made by `srpipe prior`, or none, to learn from the image alone.",
            show_default="shipped; none for paper, classic and networks from scratch",
        ),
    ] = None
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            callback=checked_by(PARSERS["method"]),
            help="Enlarge with a network fitted to the image (zssr), the prior as it is (prior), a third"
            " party's trained model (model), or another method that `srpipe methods` lists; auto"
            " decides for each image between zssr, prior and bicubic.",
        ),
    ] = Method.AUTO.value
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Use this trained model for --method model, path or s3://: an ONNX file, or a"
            " .safetensors or .pth that spandrel supports.",
        ),
    ] = None
    model_halo: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=1024,
            help="Let --method model read N pixels around a tile; if it sees no farther, tiles agree"
            " with the whole image.",
            show_default="32",
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Take N optimiser steps where a network is fitted; from a prior, --method auto fits only for blurs"
            " unlike a Gaussian.",
        ),
    ] = None
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            callback=checked_by(PARSERS["network"]),
            help="Use the network for any camera (direct), or fit one from scratch, for bicubic only:"
            " subpixel, zssr, or another that `srpipe methods` lists.",
        ),
    ] = None
    width: Annotated[int | None, typer.Option(metavar="N", min=1, help="Give the hidden layers N channels.")] = None
    depth: Annotated[int | None, typer.Option(metavar="N", min=2, help="Give the network N convolutions.")] = None
    dropout: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0.0,
            max=0.9,
            help="Drop this share of the channels in each step, in networks with this option"
            " (superresnet): 0.1 costs 0.15 dB.",
        ),
    ] = None
    normalisation: Annotated[
        Normalisation | None,
        typer.Option(
            metavar="none|batch|layer",
            help="Normalise the blocks of networks with this option (superresnet): batch costs 0.3 dB, layer more.",
        ),
    ] = None
    crop: Annotated[int | None, typer.Option(metavar="N", min=8, help="Train on crops of N x N pixels.")] = None
    batch: Annotated[int | None, typer.Option(metavar="N", min=1, help="Train on N crops per step.")] = None
    learning_rate: Annotated[
        float | None, typer.Option(metavar="X", min=1e-6, max=1.0, help="Set the peak rate of the one-cycle schedule.")
    ] = None
    loss: Annotated[
        Loss | None,
        typer.Option(
            metavar="l1|l2|charbonnier",
            help="Minimise this loss in fits; the others were no better than l1, which all presets have.",
        ),
    ] = None
    adversarial: Annotated[
        float | None,
        typer.Option(
            metavar="WEIGHT",
            min=0.0,
            max=100.0,
            help="Add an adversarial loss over the image's own patches, with this weight, to fits from"
            " scratch: an image then takes three times as long, and gains no PSNR.",
        ),
    ] = None
