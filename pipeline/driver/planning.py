"""What a run is to do, by what its output holds."""

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial

import pyarrow as pa

from .. import storage
from ..codec import to_plain
from ..config import Existing, RunConfig
from ..errors import UsageError
from ..manifest.manifest import Manifest
from ..output import records
from ..output.layout import each_commit, list_scenes
from ..output.run_file import read_run_file
from ..storage import Source
from ..work.units import Row
from .held import Held
from .observer import Looking
from .plan import Plan, make_plan
from .unworked import told_by_commits


def planned(
    config: RunConfig,
    manifest: Manifest,
    root: str,
    check: Callable[[], None],
    looking: Looking,
    only: Container[str] | None,
) -> tuple[Plan, pa.Table]:
    """Return what is to be done, by what is in the output, and the records there. Raises UsageError.

    Args:
        check: raises if the output no longer belongs to this run.
        looking: `Observer.looking`.
        only: keys of the images to work on; None for all.
    """
    try:
        known = records.latest(config.output, "")
        find = partial(_find_kernels, config, check, looking, known)
        plan = make_plan(config, manifest, root, held_by_output(config, known), find, only or ())
    except OSError as error:
        raise UsageError(
            f"cannot look at what is in {config.output}: {storage.place_and_reason(error)}; check access"
        ) from error
    if only is None:
        return plan, known
    restricted = plan.restricted(only)
    if not restricted.units and not any(row.key in only for row, _ in plan.committed):
        raise UsageError(f"none of the images that failed is to be done by {config.manifest} any more; use srpipe run")
    return restricted, known


def held_by_output(config: RunConfig, table: pa.Table) -> Held:
    """Return what the output holds, given the records there. Raises OSError if it cannot be listed."""
    commits = [*each_commit(config.output)]
    resumed = config.existing is Existing.RESUME  # else all is done again, whatever a commit says
    mapped, damaged = told_by_commits(config.output, records.unrecorded(table, commits) if resumed else ())
    return Held(
        commits,
        list_scenes(config.output),
        folds_case=storage.folds_case(config.output),
        mapped=mapped | records.recorded_with_map(table) if config.disagreement else None,
        damaged=damaged,
        recorded=frozenset(table["key"].to_pylist()),
        reformed=wrote_other_files(config),
    )


def _find_kernels(
    config: RunConfig,
    check: Callable[[], None],
    looking: Looking,
    table: pa.Table,
    rows: Sequence[Row],
    sources: Mapping[str, Source],
) -> list[Row]:
    """Return rows with the kernels of their cameras. Loads torch only here, if some ask for it."""
    from .camera_kernels import CameraKernels

    return CameraKernels(config, table, check, looking)(rows, sources)


def wrote_other_files(config: RunConfig) -> bool:
    """Return whether a run on the output wrote results of another form, or maps where the next one did not.

    Runs that were broken off may have left some of them, however many there were since.
    """
    try:
        before, wanted = read_run_file(config.output), to_plain(config)
    except FileNotFoundError:
        return False
    return before.reformed or any(before.config.get(name) != wanted[name] for name in ("form", "disagreement"))
