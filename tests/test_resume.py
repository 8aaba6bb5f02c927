"""A run after another on one output: what is done is kept, what changed is done again, a stopped run goes on."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pipeline.driver.plan
import pipeline.driver.run
from pipeline import storage
from pipeline.config import Existing, Form, RunConfig
from pipeline.driver.observer import Observer
from pipeline.driver.plan import Plan
from pipeline.driver.run import run
from pipeline.driver.unworked import records_without_work
from pipeline.errors import UsageError
from pipeline.output import records
from pipeline.output.layout import Commit, list_commits
from pipeline.output.record import Record
from pipeline.work.units import Row

from .fixture_types import DrawPixels, MakeConfig, MakePng, ReadRecords, ReadTiles
from .results import files_below, numbers, pasted

pytestmark = pytest.mark.usefixtures("images", "one_part_a_run")


def test_second_run_does_nothing(
    out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done is skipped without loading an image; tiles, commits and parts stay as they are."""
    run(tiny_config(), observer)
    before, rows = files_below(out), read_records(str(out))
    monkeypatch.setattr(pipeline.driver.run, "executor", None)
    summary = run(tiny_config(), observer)
    assert numbers(summary) == (3, 0, 3, 0, 0)
    after = files_below(out)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} <= {
        *("run.json", "progress.json", "manifest.parquet", "_SUCCESS"),
    }
    assert read_records(str(out)) == rows
    assert observer.plans[1].units == ()


def test_other_settings_and_back(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, read_records: ReadRecords
) -> None:
    """Other settings do all again and withdraw the old commits; the first settings then give the first pixels."""
    config = tiny_config()
    changed = replace(config, settings=replace(config.settings, seed=1))
    run(config, observer)
    first = read_tiles(str(out))
    for next_config in (changed, config):
        assert numbers(run(next_config, observer)) == (3, 3, 0, 0, 0)
        settings = next_config.fingerprint()
        assert {commit.settings for commits in list_commits(str(out)).values() for commit in commits} == {settings}
        assert {row["config_fingerprint"] for row in read_records(str(out)).values()} == {settings}
        assert (read_tiles(str(out)) == first) == (next_config is config)
        assert (out / "_SUCCESS").exists()


def test_changed_source(
    tmp_path: Path,
    out: Path,
    make_png: MakePng,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
) -> None:
    """An image that was replaced is done again, alone."""
    run(tiny_config(), observer)
    before = read_tiles(str(out))
    make_png(tmp_path / "a.png", seed=99)
    assert numbers(run(tiny_config(), observer)) == (3, 1, 2, 0, 0)
    after = read_tiles(str(out))
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.startswith("a.png/")
    }
    assert [len(commits) for commits in list_commits(str(out)).values()] == [1, 1, 1]


@pytest.mark.usefixtures("each_tile_alone")
def test_larger_tiles_leave_no_small_ones(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles
) -> None:
    """Tiles of an earlier cut are gone; the picture is the same however it is cut."""
    config = tiny_config()
    run(config, observer)
    small = pasted(read_tiles(str(out)), "a.png").astype(int)
    run(replace(config, settings=replace(config.settings, tile_size=64)), observer)
    large = read_tiles(str(out))
    assert sorted(large) == [f"{name}/r0000_c0000.png" for name in ("a.png", "b.png", "sub/c.png")]
    assert np.abs(pasted(large, "a.png") - small).max() <= 1


def of_two_forms(tiny_config: MakeConfig, before: str) -> tuple[RunConfig, RunConfig]:
    """A run and another one after it that writes none of the files of the first."""
    first = tiny_config(form=Form(single=before == "files"), disagreement=before != "files")
    return first, replace(first, form=Form(single=before != "files"), disagreement=False)


def assert_only_its_form(out: Path, config: RunConfig) -> None:
    kept, removed = ("images", "tiles") if config.form.single else ("tiles", "images")
    assert [bool(files_below(out / folder)) for folder in (kept, removed, "disagreement")] == [True, False, False]


@pytest.mark.parametrize("before", ["tiles and a map", "files"])
def test_another_form_after_one_that_could_not_be_written(
    before: str, out: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run withdraws what is done, and the disk is full; when there is room nothing of the first form is left."""
    first, then = of_two_forms(tiny_config, before)
    run(first, observer)
    with monkeypatch.context() as patched:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr("pipeline.work.image_work.write_tiles", refuse)
        assert run(then, observer).failed == 3
    assert run(then, observer).done == 3
    assert_only_its_form(out, then)


def test_a_clock_that_was_ahead(out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords) -> None:
    """The records of a later run count, by whatever clock."""
    config = tiny_config()
    run(config, observer)
    (part,) = (out / "manifest").iterdir()
    part.rename(part.with_name("part-21001231T235959999999-abcd-00000.parquet"))
    changed = replace(config, settings=replace(config.settings, seed=1))
    summary = run(changed, observer)
    assert summary.run_id.startswith("21010101T000000000000-")
    assert {row["config_fingerprint"] for row in read_records(str(out)).values()} == {changed.fingerprint()}


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("before", ["tiles and a map", "files"])
def test_another_form_after_a_run_that_was_interrupted(
    before: str, again: bool, out: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images in flight have files and no record; nothing of them is left beside the form that is asked for then.

    Even if a run that asked for it was interrupted, too, before it came to them.
    """
    first, then = of_two_forms(tiny_config, before)
    with monkeypatch.context() as patched:
        write = storage.write

        def interrupted(uri: str, *rest: Any) -> None:
            if "/_commit/" in uri:
                raise KeyboardInterrupt
            write(uri, *rest)

        patched.setattr(storage, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(first, observer)
        if again:
            patched.setattr(observer, "working", interrupted_at_once)
            with pytest.raises(KeyboardInterrupt):
                run(then, observer)
    assert run(then, observer).done == 3
    assert_only_its_form(out, then)


def interrupted_at_once(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_file_of_another_manifest_is_not_replaced(tmp_path: Path, out: Path, tiny_config: MakeConfig) -> None:
    """A key whose one file would lie where that of a key of an earlier manifest does is a bad row."""
    config = tiny_config(form=Form(single=True))
    run(config)
    before = files_below(out / "images")
    (tmp_path / "m.csv").write_text("uri,id\nb.png,a\nb.png,b.png\n")
    with pytest.raises(UsageError, match=r"key 'a' would lie where that of 'a\.png' does, which an earlier run"):
        run(replace(config, strict=True))
    assert numbers(run(config)) == (2, 0, 1, 1, 0)
    assert files_below(out / "images") == before


def test_the_file_of_another_key_is_not_removed(tmp_path: Path, out: Path, tiny_config: MakeConfig) -> None:
    """An image in tiles, `a`, looks for a file that it may have been before, and `a.png` is another's."""
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    run(tiny_config(form=Form(single=True)))
    before = files_below(out / "images")
    (tmp_path / "m.csv").write_text("uri,id\nb.png,a\n")
    for existing in (Existing.RESUME, Existing.OVERWRITE):
        assert run(tiny_config(existing=existing)).done == 1
    assert files_below(out / "images") == before


def test_overwrite_does_everything_again(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles
) -> None:
    """--existing overwrite trusts nothing that is there and comes to the same pixels."""
    run(tiny_config(), observer)
    tiles = read_tiles(str(out))
    (out / "tiles/a.png/r0000_c0000.png").write_bytes(b"spoilt")
    assert numbers(run(tiny_config(existing=Existing.OVERWRITE), observer)) == (3, 3, 0, 0, 0)
    assert read_tiles(str(out)) == tiles


class _Stop(Observer):
    """An observer that interrupts after so many images, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def planned(self, *_: object) -> None: ...

    def finished(self, _record: Record) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_map_without_a_record_is_not_drawn_again(out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A run with --disagreement that was killed before it wrote records goes on; what is committed has its map."""
    config = tiny_config(disagreement=True)
    run(config, observer)
    for part in (out / "manifest").iterdir():
        part.unlink()
    assert numbers(run(config, observer)) == (3, 0, 3, 0, 0)


@pytest.mark.parametrize("lost_part", [False, True], ids=["interrupted", "killed before the part was written"])
def test_stopped_run_goes_on(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, read_records: ReadRecords, lost_part: bool
) -> None:
    """A stopped run keeps what it knew and claims no success; the same command does the rest and misses no record."""
    run(tiny_config(output=f"{out}-whole"), observer)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), _Stop(after=2))
    parts = list((out / "manifest").iterdir())
    assert len(parts) == 1
    assert not (out / "_SUCCESS").exists()
    assert len(list_commits(str(out))) == 2
    if lost_part:
        parts[0].unlink()
    observer.records.clear()
    assert numbers(run(tiny_config(), observer)) == (3, 1, 2, 0, 0)
    assert len(observer.records) == 1
    assert (out / "_SUCCESS").exists()
    assert read_tiles(str(out)) == read_tiles(f"{out}-whole")
    rows, expected = read_records(str(out)), read_records(f"{out}-whole")
    assert {key: (row["status"], row["output_sha256"]) for key, row in rows.items()} == {
        key: (row["status"], row["output_sha256"]) for key, row in expected.items()
    }


@pytest.mark.parametrize("disagreement", [False, True])
def test_a_damaged_commit_of_a_killed_run_means_work(
    out: Path, tiny_config: MakeConfig, observer: Any, caplog: pytest.LogCaptureFixture, disagreement: bool
) -> None:
    """Only its image is done again, with a word about the file; those of other settings or images harm nobody."""
    config = tiny_config(disagreement=disagreement)
    run(config, observer)
    for part in (out / "manifest").iterdir():
        part.unlink()
    (broken,) = (Path(commit.uri(str(out))) for commit in list_commits(str(out))["a.png"])
    others = [Path(Commit("0" * 16, key, "0" * 16).uri(str(out))) for key in ("b.png", "elsewhere.png")]
    for other in (broken, *others):
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(broken.read_bytes()[:100])
    observer.records.clear()
    assert numbers(run(config, observer)) == (3, 2, 1, 0, 0)
    assert sorted(record.key for record in observer.records) == ["a.png", "b.png"]
    said = [message for message in caplog.messages if "damaged" in message]
    assert said == [f"the commit {broken} is damaged; its image is done again"]
    assert [len(commits) for commits in list_commits(str(out)).values()] == [1, 1, 1, 1]
    assert numbers(run(config, observer)) == (3, 0, 3, 0, 0)


def test_a_commit_spelt_otherwise_has_the_record_of_its_row(out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """On a disk that ignores case an image was done under another spelling, and the manifest names this one."""
    config = tiny_config()
    run(config, observer)
    commits = {key: commit for key, (commit,) in list_commits(str(out)).items()}
    path = Path(commits["a.png"].uri(str(out)))
    path.write_bytes(path.read_bytes().replace(b'"key": "a.png"', b'"key": "A.PNG"'))
    row = Row(0, 2, "a.png", "a.png", 2, 0)
    plan = Plan((), (), ((row, commits["a.png"]),), (), 0)
    ((record, index),) = records_without_work(config, plan, records.to_table([]))
    assert (record.key, index) == ("a.png", 0)


def test_success_is_only_for_all_rows(tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """_SUCCESS appears when every row is done, not under a limit, not with a failure, and goes when a row comes in."""
    assert numbers(run(tiny_config(limit=2), observer)) == (3, 2, 0, 0, 1)
    assert not (out / "_SUCCESS").exists()
    assert numbers(run(tiny_config(limit=3), observer)) == (3, 1, 2, 0, 0)
    assert (out / "_SUCCESS").exists()
    with (tmp_path / "m.csv").open("a") as file:
        file.write("none.png\n")
    assert numbers(run(tiny_config(), observer)) == (4, 0, 3, 1, 0)
    assert not (out / "_SUCCESS").exists()


def test_source_that_comes_back(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """An image that was away for one run is done without work when it is back, and the table says done again."""
    run(tiny_config(), observer)
    os.rename(tmp_path / "a.png", tmp_path / "away")
    assert numbers(run(tiny_config(), observer)) == (3, 0, 2, 1, 0)
    assert read_records(str(out))["a.png"]["error_type"] == "missing"
    os.rename(tmp_path / "away", tmp_path / "a.png")
    assert numbers(run(tiny_config(), observer)) == (3, 0, 3, 0, 0)
    assert (out / "_SUCCESS").exists()
    assert read_records(str(out))["a.png"]["status"] == "done"


def test_mended_row(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Once the bad line is out of the manifest it is out of the table, even when there is nothing else to do."""
    (tmp_path / "m.csv").write_text("uri\na.png\n..\n")
    assert numbers(run(tiny_config(), observer)) == (2, 1, 0, 1, 0)
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    assert numbers(run(tiny_config(), observer)) == (1, 0, 1, 0, 0)
    assert list(read_records(str(out))) == ["a.png"]


def test_linked_images_are_skipped_when_done(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A folder of many symbolic links resumes like one of files."""
    (tmp_path / "links").mkdir()
    for number in range(16):
        os.symlink(tmp_path / "sub/c.png", tmp_path / f"links/{number}.png")
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"links/{number}.png\n" for number in range(16)))
    assert numbers(run(tiny_config(), observer)) == (16, 16, 0, 0, 0)
    assert numbers(run(tiny_config(), observer)) == (16, 0, 16, 0, 0)


def test_work_that_cannot_be_listed_is_not_done_twice(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the driver cannot tell the version of a file, the worker can, and finds the commit."""
    run(tiny_config(), observer)
    before = files_below(tmp_path / "out" / "tiles")
    monkeypatch.setattr(pipeline.driver.plan.storage, "stat_all", lambda _: {})
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.failed) == (summary.rows, 0)
    assert files_below(tmp_path / "out" / "tiles") == before


def test_limit_keeps_what_was_known(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """A row beyond the limit that failed before is still known to have failed."""
    (tmp_path / "m.csv").write_text("uri\na.png\ngone.png\nb.png\n")
    run(tiny_config(limit=2), observer)
    assert numbers(run(tiny_config(limit=1), observer)) == (3, 0, 1, 0, 2)
    assert {key: row["status"] for key, row in read_records(str(out)).items()} == {
        "a.png": "done",
        "gone.png": "failed",
        "b.png": "skipped",
    }


def test_of_two_commits_of_a_key_none_is_believed(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """Nothing says which record matches the tiles: the image is processed again, and one record is left."""
    run(tiny_config(), observer)
    out = str(tmp_path / "out")
    (commit,) = list_commits(out)["a.png"]
    storage.write(replace(commit, settings="0123456789abcdef").uri(out), storage.read(commit.uri(out)))
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.already_done) == (1, 2)
    assert list_commits(out)["a.png"] == [commit]


def test_deep_tells_a_change_that_size_and_time_do_not(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, pixels: DrawPixels
) -> None:
    """Other bytes with the same time and size are processed again; the same bytes with another time are not."""
    image = tmp_path / "a.bmp"
    (tmp_path / "m.csv").write_text("uri\na.bmp\n")
    Image.fromarray(pixels(seed=1)).save(image)
    moment = image.stat().st_mtime
    run(tiny_config(), observer)
    assert run(tiny_config(deep=True), observer).done == 1
    os.utime(image, (1, 1))
    assert run(tiny_config(deep=True), observer).already_done == 1
    Image.fromarray(pixels(seed=2)).save(image)
    os.utime(image, (moment, moment))
    assert run(tiny_config(deep=True), observer).done == 1
    image.unlink()
    assert run(tiny_config(deep=True), observer).errors == {"missing": 1}
