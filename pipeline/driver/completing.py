"""Completes a run with what it names: absolute paths, the kernel from a file, the prior, a model."""

from dataclasses import replace

from sr_ops.settings import NO_PRIOR

from .. import storage
from ..config import RunConfig
from ..imagery.kernel_files import read_kernel
from ..models.model_file import read_model
from ..priors.prior_file import SHIPPED, PriorFile, check_fits, read_prior
from ..storage.patience import Patience
from ..work.assignment import Assignment
from ..work.units import DIVISION


def completed(config: RunConfig) -> Assignment:
    """Return the run with absolute paths, kernel, prior and model filled in, and the files of the latter two.

    Raises:
        UsageError: one of them cannot be read, or is invalid.
    """
    config, prior_file = _with_prior(_with_kernel(_with_whole_paths(config)))
    model_file = read_model(config)
    if model_file is not None:
        config = replace(config, settings=replace(config.settings, weights=model_file.sha256))
    return Assignment(config, prior_file, model_file, DIVISION)


def _with_whole_paths(config: RunConfig) -> RunConfig:
    """Make paths absolute for run.json, since `srpipe retry` may be started from another folder."""
    root = None if config.root is None else storage.absolute(config.root, what="--root")
    named = config.prior_name in (SHIPPED, NO_PRIOR)
    prior_name = config.prior_name if named else storage.absolute(config.prior_name, what="--prior")
    kernel_file = storage.absolute(config.kernel_file) if config.kernel_file else None
    weights_file = storage.absolute(config.weights_file) if config.weights_file else None
    return replace(config, root=root, prior_name=prior_name, weights_file=weights_file, kernel_file=kernel_file)


def _with_kernel(config: RunConfig) -> RunConfig:
    """Put the kernel from the file into the settings."""
    if config.kernel_file is None:
        return config
    storage.check_service(config.kernel_file)
    kernel = read_kernel(config.kernel_file, "--kernel", patiently=Patience(config.retries))
    return replace(config, settings=replace(config.settings, kernel=kernel))


def _with_prior(config: RunConfig) -> tuple[RunConfig, PriorFile | None]:
    """Return the weights to start from; put their sha256 and network sizes into the settings."""
    prior_file = read_prior(config.prior_name)
    if prior_file is None:
        return config, None
    check_fits(prior_file, config.settings)
    of_prior = replace(config.settings.with_body(prior_file.largest), prior=prior_file.sha256)
    return replace(config, settings=of_prior), prior_file
