"""What the driver makes of what Ray does, and what it hands to workers; no Ray is started here."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.driver import dataflow
from pipeline.driver.limits import LimitReachedError
from pipeline.driver.shares import Share
from pipeline.errors import UsageError
from pipeline.storage_options import S3Options, StorageOptions
from pipeline.work.assignment import Assignment

from .fixture_types import MakeConfig, MakeRow

ray = dataflow.ray


@pytest.mark.parametrize("hours", [6, 40])
def test_a_cluster_that_stands_still_stops_the_run(hours: int, row: MakeRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a limit does: records are kept, and the sentence says whom to ask."""

    class Still:
        def map_batches(self, *_: Any, **_options: Any) -> "Still":
            return self

        def iter_batches(self, **_options: Any) -> Any:
            raise ray.data.exceptions.ExecutionTimeoutError("no progress")

    monkeypatch.setattr(ray.data, "from_items", lambda *_, **_options: Still())
    answers = dataflow._wave([(row("a.png"),)], 1, Share("cpu", 1, None, None), 3600.0 * hours, {})
    with pytest.raises(LimitReachedError, match=rf"no worker gave an answer for {hours} hours; ask `ray status`"):
        next(answers)
    assert ray.data.DataContext.get_current().execution_no_progress_timeout_s == 3600 * hours


@pytest.mark.parametrize(
    ("said", "expected", "sentence"),
    [
        ("The current node timed out during startup.", UsageError, "did not start .* add --executor inline"),
        ("anything else", RuntimeError, "anything else"),
    ],
)
def test_a_machine_too_busy_to_start_ray(
    said: str, expected: type[Exception], sentence: str, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a sentence with a remedy; anything else is a bug, and stays one."""

    def busy(**_options: Any) -> None:
        raise (Exception if expected is UsageError else expected)(said)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", busy)
    with pytest.raises(expected, match=sentence), dataflow._cluster(tiny_config()):
        pass


def test_workers_are_told_of_the_driver_s_store(
    tiny_config: MakeConfig, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their environment may name another or none; what an option says stays."""
    given: list[Assignment] = []
    patience: list[float] = []

    def wave(_units: Any, arguments: dict[str, Any], silence: float, **_others: Any) -> Any:
        given.append(arguments["assignment"])
        patience.append(silence)
        return ()

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://of.the.driver")
    monkeypatch.setattr(dataflow, "_cluster", lambda _config: nullcontext())
    monkeypatch.setattr(dataflow, "_nodes", list)
    monkeypatch.setattr(dataflow._RayLedger, "start", lambda: SimpleNamespace(alive=None))
    monkeypatch.setattr(dataflow, "_Metrics", lambda: SimpleNamespace(publish=None))
    monkeypatch.setattr(dataflow, "_wave", wave)
    config = tiny_config(storage=StorageOptions(output=S3Options("https://of.the.option")))
    for longest in (60.0, 10000.0, 1e9):  # all workers may be in images that take as long
        with dataflow.ray_executor(Assignment(config), 2, longest, lambda: None, lambda _: None) as pool:
            list(pool.execute([(row("a.png"),)]))
    assert patience == [6 * 3600, 10 * 10000, 72 * 3600]
    assignment = given[0]
    assert assignment.config.storage.input.endpoint_url == "https://of.the.driver"
    assert assignment.config.storage.output.endpoint_url == "https://of.the.option"
    assert assignment.config.fingerprint() == config.fingerprint()
