"""`srpipe submit`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import UsageError

from .. import spec, stopping
from ..answers import EXIT_ALREADY_SUBMITTED, print_result, tell, tell_reason
from .shared_options import AsJson

if TYPE_CHECKING:
    from ..submit import Outcome


_TO_DO_AGAIN = "To do it again, give another --slot or --submission-id: finished images are not done again"


def submit(
    context: typer.Context,
    job_file: Annotated[
        str, typer.Argument(metavar="JOB_FILE", help="Send this TOML file, as for `srpipe run --config`.")
    ],
    address: Annotated[
        str,
        typer.Option(
            envvar="RAY_API_SERVER_ADDRESS", metavar="URL", help="Use this job server of a cluster: http://HEAD:8265."
        ),
    ],
    slot: Annotated[
        str | None,
        typer.Option(
            help="Start the run of this scheduled time; each slot is started once.", show_default="now, to the second"
        ),
    ] = None,
    submission_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Give the job this name on the cluster.", show_default="srpipe-<JOB_FILE>-<slot>"
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Wait until the job has ended and exit with its exit code; wait for the earlier job if the slot was"
            " started before.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Start `srpipe run --config JOB_FILE` on a Ray cluster. Each slot is started once."""
    if slot is not None and submission_id is not None:
        raise UsageError("--slot has no effect with --submission-id; leave one of them out")
    group: Any = context.find_root().command
    spec.check_for_cluster(job_file, group.commands["run"])
    from .. import submit

    job_id = submit.make_submission_id(job_file, slot, submission_id)
    cluster, shown = submit.connect(address), submit.to_be_told(address)
    try:
        submit.submit(cluster, job_file, job_id)
        tell(f"{job_id} is submitted to {shown}")
    except submit.AlreadySubmittedError as error:
        if not wait:
            tell_reason(f"{error}. {_TO_DO_AGAIN}")
            return EXIT_ALREADY_SUBMITTED
        tell(f"{error}; its exit code is this command's")
    try:
        outcome = submit.wait(cluster, job_id, tell) if wait else submit.Outcome(job_id, shown)
    except stopping.Stopped as stopped:
        stopping.forget()
        tell_reason(f"no longer waiting; {job_id} goes on, `ray job stop --address {shown} {job_id}` would end it")
        return stopped.exit_code
    for line in outcome.log:
        tell(line)
    print_result(json.dumps(asdict(outcome)) if as_json else _sentence(outcome))
    return outcome.exit_code or 0


def _sentence(outcome: "Outcome") -> str:
    if outcome.exit_code is None:
        return outcome.submission_id
    told = " ".join((outcome.message or "").split())
    return f"{outcome.submission_id}: {outcome.status or 'LOST'}, exit code {outcome.exit_code}; {told}"
