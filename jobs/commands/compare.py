"""`srpipe compare`."""

import json
from dataclasses import asdict, replace
from typing import Annotated, Any, ClassVar

import typer

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.quality import Quality
from sr_ops.registry import NETWORKS, unknown
from sr_ops.settings import ALL_METHODS, BY_NETWORKS, Method, Network

from .. import json_log, stopping
from ..answers import EXIT_SOME_FAILED, EXIT_STOPPED, finite, how_to_resume, print_result, tell
from ..json_log import LogFormat
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .quality_options import QualityOptions
from .run import config_from
from .run_options import LimitOptions, MachineOptions, OutputOptions, WhatOptions

_AS_NETWORK = "network:"
"""Before the name of a network that a method has, too."""

_NAMES = (*ALL_METHODS, *(f"{_AS_NETWORK}{name}" if name in ALL_METHODS else name for name in NETWORKS))
"""What can be compared: methods, and networks fitted from scratch by their names."""

_SPELT_OUT = {f"{_AS_NETWORK}{name}" for name in NETWORKS} - {*_NAMES}
"""What may be given instead of a network's bare name."""

_OF_FITS = ("steps", "crop", "batch", "learning_rate", "loss")
_OF_MODELS = ("weights", "model_halo")
_OF_NETWORKS = ("prior", "ensemble")
_OF_SCRATCH = ("width", "depth", "dropout", "normalisation", "adversarial")


class ComparedOptions(QualityOptions):
    """Options for all methods together."""

    hidden: ClassVar = ("method", "network")
    """Kept only to be refused with a word about --methods."""


class ComparedOutput(OutputOptions):
    """Place and form of the results of all methods."""

    defaults: ClassVar = {"output": "./<manifest>-x<scale>-compared"}


@with_panels
def compare(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="Compare on these images, given as for `srpipe run`.")
    ],
    methods: Annotated[
        str,
        typer.Option(
            metavar="A,B,...|all",
            help="Compare these methods and networks, of those that `srpipe methods` lists; zssr is the method,"
            " network:zssr the network fitted from scratch.",
        ),
    ] = "bicubic,prior,auto",
    *,
    what: WhatOptions,
    quality: ComparedOptions,
    output: ComparedOutput,
    machine: MachineOptions,
    limits: LimitOptions,
    storage: StorageFlags,
) -> int:
    """Compare methods on the same images. Each is a run; together they make one table and contact sheets."""
    from pipeline.compare import compare

    from ..comparison import as_text
    from ..progress import run_with_progress

    names = _names(methods, quality)
    config = config_from(manifest, f"{quality.ending()}-compared", what, output, machine, limits, storage)
    ways = {name: _way(config, _quality(quality, name), name) for name in names}
    told = iter(names)
    stopping.advise(how_to_resume(config.existing))
    if output.log_format is LogFormat.JSON:
        json_log.begin()

    def run(way: RunConfig) -> Any:
        tell(f"{next(told)}:")
        return run_with_progress(way, None, output.shown())

    comparison = compare(config, ways, run)
    print_result(json.dumps(finite(asdict(comparison))) if output.json else as_text(comparison))
    if comparison.stopped:
        tell(how_to_resume(config.existing))
        return EXIT_STOPPED
    return EXIT_SOME_FAILED if any(line.failed or line.degraded for line in comparison.lines) else 0


def _names(text: str, quality: QualityOptions) -> tuple[str, ...]:
    """Return the names to compare; `all` includes `model` if its weights are given.

    Raises UsageError for a name that is unknown or given twice, and for weights without `model`.
    """
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    if names == ("all",):
        names = tuple(name for name in _NAMES if name != Method.MODEL or quality.weights is not None)
    names = tuple(name[len(_AS_NETWORK) :] if name in _SPELT_OUT else name for name in names)
    for name in names:
        if name in (Network.DIRECT, f"{_AS_NETWORK}{Network.DIRECT}"):
            raise UsageError("--methods: direct is the prior's network; name prior (as it is) or zssr (fitted further)")
        if name not in _NAMES:
            raise UsageError(f"--methods: {unknown('method', name, _NAMES)}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or not names:
        raise UsageError(f"--methods names {twice or 'none'}{' twice' if twice else ''}; name each once, as in a,b,c")
    if Method.MODEL not in names and (quality.weights is not None or quality.model_halo is not None):
        raise UsageError("--weights and --model-halo are for model alone; name it in --methods, or leave them out")
    return names


def _quality(quality: Quality, name: str) -> Quality:
    """Return the options as one method takes them, without options of a fit if nothing is fitted."""
    if quality.method != Quality.method or quality.network is not None:
        raise UsageError("--method and --network have no effect here; name them in --methods")
    if name not in ALL_METHODS:
        network = name.removeprefix(_AS_NETWORK)
        return replace(quality, method=Method.ZSSR.value, network=network, prior=None, weights=None, model_halo=None)
    without = (*_OF_SCRATCH, *(_OF_FITS if name not in (Method.AUTO, Method.ZSSR) else ()))
    without += _OF_MODELS if name != Method.MODEL else ()
    without += _OF_NETWORKS if name not in BY_NETWORKS else ()
    changes: dict[str, Any] = dict.fromkeys(without)
    return replace(quality, method=name, **changes)


def _way(config: RunConfig, quality: Quality, name: str) -> RunConfig:
    """Return the run of one method, with maps of disagreement where it has members.

    Raises UsageError, with its name, for options that it does not take.
    """
    try:
        of_run = quality.of_run()
    except UsageError as error:
        raise UsageError(f"{name}: {error}; in compare, leave {name} out of --methods") from error
    return replace(config, disagreement=config.disagreement and of_run["settings"].by_networks, **of_run)
