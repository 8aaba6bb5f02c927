"""Repetition of what failed in a run, with manifest and settings from the output itself."""

from collections.abc import Collection
from dataclasses import replace

from .. import storage
from ..config import Existing, RunConfig, parse_config
from ..errors import RETRIED, ErrorType, UsageError
from ..models.model_file import read_model
from ..output import layout, records
from ..output.judging import degraded_keys
from ..output.run_file import last_run
from ..output.status import Status
from ..priors.prior_file import read_prior
from ..storage_options import NOTHING_GIVEN, StorageOptions


def failed_work(
    output: str, error_types: Collection[ErrorType], options: StorageOptions = NOTHING_GIVEN
) -> tuple[RunConfig, frozenset[str]]:
    """Return the configuration of the last run on an output, and the keys that failed in it.

    Args:
        error_types: only failures of these kinds, of `RETRIED`; empty for all of them.
        options: access to S3; what they do not say is as in the run.

    Raises:
        UsageError: there is no readable run; it was made by another version, prior or model; or nothing failed so.
    """
    storage.use(options, output)
    before = last_run(output)
    try:
        config = parse_config(before.config)
    except ValueError as error:
        raise UsageError(f"{layout.run_json(output)} is of another version ({error}); use srpipe run") from error
    if config.fingerprint() != before.config_fingerprint:
        raise UsageError(
            f"{output} was made by a version that gave other pixels; use srpipe run, which does everything again"
        )
    # the kernel's file is not read again: its content is in the settings
    config = replace(config, storage=options.over(config.storage), kernel_file=None)
    storage.use(config.storage, output)
    found = read_prior(config.prior_name)
    if found is not None and found.sha256 != config.settings.prior:
        raise UsageError(f"the prior {config.prior_name} is another one than when {output} was made; use srpipe run")
    model = read_model(config)
    if model is not None and model.sha256 != config.settings.weights:
        raise UsageError(f"{config.weights_file} is another model than when {output} was made; use srpipe run")
    table = records.latest(output, before.run_id)
    wanted = {error_type.value for error_type in error_types or RETRIED}
    rows = zip(*(table[name].to_pylist() for name in ("key", "status", "error_type")), strict=True)
    failed = [(key, error) for key, status, error in rows if status == Status.FAILED]
    keys = frozenset(key for key, error in failed if error in wanted)
    if not keys:
        bad_rows = sum(error == ErrorType.BAD_ROW for _, error in failed)
        if bad_rows and not error_types:
            raise UsageError(
                f"all that failed in {output} are bad rows ({bad_rows}), which have no place there yet; correct them in"
                " the manifest and give the same srpipe run command again"
            )
        kinds = f" as {', '.join(sorted(wanted))}" if error_types else ""
        if degraded_keys(table):
            message = f"no image of {output} failed{kinds}, but some are degraded, which would come out the same"
            raise UsageError(f"{message}; run with another --kernel, --noise or --max-consistency-error")
        raise UsageError(f"no image of {output} failed{kinds}; there is nothing to retry")
    # a failure rate means nothing if everything that is tried failed before
    config = replace(config, existing=Existing.RESUME, max_failure_rate=None)
    return replace(config, manifest=before.manifest, output=output), keys
