"""Submission of a job file to a Ray cluster's job server, and its outcome: the only file of `jobs` that knows Ray."""

import hashlib
import logging
import os
import re
import secrets
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from requests.exceptions import InvalidHeader

from pipeline import storage
from pipeline.errors import UsageError

from .spec import has_credentials

_ENTRYPOINT = "srpipe run --config job.toml"

_TRAVELS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
)
"""The only environment variables that are sent: where things are. Anybody with access to the dashboard can read them,
so the cluster uses its own credentials, from its instances' role."""

_SENT = {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
"""What is sent besides: `ray job stop` would kill a run after 3 s, before its records are stored."""

_MARK = "srpipe-submission"
"""Name of the metadata by which a job is known as that of this call, if the answer to it was lost."""

_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
"""Loggers that report each upload."""

_ASK_SECONDS = 10
_SEND_SECONDS = 60
_POLL_SECONDS = 2.0

_SILENCE_SECONDS = 120
"""After this time without an answer a head is given up; a tunnel that is re-established takes less."""

_LOG_LINES = 20


_JOB_FILE = "srpipe-job-file"
"""Name of the metadata with the sha256 of the job file."""


class AlreadySubmittedError(Exception):
    """The cluster already has a job with this submission id: it is not started twice."""

    def __init__(self, submission_id: str, status: str) -> None:
        super().__init__(f"{submission_id} was submitted before and is {status}; it is not started twice")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job, as far as it was waited for."""

    submission_id: str
    address: str
    status: str | None = None
    """SUCCEEDED, FAILED or STOPPED, as Ray says; None if it was not waited for, or was lost."""
    exit_code: int | None = None
    """Of `srpipe run`; 143: the job was stopped; 1: it could not be run or was lost; None: it was not waited for."""
    message: str | None = None
    log: tuple[str, ...] = ()
    """The last lines of stdout and stderr combined."""


class Cluster(JobSubmissionClient):
    """Ray's client for a job server, with a time limit; Ray's own client waits for an answer for ever."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        answer = _ASK_SECONDS if method == "GET" else _SEND_SECONDS
        return super()._do_request(method, endpoint, timeout=(_ASK_SECONDS, answer), **options)


def to_be_told(address: str) -> str:
    """Return the address without its user and password, which may be those of a proxy and hold any character."""
    return storage.uri_without_secrets(re.sub(r"^(\w+://)?.*@", r"\1", address, flags=re.DOTALL))


def connect(address: str) -> Cluster:
    """Connect to the job server at an http(s):// address.

    Raises:
        UsageError: it is not one, does not answer, or does not accept the token.
    """
    shown = to_be_told(address)
    if not address.startswith(("http://", "https://")):
        raise UsageError(
            f"--address: {shown!r} is not a job server; give http://HEAD:8265, the address of the dashboard"
        )
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # otherwise RAY_ADDRESS would take precedence over the argument
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return Cluster(address)
    except InvalidHeader:  # whose text holds the token
        raise UsageError(
            "RAY_AUTH_TOKEN, or the file ~/.ray/auth_token, holds more than a token, such as a line break; write into"
            " it what `ray get-auth-token` prints on the head"
        ) from None
    except AuthenticationError as error:
        raise UsageError(
            f"{shown} refuses access: {_first_sentence(error)}; put the cluster's token, as `ray get-auth-token`"
            " prints it there, into RAY_AUTH_TOKEN or ~/.ray/auth_token, and leave RAY_AUTH_MODE at token"
        ) from error
    except (OSError, RuntimeError, KeyError) as error:
        raise UsageError(
            f"no job server answers at {shown}: {_first_sentence(_root(error))}; check --address, the tunnel to it, and"
            " that the head has ray[default]"
        ) from None


def make_submission_id(job_file: str, slot: str | None, given: str | None) -> str:
    """Return `given`, or srpipe-night-2026-11-20T02 for night.toml and its slot; without a slot, the current second.

    Raises:
        UsageError: the id has an invalid character.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(job_file).stem)
    submission_id = given or f"srpipe-{name}-{slot or datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%SZ')}"
    if not re.fullmatch(r"[A-Za-z0-9._:+-]{1,200}", submission_id):
        option = "--submission-id" if given else "--slot"
        raise UsageError(
            f"{option}: {submission_id!r} is not a submission id; use up to 200 letters, digits and . _ : + -"
        )
    return submission_id


def submit(cluster: Cluster, job_file: str, submission_id: str) -> None:
    """Start `srpipe run --config` on the cluster with a copy of the job file.

    Raises:
        AlreadySubmittedError: the cluster has a job with this id, whatever its outcome.
        UsageError: the cluster rejects it, or has a job with this id of another job file; or a variable that would be
            sent holds a password.
    """
    variables, mark = travelling_variables(), secrets.token_hex(8)
    data = storage.read(storage.absolute(job_file))
    digest = hashlib.sha256(data).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job.toml").write_bytes(data)
        try:
            cluster.submit_job(
                entrypoint=_ENTRYPOINT,
                submission_id=submission_id,
                runtime_env={"working_dir": folder, "env_vars": variables | _SENT},
                metadata={_MARK: mark, _JOB_FILE: digest},
            )
        except (OSError, RuntimeError, AuthenticationError) as error:
            known = _details(cluster, submission_id)  # the message of the error is a traceback of the server
            if known is None:
                raise UsageError(
                    f"the cluster does not take the job: {_first_sentence(error)}; the log of its dashboard on the head"
                    " has more"
                ) from error
            metadata = known.metadata or {}
            if metadata.get(_JOB_FILE, digest) != digest:
                raise UsageError(
                    f"the cluster has a job {submission_id} of another job file, or of this one before it was changed;"
                    " give another --slot, or an id with --submission-id"
                ) from error
            if metadata.get(_MARK) != mark:
                raise AlreadySubmittedError(submission_id, known.status) from error


def travelling_variables() -> dict[str, str]:
    """Return the environment variables to send. Raises UsageError if one holds a password."""
    variables = {name: os.environ[name] for name in _TRAVELS if os.environ.get(name)}
    for name, value in variables.items():
        if has_credentials(value):
            raise UsageError(f"{name} holds a password, which anybody could read on the cluster; use a role or profile")
    return variables


def wait(cluster: Cluster, submission_id: str, said: Callable[[str], None]) -> Outcome:
    """Wait until the job has ended or the cluster is silent for two minutes; call `said` with each new status."""
    address = to_be_told(cluster.get_address())
    status, answered = None, time.monotonic()
    while True:
        details = _details(cluster, submission_id)
        if details is not None:
            answered = time.monotonic()
            if details.status != status:
                status = details.status
                said(status)
            if status.is_terminal():
                break
        elif time.monotonic() - answered > _SILENCE_SECONDS:
            message = f"no word of it for {_SILENCE_SECONDS} s; it may go on, or its head is lost"
            return Outcome(submission_id, address, None, 1, message)
        time.sleep(_POLL_SECONDS)
    message = (details.message or "").partition(", last available logs")[0]
    return Outcome(submission_id, address, status, _exit_code(details), message, _log(cluster, submission_id))


def _details(cluster: Cluster, submission_id: str) -> JobDetails | None:
    """Return None if there is no such job or no answer; a proxy that asks for another login gives none, either."""
    try:
        return cluster.get_job_info(submission_id)
    except (OSError, RuntimeError, AuthenticationError):
        return None


def _exit_code(details: JobDetails) -> int:
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.status == JobStatus.STOPPED:
        return 128 + signal.SIGTERM
    code: int | None = details.driver_exit_code
    if code is None:
        return 1
    return code if code >= 0 else 128 - code


def _log(cluster: Cluster, submission_id: str) -> tuple[str, ...]:
    try:
        lines: list[str] = cluster.get_job_logs(submission_id).splitlines()
    except (OSError, RuntimeError, AuthenticationError):
        return ()
    return tuple(lines[-_LOG_LINES:])


def _root(error: BaseException) -> BaseException:
    """Return the error from which this one came: Ray says of a connection alone that there is none."""
    inner = error.__cause__ or error.__context__
    return _root(inner) if isinstance(inner, OSError) else error


def _first_sentence(error: BaseException) -> str:
    """Return the first sentence of an error; the last line of a traceback, which is what Ray's head answers."""
    lines = [line.strip() for line in str(error).splitlines() if re.search(r"\w", line)] or [type(error).__name__]
    is_traceback = any("Traceback (most recent call last)" in line for line in lines)
    return storage.without_secrets((lines[-1] if is_traceback else lines[0].split(". ")[0]).rstrip("."))
