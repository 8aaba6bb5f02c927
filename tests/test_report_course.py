"""What a report says of a run that has not ended: while it goes on, where it was killed, and before it has begun."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import RunConfig
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.output.heartbeat import Heartbeat, State, read_heartbeat, write_heartbeat
from pipeline.output.lock import Lock
from pipeline.output.record import Record
from pipeline.report.making import Report, make_report

from .fixture_types import MakeConfig, Srpipe


def text_of(report: Report) -> str:
    """The page without its tags, scripts and styles."""
    page = re.sub(r"<(script|style).*?</\1>", " ", Path(report.place).read_text(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


class Reporter(Observer):
    """Makes a report as work begins, and after each image."""

    def __init__(self, output: str) -> None:
        self._output = output
        self.made: list[tuple[Report, str]] = []

    def working(self, heartbeat: Callable[[], Heartbeat]) -> None:
        self._heartbeat = heartbeat
        self._report()

    def finished(self, _record: Record) -> None:
        self._report()

    def _report(self) -> None:
        write_heartbeat(self._output, self._heartbeat())  # as the run's own thread does every few seconds
        made = make_report(self._output)
        self.made.append((made, text_of(made)))


@pytest.fixture
def config(tmp_path: Path, images: dict[str, np.ndarray], tiny_config: MakeConfig) -> RunConfig:
    """A run of three images, and a fourth that is missing."""
    assert len(images) == 3
    with (tmp_path / "m.csv").open("a") as manifest:
        manifest.write("nowhere.png\n")
    return tiny_config()


def test_while_a_run_goes_on_it_is_counted_by_its_own_word(config: RunConfig) -> None:
    """From the first moment on, when there is no record yet: how many images, how many of them are done."""
    reporter = Reporter(config.output)
    run(config, reporter)
    assert {(report.state, report.images) for report, _ in reporter.made} == {("running", 4)}
    first, text = reporter.made[0]
    assert (first.records, first.done) == (0, 0)
    assert "The run is at work: 0 of 4 images done, 0 % of the work" in text
    assert "Done 0 of 4" in text
    assert "4 images of" in text
    last, text = reporter.made[-1]
    assert last.done == 3
    assert "The run is at work: 3 of 4 images done, 1 failed, 100 % of the work" in text
    assert "Done 3 of 4 Failed 1" in text
    ended = make_report(config.output)
    assert (ended.state, ended.done, ended.images, ended.records) == ("ended", 3, 4, 4)
    assert "at work" not in text_of(ended)


def test_images_of_earlier_manifests_are_not_counted_as_progress(config: RunConfig, tmp_path: Path) -> None:
    """The next night's run goes into the same output, in which more images are done than it has."""
    run(config)
    (tmp_path / "m.csv").write_text("uri\nnowhere.png\nlost.png\n")
    reporter = Reporter(config.output)
    run(config, reporter)
    first, text = reporter.made[0]
    assert (first.done, first.images, first.records) == (0, 2, 4)
    assert "Done 0 of 2" in text


def test_an_output_of_many_nights(config: RunConfig, tmp_path: Path) -> None:
    """The page says how many images the last manifest has, and how many have a record."""
    run(config)
    (tmp_path / "m.csv").write_text("uri\nb.png\n")
    run(config)
    assert "1 image of m.csv (4 are recorded here)" in text_of(make_report(config.output)).replace(f"{tmp_path}/", "")


def test_a_limit_is_no_early_end(config: RunConfig) -> None:
    """What was asked for was done."""
    run(replace(config, limit=1))
    text = text_of(make_report(config.output))
    assert "3 images were not asked for by the last command, as with --limit." in text
    assert "did not come to its end" not in text


@pytest.mark.parametrize(("row", "is_offered"), [("nowhere.png,", True), ("b.png,no-kernel", False)])
def test_retry_is_offered_for_what_it_does(config: RunConfig, tmp_path: Path, row: str, is_offered: bool) -> None:
    """Not for bad rows."""
    (tmp_path / "m.csv").write_text(f"uri,kernel\na.png,\n{row}\n")
    run(config)
    text = text_of(make_report(config.output))
    assert "What failed, and what to do" in text
    assert ("srpipe retry" in text.partition("When that is done")[2]) is is_offered


def test_of_many_causes_the_most_frequent_are_told(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """And how many more there are."""
    (Path(config.output).parent / "broken.png").write_bytes(b"no picture")
    with Path(config.manifest).open("a") as manifest:
        manifest.write("gone.png\nbroken.png\n")
    run(config)
    monkeypatch.setattr("pipeline.report.page.CAUSES", 1)
    assert "1 more cause, of 1 image, is told in the table of all images." in text_of(make_report(config.output))


@pytest.fixture
def killed(config: RunConfig) -> str:
    """The output of a run that was killed as it began: no record, and a progress.json that says that it goes on."""
    run(config)
    output = Path(config.output)
    for part in (output / "manifest").iterdir():
        part.unlink()
    (output / "manifest.parquet").unlink()
    held = read_heartbeat(config.output)
    assert held is not None
    images = replace(held.images, done=0, failed=0)
    write_heartbeat(config.output, replace(held, state=State.RUNNING, images=images))
    return config.output


def test_a_run_that_was_killed_without_a_record(killed: str) -> None:
    """It says how many images were to be done, and that it ended before any of them had a result."""
    made = make_report(killed)
    assert (made.state, made.done, made.images, made.records) == ("ended", 0, 4, 0)
    assert "ended before any image had a result" in text_of(made)
    assert "No image has a result yet" in text_of(made)
    assert "Done 0 of 4" in text_of(made)


@pytest.mark.parametrize("content", [None, b'{"name": "something else"}', b"{"])
def test_without_its_word_nothing_is_made_up(killed: str, content: bytes | None) -> None:
    """Where progress.json is gone or another program's, a run at work is not said to have no images."""
    progress = Path(killed) / "progress.json"
    run_id = str(read_heartbeat(killed).run_id)  # type: ignore[union-attr]
    progress.unlink()
    if content is not None:
        progress.write_bytes(content)
    with Lock(killed, run_id):
        made = make_report(killed)
    assert (made.state, made.done, made.images) == ("running", 0, None)
    assert "The run is at work. " in text_of(made)
    assert "Done 0 so far" in text_of(made)


def test_the_word_of_an_earlier_run_does_not_count(killed: str) -> None:
    """A run has just begun to work, and has not yet written its own."""
    held = read_heartbeat(killed)
    assert held is not None
    write_heartbeat(killed, replace(held, run_id="earlier"))
    with Lock(killed, held.run_id):
        assert make_report(killed).images is None


def test_a_run_that_still_looks_at_its_manifest(config: RunConfig) -> None:
    """It holds the output and has no run.json of its own: what is there is of an earlier run, and not at work."""
    run(config)
    with Lock(config.output, "later") as lock:
        made = make_report(config.output)
        lock.check()
    assert (made.state, made.done, made.images) == ("busy", 3, 4)
    assert "Another command is at work on this output" in text_of(made)


def test_a_first_run_that_still_looks_at_its_manifest(tmp_path: Path) -> None:
    """There is nothing to report, but there will be."""
    output = str(tmp_path / "out")
    with Lock(output, "first"), pytest.raises(UsageError, match=r"a run has just begun there .* make the report later"):
        make_report(output)


def test_the_command_says_how_far_it_is(killed: str, srpipe: Srpipe) -> None:
    """In its sentence and in its object."""
    held = read_heartbeat(killed)
    assert held is not None
    with Lock(killed, held.run_id):
        _, out, _ = srpipe("report", killed)
        _, plain, _ = srpipe("report", killed, "--json")
    assert out.startswith(f"report: {killed}/report.html (the run is at work, 0 of 4 images done, 0 to look at, ")
    told = json.loads(plain)
    assert (told["state"], told["done"], told["images"]) == ("running", 0, 4)
    assert told.keys() == {
        *("place", "bytes", "records", "pictures", "state", "done", "images", "inputs_lost", "results_lost"),
    }
