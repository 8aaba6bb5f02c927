"""`srpipe submit` against a Ray head with its job server, on this machine, with a token of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

import pipeline.driver.dataflow  # noqa: F401 - before Ray: it reads its environment once, when it is first imported
from pipeline.errors import UsageError

# isort: split
from jobs import submit

# isort: split
from ray.exceptions import AuthenticationError

from .fixture_types import Srpipe

pytestmark = [pytest.mark.timeout(120), pytest.mark.ray]

TOKEN = "a-token-for-these-tests-only-0123456789"

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Head:
    """A head that runs: where its job server is, and the home folder that holds its token."""

    address: str
    home: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """That of somebody who may submit, without what this machine's own may hold."""
        ours = ("RAY_", "SRPIPE_", "AWS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return kept | {"HOME": str(self.home), "PYTHONPATH": str(REPOSITORY), "PATH": path} | changes

    def submit(self, *arguments: str, address: str = "", **changes: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `srpipe submit`."""
        command = [sys.executable, "-m", "jobs.cli", "submit", *arguments, "--address", address or self.address]
        environment = self.environment(**changes)
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    def jobs(self) -> list[dict[str, Any]]:
        """All that the job server knows."""
        request = urllib.request.Request(f"{self.address}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            known: list[dict[str, Any]] = json.load(answer)
            return known

    def answers(self) -> bool:
        try:
            self.jobs()
        except (OSError, urllib.error.URLError):
            return False
        return True


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """`ray start --head` on ports of its own; ends with the process and the group that were started here."""
    with tempfile.TemporaryDirectory(
        "", "sr", "/tmp", ignore_cleanup_errors=True
    ) as folder:  # socket paths must be short
        home = Path(folder) / "home"
        (home / ".ray").mkdir(parents=True)
        (home / ".ray" / "auth_token").write_text(TOKEN)
        port = free_port()
        head = Head(f"http://127.0.0.1:{port}", home)
        options = {
            "port": free_port(),
            "dashboard-port": port,
            "dashboard-agent-listen-port": free_port(),
            "ray-client-server-port": free_port(),
            "include-dashboard": "true",
            "temp-dir": f"{folder}/t",
            "num-cpus": 2,
            "object-store-memory": 100 << 20,
        }
        command = [f"{Path(sys.executable).parent}/ray", "start", "--head", "--block", "--disable-usage-stats"]
        process = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in options.items())],
            env=head.environment(RAY_AUTH_MODE="token", RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S="0"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 60
            while not head.answers():
                assert process.poll() is None, "the head ended"
                assert time.monotonic() < deadline, "the head does not answer"
                time.sleep(0.2)
            yield head
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """night.toml: one small picture, in the process of the job itself."""
    Image.new("L", (20, 20)).save(tmp_path / "a.png")
    path = tmp_path / "night.toml"
    path.write_text(
        f'manifest = "{tmp_path}/a.png"\noutput = "{tmp_path}/out"\n'
        'scale = 2\nmethod = "bicubic"\nexecutor = "inline"\n'
    )
    return path


def test_a_job_succeeds_on_the_cluster(head: Head, job_file: Path) -> None:
    """The run joins the cluster with its token and writes its table; of the environment only the region went along."""
    job_file.write_text(job_file.read_text().replace('"inline"', '"ray"'))
    secrets = {"AWS_SECRET_ACCESS_KEY": "hidden", "AWS_SESSION_TOKEN": "hidden", "AWS_ACCESS_KEY_ID": "hidden"}
    elsewhere = {"AWS_REGION": "eu-west-9", "RAY_ADDRESS": "127.0.0.1:1"}
    code, out, err = head.submit(str(job_file), "--slot", "2026-11-20T02:00:00+00:00", **elsewhere, **secrets)
    assert code == 0, err
    assert out.startswith("srpipe-night-2026-11-20T02:00:00+00:00: SUCCEEDED, exit code 0;")
    assert "RUNNING" in err
    assert "1 done in" in err
    assert "INFO dashboard_sdk" not in err
    assert pq.read_table(job_file.parent / "out" / "manifest.parquet")["status"].to_pylist() == ["done"]
    (job,) = (job for job in head.jobs() if job["submission_id"] is not None and "night-2026" in job["submission_id"])
    assert job["runtime_env"]["env_vars"] == {"AWS_REGION": "eu-west-9", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
    assert "hidden" not in json.dumps(job)
    assert TOKEN not in json.dumps(job)


def test_the_exit_code_of_the_run_comes_back(head: Head, job_file: Path) -> None:
    """Rows that fail are exit 3 here as there; --json is one object, with the reason in the end of the log."""
    manifest = job_file.parent / "rows.csv"
    manifest.write_text("uri\ngone.png\n")
    job_file.write_text(job_file.read_text().replace("/a.png", "/rows.csv"))
    code, out, _ = head.submit(str(job_file), "--submission-id", "some-fail", "--json")
    outcome = json.loads(out)
    assert (code, outcome["exit_code"], outcome["status"]) == (3, 3, "FAILED")
    assert outcome["submission_id"] == "some-fail"
    assert any("gone.png" in line for line in outcome["log"])


def test_a_slot_is_started_once(head: Head, job_file: Path) -> None:
    """A second submission of a slot starts nothing: exit 5, or that of the job if it is waited for."""
    arguments = (str(job_file), "--no-wait", "--slot")
    assert head.submit(*arguments, "first")[:2] == (0, "srpipe-night-first\n")
    before = len(head.jobs())
    code, out, err = head.submit(*arguments, "first")
    assert (code, out) == (5, "")
    assert "srpipe-night-first was submitted before" in err
    assert "--slot" in err
    assert len(head.jobs()) == before
    code, out, err = head.submit(str(job_file), "--slot", "first")
    assert (code, out.partition(";")[0]) == (0, "srpipe-night-first: SUCCEEDED, exit code 0")
    assert "srpipe-night-first was submitted before" in err
    assert len(head.jobs()) == before
    assert head.submit(*arguments, "second")[0] == 0


@pytest.mark.parametrize("answers", [(), ("RUNNING",)], ids=["ended", "running"])
def test_who_waits_for_a_known_slot_gets_its_exit_code(
    answers: tuple[str, ...], job_file: Path, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job that goes on, and of one that has ended: a failed attempt is never taken for success."""
    monkeypatch.setattr(submit, "_POLL_SECONDS", 0)
    cluster = Taken(details("FAILED", 3), *map(details, answers), details("FAILED", 3))
    monkeypatch.setattr(submit, "connect", lambda _: cluster)
    arguments = ("submit", str(job_file), "--address", "http://head:8265", "--submission-id", "mine")
    code, out, err = srpipe(*arguments)
    assert (code, out.partition(";")[0]) == (3, "mine: FAILED, exit code 3")
    assert "mine was submitted before and is FAILED" in err


def test_a_job_whose_answer_was_lost_is_one_s_own(job_file: Path) -> None:
    """The server took it and the answer did not arrive: the mark in it says whose it is."""
    lost: Any = Taken(details("PENDING"), keeps_mark=True)
    submit.submit(lost, str(job_file), "mine")
    strangers: Any = Taken(details("PENDING"))
    with pytest.raises(submit.AlreadySubmittedError, match="mine was submitted before and is PENDING"):
        submit.submit(strangers, str(job_file), "mine")


def test_a_slot_of_another_job_file_is_not_taken_for_one_s_own(job_file: Path) -> None:
    """Two files of one name in two folders: the second would never run, and its scheduler would see exit code 0."""
    lost: Any = Taken(details("PENDING"), keeps_mark=True)
    submit.submit(lost, str(job_file), "mine")
    sent = lost.sent["metadata"]
    known = details("SUCCEEDED", 0)
    known.metadata = {**sent, submit._MARK: "x"}
    strangers: Any = Taken(known, known)
    with pytest.raises(submit.AlreadySubmittedError):
        submit.submit(strangers, str(job_file), "mine")
    job_file.write_text(f"{job_file.read_text()}\n# another\n")
    with pytest.raises(UsageError, match="a job mine of another job file, or of this one before it was changed; give"):
        submit.submit(strangers, str(job_file), "mine")


def test_a_stopped_job_has_time_to_store_its_records(job_file: Path) -> None:
    """Ray alone kills it after three seconds; its supervisor has the job's environment."""
    cluster: Any = Taken(details("PENDING"), keeps_mark=True)
    submit.submit(cluster, str(job_file), "mine")
    assert cluster.sent["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "30"


@pytest.mark.parametrize("case", ["wrong token", "no token", "no authentication"])
def test_without_the_token_nothing_is_started(head: Head, job_file: Path, tmp_path: Path, case: str) -> None:
    """Exit 2, and a sentence that says where the token belongs."""
    changes = {
        "wrong token": {"RAY_AUTH_TOKEN": "x"},
        "no token": {"HOME": str(tmp_path)},
        "no authentication": {"HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"},
    }[case]
    code, out, err = head.submit(str(job_file), "--submission-id", "refused", **changes)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert f"{head.address} refuses access" in err
    assert "RAY_AUTH_TOKEN" in err
    assert "refused" not in [job["submission_id"] for job in head.jobs()]


def test_a_bad_job_file_is_refused_before_anything_is_sent(head: Head, job_file: Path) -> None:
    """An unknown key is named here, and the cluster hears nothing."""
    before = len(head.jobs())
    job_file.write_text(job_file.read_text() + "scael = 2\n")
    code, _, err = head.submit(str(job_file))
    assert code == 2
    assert "night.toml: unknown key 'scael'; did you mean scale?" in err
    assert len(head.jobs()) == before


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A port that takes connections and never answers, as a tunnel to a lost head does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_address_that_does_not_answer(job_file: Path, nowhere: str, tmp_path: Path) -> None:
    """Nobody there is said at once, a silent one after ten seconds, both with exit 2.

    A password, which may be a proxy's, is not told: messages go into the logs of schedulers.
    """
    somebody = Head("", tmp_path)
    started = time.monotonic()
    for address in ("http://127.0.0.1:1", nowhere):
        with_password = address.replace("http://", "http://me:verysecret@")
        code, out, err = somebody.submit(str(job_file), address=with_password, RAY_AUTH_TOKEN="x")
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert f"no job server answers at {address}" in err
        assert "--address" in err
        assert ("refused" in err) == (address != nowhere)
        assert "verysecret" not in err
    assert time.monotonic() - started < 60  # Ray alone would wait without end; two processes start on a busy machine


def test_an_address_that_is_none(job_file: Path, srpipe: Srpipe) -> None:
    """The address of the cluster itself is not that of its job server."""
    code, _, err = srpipe("submit", str(job_file), "--address", "10.0.0.1:6379")
    assert code == 2
    assert "'10.0.0.1:6379' is not a job server; give http://HEAD:8265" in err


@pytest.mark.parametrize(
    "address", ["me:verysecret@head:8265", "HTTPS://me:verysecret@head", "ray://me:very/secret@head:10001"]
)
def test_an_address_of_another_kind_is_told_without_its_password(address: str) -> None:
    with pytest.raises(UsageError, match="is not a job server") as caught:
        submit.connect(address)
    assert "head" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_token_with_a_line_break_is_not_told(tmp_path: Path, job_file: Path) -> None:
    """As of `$(kubectl exec ... 2>&1)`: what else was printed stands before it."""
    token = "Defaulted container\nverysecret"
    code, _, err = Head("", tmp_path).submit(str(job_file), address="http://127.0.0.1:1", RAY_AUTH_TOKEN=token)
    assert (code, err.count("\n")) == (2, 1), err
    assert "RAY_AUTH_TOKEN, or the file ~/.ray/auth_token, holds more than a token" in err
    assert "verysecret" not in err


def test_the_reason_of_a_failure_on_the_head_is_told(job_file: Path) -> None:
    """Ray's head answers with its whole traceback, of which the last line says why."""
    failure = "Request failed with status code 500: Traceback (most recent call last):\n  File x\nOSError: full\n."
    cluster: Any = Taken(failure=failure)
    with pytest.raises(UsageError, match=r"does not take the job: OSError: full; the log of its dashboard"):
        submit.submit(cluster, str(job_file), "mine")


def test_submission_ids() -> None:
    """File name and slot make the id; without a slot, the second; what has no place in an id is refused."""
    assert submit.make_submission_id("s3://b/my night.toml", "2026-11-20T02", None) == "srpipe-my-night-2026-11-20T02"
    assert submit.make_submission_id("x.toml", None, "mine") == "mine"
    assert re.fullmatch(r"srpipe-x-20\d\d-\d\d-\d\dT\d\d-\d\d-\d\dZ", submit.make_submission_id("x.toml", None, None))
    for slot, given in (("a/b", None), (None, "two words"), (None, "x" * 201)):
        with pytest.raises(UsageError, match="not a submission id"):
            submit.make_submission_id("x.toml", slot, given)


def test_slot_and_id_exclude_each_other(job_file: Path, srpipe: Srpipe) -> None:
    """An id of one's own has no slot in it."""
    arguments = ("--address", "http://127.0.0.1:1", "--slot", "a", "--submission-id", "b")
    code, _, err = srpipe("submit", str(job_file), *arguments)
    assert code == 2
    assert "--slot has no effect with --submission-id" in err


def test_a_password_in_an_endpoint_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that holds a password is refused, without saying it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://me:secret@store:9000")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL holds a password") as refused:
        submit.travelling_variables()
    assert "secret" not in str(refused.value)


class FakeCluster:
    """A job server that gives prepared answers, then none."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def get_job_info(self, _submission_id: str) -> Any:
        if not self._answers:
            raise ConnectionError
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_job_logs(self, _submission_id: str) -> str:
        return "\n".join(map(str, range(30)))

    def get_address(self) -> str:
        return "http://head:8265"


class Taken(FakeCluster):
    """A job server that has the id already, or whose answer to a submission is lost after it took the job."""

    def __init__(
        self, *answers: Any, keeps_mark: bool = False, failure: str = "Request failed with status code 500"
    ) -> None:
        super().__init__(*answers)
        self._keeps_mark = keeps_mark
        self._failure = failure

    def submit_job(self, **job: Any) -> None:
        self.sent = job
        if self._keeps_mark:
            self._answers[0].metadata = job["metadata"]
        raise RuntimeError(self._failure)


def details(status: str, code: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        status=submit.JobStatus(status), driver_exit_code=code, message="so it went", metadata={"job": "x"}
    )


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        *(("FAILED", code, code) for code in (1, 2, 3, 4)),
        ("SUCCEEDED", 0, 0),
        ("STOPPED", None, 143),
        ("FAILED", None, 1),
        ("FAILED", -9, 137),
    ],
)
def test_exit_codes_of_jobs(status: str, code: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own code where there is one; 143 for a stopped job, 1 for one that never ran; gaps are waited over."""
    monkeypatch.setattr(submit, "_POLL_SECONDS", 0)
    heard: list[str] = []
    cluster: Any = FakeCluster(
        details("PENDING"), ConnectionError(), AuthenticationError("401"), details("PENDING"), details(status, code)
    )
    outcome = submit.wait(cluster, "id", heard.append)
    assert (outcome.status, outcome.exit_code) == (status, expected)
    assert heard == ["PENDING", status]
    assert outcome.log == tuple(map(str, range(10, 30)))


def test_a_lost_head_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the cluster is silent for too long the outcome is unknown, which is exit 1 and not success."""
    monkeypatch.setattr(submit, "_POLL_SECONDS", 0)
    monkeypatch.setattr(submit, "_SILENCE_SECONDS", 0.05)
    cluster: Any = FakeCluster(details("RUNNING"))
    outcome = submit.wait(cluster, "id", lambda _: None)
    assert (outcome.status, outcome.exit_code) == (None, 1)
    assert "it may go on" in str(outcome.message)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_outlives_who_waits(
    number: int,
    code: int,
    job_file: Path,
    srpipe: Srpipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal ends the waiting, not the job, and the last line says how to end that."""

    def interrupted(*_: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(submit, "connect", lambda _: None)
    monkeypatch.setattr(submit, "submit", lambda *_: None)
    monkeypatch.setattr(submit, "wait", interrupted)
    ended, _, err = srpipe("submit", str(job_file), "--address", "http://head:8265", "--submission-id", "mine")
    assert ended == code
    assert "mine goes on, `ray job stop --address http://head:8265 mine` would end it" in err.splitlines()[-1]
