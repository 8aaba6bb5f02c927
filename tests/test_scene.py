"""Scenes: divided into groups of tiles, they come out as they do undivided, and a stopped run goes on inside them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import storage
from pipeline.config import Executor, Existing, Form
from pipeline.driver import waves
from pipeline.driver.run import run
from pipeline.imagery import picture
from pipeline.imagery.reading import decoder_processes
from pipeline.output.layout import list_commits, list_scenes
from pipeline.output.record import Record
from pipeline.storage.patience import Patience
from pipeline.work import enlarging, image_work, scene
from pipeline.work.assignment import Assignment
from pipeline.work.units import DIVISION, Answer, Division, Group, GroupRecord, Scene
from pipeline.work.worker import Worker
from sr_ops.settings import FitSettings, Method, Network, Settings

from .fixture_types import MakeConfig, MakePng, MakePrior, MakeRow, ReadRecords, ReadTiles
from .results import files_below

SMALL = Division(pixels=1000, group_seconds=0.002)
"""The scenes of this file are of 3,300 pixels in 16 tiles: six groups of three tiles at x2, 16 of one at x4."""


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", SMALL)


@pytest.fixture
def scenes(tmp_path: Path, images: dict[str, np.ndarray], make_png: MakePng) -> None:
    """A manifest of two scenes, one in colour and one in gray, and of the three small pictures of `images`."""
    make_png(tmp_path / "big.png", seed=5, height=60, width=55)
    make_png(tmp_path / "deep/gray.png", seed=6, height=55, width=60, bands=1)
    names = ["big.png", "deep/gray.png", *images]
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"{name}\n" for name in names))


@pytest.fixture
def big(tmp_path: Path, make_png: MakePng) -> Path:
    """A manifest of one scene."""
    make_png(tmp_path / "big.png", seed=5, height=60, width=55)
    (tmp_path / "m.csv").write_text("uri\nbig.png\n")
    return tmp_path / "big.png"


@pytest.fixture
def enlarged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tiles of every call that enlarges some."""
    calls: list[int] = []

    def count(image: Any, tiles: Any, *more: Any) -> Any:
        calls.append(len(tiles))
        return enlarging.write_tiles(image, tiles, *more)

    monkeypatch.setattr(image_work, "write_tiles", count)
    return calls


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of every image that is fitted."""
    calls: list[tuple[int, ...]] = []
    fit_stages = image_work.fit_stages

    def count(observation: Any, *more: Any) -> Any:
        calls.append(tuple(observation.lr.shape))
        return fit_stages(observation, *more)

    monkeypatch.setattr(image_work, "fit_stages", count)
    return calls


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the process be killed, as it were, when a worker is handed one group more than so many; None: never."""
    do_group = Worker._group

    def stop(groups: int | None) -> None:
        left = iter(range(groups)) if groups is not None else None

        def do_or_die(self: Worker, group: Group) -> Answer:
            if left is not None and next(left, None) is None:
                raise KeyboardInterrupt
            return do_group(self, group)

        monkeypatch.setattr(Worker, "_group", do_or_die)

    return stop


def _working_folder(output: Path) -> list[str]:
    return sorted(os.path.relpath(path, output) for path in (output / "_scene").rglob("*"))


def _content(row: dict[str, Any]) -> dict[str, Any]:
    """What of a record is the same however the work was divided: all but times, processes and place."""
    others = {name for name in row if name.endswith(("_s", "_at")) or name.startswith("worker")}
    return {name: row[name] for name in set(row) - others - {"peak_memory_bytes", "output_uri"}}


@pytest.mark.usefixtures("scenes")
@pytest.mark.parametrize(
    "changes",
    [
        *({"scale": 2}, {"scale": 3, "ensemble": False}, {"scale": 4, "ensemble": False}),
        *({"method": Method.BICUBIC}, {"method": Method.AUTO}, {"network": Network.ZSSR}, {"stack": 2}),
    ],
    ids=str,
)
def test_divided_equals_undivided(
    changes: dict[str, Any],
    tmp_path: Path,
    tiny_config: MakeConfig,
    tiny_settings: Settings,
    observer: Any,
    read_tiles: ReadTiles,
    read_records: ReadRecords,
    monkeypatch: pytest.MonkeyPatch,
    enlarged: list[int],
) -> None:
    """Scenes and small images mixed: the same tiles byte for byte, the same records, and no working folder is left."""
    settings = replace(tiny_settings, **changes)
    run(tiny_config(settings=settings, output=f"{tmp_path}/whole"), observer)
    assert sorted(enlarged) == [1, 4, 6, 16, 16]
    enlarged.clear()
    seconds = SMALL.group_seconds / (1 if settings.ensemble else 8)
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", replace(SMALL, group_seconds=seconds))
    summary = run(tiny_config(settings=settings), observer)
    assert (summary.done, summary.failed) == (5, 0)
    assert sum(enlarged) == 43
    assert sum(tiles < 4 for tiles in enlarged) > 10
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    whole, parts = read_records(f"{tmp_path}/whole"), read_records(str(tmp_path / "out"))
    assert {key: _content(row) for key, row in parts.items()} == {key: _content(row) for key, row in whole.items()}
    assert not (tmp_path / "out/_scene").exists()
    assert run(tiny_config(settings=settings), observer).already_done == 5


@pytest.mark.usefixtures("big", "divided")
def test_a_scene_starts_from_the_prior(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    make_prior: MakePrior,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights far from bicubic, and a gray network for a picture in colour, are stored and read again to the bit."""
    (tmp_path / "p").write_bytes(make_prior(bands=(1,)))
    run(tiny_config(prior_name=str(tmp_path / "p")), observer)
    assert observer.records[-1].prior_bands == 1
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", DIVISION)
    run(tiny_config(prior_name=str(tmp_path / "p"), output=f"{tmp_path}/whole"), observer)
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    assert _content(asdict(observer.records[0])) == _content(asdict(observer.records[1]))


@pytest.mark.usefixtures("big", "divided")
def test_times_are_those_of_all_parts(tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are summed over the fit and the groups; the end is that of the last."""
    told: list[Any] = []

    def finish(output: str, begun: Scene, groups: list[GroupRecord], patiently: Patience) -> Record:
        groups[1:3] = [replace(group, record=replace(group.record, attempt=2)) for group in groups[1:3]]
        told.extend([begun.record, *(group.record for group in groups)])
        return scene.finish(output, begun, groups, patiently)

    monkeypatch.setattr(waves, "scene", type("Scenes", (), {"finish": staticmethod(finish)}))
    run(tiny_config(), observer)
    (record,) = observer.records
    assert len(told) == 7
    for name in ("read_s", "infer_s", "back_project_s", "write_s", "total_s"):
        assert getattr(record, name) == pytest.approx(sum(getattr(part, name) for part in told))
        assert all(getattr(part, name) > 0 for part in told[1:])
    assert record.fit_s == told[0].fit_s > 0
    assert record.attempt == 3, "two of its groups were tried once more"
    assert record.started_at == told[0].started_at
    assert record.finished_at >= max(part.finished_at for part in told)


@pytest.mark.usefixtures("big", "divided")
@pytest.mark.parametrize("groups", [0, 1, 4])
def test_resume_inside_a_scene(
    groups: int,
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    stop_after: Callable[[int | None], None],
    enlarged: list[int],
    fits: list[Any],
) -> None:
    """A run that is killed after some groups does not fit again, and does only the groups that are not done."""
    run(tiny_config(output=f"{tmp_path}/whole"), observer)
    assert enlarged == [3, 3, 3, 3, 3, 1]
    enlarged.clear()
    fits.clear()
    stop_after(groups)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), observer)
    assert (len(fits), len(enlarged)) == (1, groups)
    assert list_commits(str(tmp_path / "out")) == {}
    held = _working_folder(tmp_path / "out")
    assert sum("group-" in name for name in held) == groups
    stop_after(None)
    summary = run(tiny_config(), observer)
    assert (summary.done, len(fits), len(enlarged)) == (1, 1, 6)
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    assert _content(asdict(observer.records[1])) == _content(asdict(observer.records[0]))
    assert not (tmp_path / "out/_scene").exists()


@pytest.mark.usefixtures("big", "divided")
def test_a_group_counts_when_its_tiles_are_durable(
    tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, then what the fit told; of each group the tiles, then its record; then the mosaic and the commit."""
    events: list[str] = []

    def log(name: str, act: Callable[..., None]) -> Callable[..., None]:
        def logged(uri: str, *data: bytes) -> None:
            _, _, path = uri.partition("/out/")
            events.append(f"{name} {path.rpartition('/')[2] if path.startswith('_scene') else path.split('/')[0]}")
            act(uri, *data)

        return logged

    for name in ("write", "remove"):
        monkeypatch.setattr(storage, name, log(name, getattr(storage, name)))
    run(tiny_config(), observer)
    fit = ["result.json", "scaling.json", "weights.safetensors", "scene.json"]
    first = events.index("write result.json")
    expected = [f"write {name}" for name in fit]
    groups = [f"group-{start:05}-{min(start + 3, 16):05}.json" for start in range(0, 16, 3)]
    for number, group in enumerate(groups):
        expected += ["write tiles"] * (3 if number < 5 else 1) + [f"write {group}"]
    expected += ["write tiles", "write _commit", *(f"remove {name}" for name in sorted([*groups, *fit]))]
    assert events[first : first + len(expected)] == expected


@pytest.mark.usefixtures("big", "divided")
def test_other_settings_in_between(
    tmp_path: Path,
    tiny_config: MakeConfig,
    tiny_settings: Settings,
    observer: Any,
    read_tiles: ReadTiles,
    stop_after: Callable[[int | None], None],
) -> None:
    """Groups whose tiles were overwritten by other settings are done again, not believed."""
    run(tiny_config(output=f"{tmp_path}/whole"), observer)
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), observer)
    stop_after(1)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(settings=replace(tiny_settings, seed=1)), observer)
    assert len(list_scenes(str(tmp_path / "out"))) == 1
    stop_after(None)
    assert run(tiny_config(), observer).done == 1
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    assert not (tmp_path / "out/_scene").exists()


@pytest.mark.usefixtures("divided")
def test_source_replaced_after_the_plan_and_put_back(
    tmp_path: Path,
    big: Path,
    tiny_config: MakeConfig,
    observer: Any,
    make_png: MakePng,
    read_tiles: ReadTiles,
    stop_after: Callable[[int | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Groups whose tiles were overwritten from another file than the planned one are done again, not believed."""
    run(tiny_config(output=f"{tmp_path}/whole"), observer)
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), observer)
    stop_after(None)
    shutil.copy2(big, tmp_path / "first.png")
    with monkeypatch.context() as patched:
        patched.setattr(observer, "planned", lambda *_: make_png(big, seed=7, height=60, width=55))
        assert run(tiny_config(), observer).done == 1
    assert list_scenes(str(tmp_path / "out")) == {}
    shutil.copy2(tmp_path / "first.png", big)
    assert run(tiny_config(), observer).done == 1
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")


@pytest.mark.usefixtures("big", "divided")
def test_a_scene_that_goes_on_withdraws_what_its_tiles_make_wrong(
    tmp_path: Path,
    tiny_config: MakeConfig,
    tiny_settings: Settings,
    stop_after: Callable[[int | None], None],
) -> None:
    """A commit of other settings that lies beside it goes before its next tile, not its own folder."""
    other = replace(tiny_settings, seed=1)
    run(tiny_config(settings=other))
    (commit,) = list_commits(str(tmp_path / "out"))["big.png"]
    uri = commit.uri(str(tmp_path / "out"))
    held = storage.read(uri)
    for groups in (2, 1):
        stop_after(groups)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_config())
        assert list_commits(str(tmp_path / "out")) == {}
        assert len(_working_folder(tmp_path / "out")) > 4
        storage.write(uri, held)


@pytest.mark.usefixtures("big", "divided")
def test_overwrite_does_all_again(
    tiny_config: MakeConfig,
    observer: Any,
    stop_after: Callable[[int | None], None],
    enlarged: list[int],
    fits: list[Any],
) -> None:
    """With --existing overwrite neither the stored fit nor finished groups are taken over."""
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), observer)
    stop_after(None)
    assert run(tiny_config(existing=Existing.OVERWRITE), observer).done == 1
    assert (len(fits), len(enlarged)) == (2, 4 + 6)
    assert run(tiny_config(existing=Existing.OVERWRITE), observer).done == 1
    assert (len(fits), len(enlarged)) == (3, 4 + 12)


@pytest.mark.usefixtures("big", "divided")
def test_smaller_tiles_of_an_earlier_run(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings, observer: Any, read_tiles: ReadTiles
) -> None:
    """Tiles that an earlier run left beside those of the scene are gone when it is committed."""
    run(tiny_config(settings=replace(tiny_settings, tile_size=8)), observer)
    assert len(read_tiles(str(tmp_path / "out"))) == 56
    run(tiny_config(), observer)
    assert len(read_tiles(str(tmp_path / "out"))) == 16


@pytest.mark.usefixtures("big", "divided")
@pytest.mark.parametrize("before", ["one file", "a map"])
def test_what_it_was_before_is_gone_when_it_is_committed(
    before: str,
    tmp_path: Path,
    tiny_config: MakeConfig,
    tiny_settings: Settings,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one file of an earlier run, and its disagreement map if this one draws none: removed before the commit."""
    form, folder = (Form(single=True), "images") if before == "one file" else (Form(), "disagreement")
    config = tiny_config(settings=replace(tiny_settings, seed=1))
    run(replace(config, form=form, disagreement=before == "a map"), observer)
    old = set(files_below(tmp_path / "out" / folder))
    assert old
    events: list[str] = []

    def log(name: str, act: Callable[..., None]) -> Callable[..., None]:
        def logged(uri: str, *data: bytes) -> None:
            events.append(f"{name} {uri.partition('/out/')[2]}")
            act(uri, *data)

        return logged

    for name in ("write", "remove"):
        monkeypatch.setattr(storage, name, log(name, getattr(storage, name)))
    assert run(tiny_config(), observer).done == 1
    (committed,) = [place for place, event in enumerate(events) if event.startswith("write _commit/")]
    assert {f"remove {folder}/{name}" for name in old} <= set(events[:committed])
    assert not files_below(tmp_path / "out" / folder)
    assert observer.records[-1].disagreement_uri is None


@pytest.mark.usefixtures("divided")
def test_source_changed_in_between(
    tmp_path: Path,
    big: Path,
    tiny_config: MakeConfig,
    observer: Any,
    make_png: MakePng,
    read_tiles: ReadTiles,
    enlarged: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file replaced after some groups fails the image with what to do, and the next run does it from the start."""

    def replace_then(write_tiles: Any) -> Any:
        def act(*arguments: Any) -> Any:
            written = write_tiles(*arguments)
            make_png(big, seed=7, height=60, width=55)
            os.utime(big, (1, len(enlarged)))
            return written

        return act

    with monkeypatch.context() as patched:
        patched.setattr(image_work, "write_tiles", replace_then(image_work.write_tiles))
        summary = run(tiny_config(), observer)
    assert (summary.done, summary.errors, len(enlarged)) == (0, {"read": 1}, 1)
    assert observer.records[-1].error_message == f"{big} was changed while it was worked on; run again"
    assert list_commits(str(tmp_path / "out")) == {}
    assert run(tiny_config(), observer).done == 1
    run(tiny_config(output=f"{tmp_path}/whole"), observer)
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    assert not (tmp_path / "out/_scene").exists()


@pytest.mark.usefixtures("big")
def test_groups_after_the_death_of_a_decoder(
    tiny_config: MakeConfig, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group that asked it fails; for the next one the worker opens the scene again."""
    monkeypatch.setattr(picture, "HELD_WHOLE", 100)
    worker = Worker(Assignment(tiny_config(), division=SMALL), "cpu")
    (begun,) = worker([row("big.png")])
    assert isinstance(begun, Scene)
    answers: list[Answer] = []
    for unit in begun.units()[:3]:
        answers += worker(unit)
        if len(answers) == 1:
            for decoder in tuple(decoder_processes._alive):
                decoder.process.kill()
    worker.close()
    assert [type(answer) for answer in answers] == [GroupRecord, Record, GroupRecord]
    assert isinstance(answers[1], Record)
    assert answers[1].error_type == "crashed"


@pytest.mark.usefixtures("big", "divided")
def test_failed_group(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    enlarged: list[int],
    fits: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A group that fails fails its scene with the reason, the rest is left alone; the next run goes on from there."""
    with monkeypatch.context() as patched:

        def refuse(image: Any, tiles: Any, *more: Any) -> Any:
            if tiles[0].row == 1:
                raise ZeroDivisionError("by zero")
            return enlarging.write_tiles(image, tiles, *more)

        patched.setattr(image_work, "write_tiles", lambda *arguments: enlarged.append(0) or refuse(*arguments))
        summary = run(tiny_config(), observer)
    assert (summary.done, summary.errors, len(observer.records)) == (0, {"internal": 1}, 1)
    assert "ZeroDivisionError: by zero" in observer.records[0].error_message
    assert len(enlarged) == 3  # tiles 0 to 2, 3 to 5 begin in the first row; the third fails
    assert capsys.readouterr().err.count("Traceback") == 1
    assert any(name.endswith("failed.json") for name in _working_folder(tmp_path / "out"))
    enlarged.clear()
    assert run(tiny_config(), observer).done == 1
    assert (len(fits), enlarged) == (1, [3, 3, 3, 1])
    assert not (tmp_path / "out/_scene").exists()


@pytest.mark.usefixtures("big", "divided")
@pytest.mark.parametrize(
    "name", ["weights.safetensors", "scaling.json", "result.json", "scene.json", "group-00000-00003.json"]
)
@pytest.mark.parametrize("change", [None, b"{}", b"[]"])
def test_damaged_working_folder(
    name: str,
    change: bytes | None,
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    stop_after: Callable[[int | None], None],
    enlarged: list[int],
    fits: list[Any],
) -> None:
    """What is lost or damaged there is done again, what the fit left damaged by the run after the one that met it."""
    stop_after(1)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), observer)
    stop_after(None)
    (path,) = (tmp_path / "out/_scene").rglob(name)
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change)
    summary = run(tiny_config(), observer)
    if change is not None and name in ("weights.safetensors", "scaling.json"):
        assert summary.errors == {"read": 1}
        assert "is gone or damaged" in observer.records[-1].error_message
        summary = run(tiny_config(), observer)
    assert summary.done == 1
    redone = {"result.json": (1, 6), "group-00000-00003.json": (1, 1 + 6)}
    assert (len(fits), len(enlarged)) == redone.get(name, (2, 1 + 6))


@pytest.mark.usefixtures("big", "divided")
@pytest.mark.parametrize("change", [None, b"\xff\xfe", b'{"side": 32, "header": "[]"}'])
def test_damaged_while_it_is_worked_on(
    change: bytes | None,
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    enlarged: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the commit needs and cannot read fails the image; the next run has nothing left to do but to commit it."""

    def spoil() -> None:
        (path,) = (tmp_path / "out/_scene").rglob("result.json")
        path.unlink() if change is None else path.write_bytes(change)

    run(tiny_config(output=f"{tmp_path}/whole"), observer)
    finish = scene.finish
    with monkeypatch.context() as patched:
        patched.setattr(scene, "finish", lambda *arguments: spoil() or finish(*arguments))
        assert run(tiny_config(), observer).errors == {"read": 1}
    assert "result.json is gone or damaged" in observer.records[-1].error_message
    enlarged.clear()
    assert run(tiny_config(), observer).done == 1
    assert enlarged == []
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    assert not (tmp_path / "out/_scene").exists()


@pytest.mark.usefixtures("big", "divided")
@pytest.mark.parametrize(
    ("operation", "only", "error_type"),
    [("read", "/result.json", "read"), ("write", "/mosaic.vrt", "write"), ("write", "/_commit/", "write")],
)
def test_a_commit_is_tried_again(
    operation: str,
    only: str,
    error_type: str,
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults of storage that pass cost a scene nothing, at most so many as are asked for; then it fails by them."""
    undisturbed, faults = getattr(storage, operation), 1

    def disturbed(uri: str, *data: bytes) -> Any:
        nonlocal faults
        if only in uri and faults:
            faults -= 1
            raise ConnectionResetError(104, "Connection reset by peer")
        return undisturbed(uri, *data)

    monkeypatch.setattr(storage, operation, disturbed)
    assert run(tiny_config(retries=1), observer).done == 1
    assert faults == 0
    faults = 2
    assert run(tiny_config(retries=1, output=f"{tmp_path}/again"), observer).errors == {error_type: 1}
    assert "Connection reset by peer" in observer.records[-1].error_message


@pytest.mark.usefixtures("big", "divided")
def test_failing_commit(
    tiny_config: MakeConfig, observer: Any, enlarged: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the commit cannot be stored the image fails, and the next run has nothing left to do but that."""
    write = storage.write

    def refuse(uri: str, data: bytes) -> None:
        if "/_commit/" in uri:
            raise PermissionError(13, "Access Denied")
        write(uri, data)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "write", refuse)
        assert run(tiny_config(), observer).errors == {"write": 1}
    assert "Access Denied; check space and access, then run again" in observer.records[-1].error_message
    assert observer.records[-1].output_uri is None
    assert run(tiny_config(), observer).done == 1
    assert len(enlarged) == 6


@pytest.mark.usefixtures("big", "divided")
def test_leftovers_of_a_committed_scene(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run that was killed after the commit left in the working folder, the next one takes away."""
    with monkeypatch.context() as patched:
        patched.setattr(scene, "clear", lambda *_: None)
        patched.setattr(scene, "tidy", lambda *_: None)
        run(tiny_config(), observer)
    assert len(_working_folder(tmp_path / "out")) > 6
    assert run(tiny_config(), observer).already_done == 1
    assert not (tmp_path / "out/_scene").exists()


@pytest.mark.usefixtures("divided", "big")
@pytest.mark.parametrize("existing", [Existing.RESUME, Existing.OVERWRITE])
def test_links_lead_no_removal_out_of_the_output(tmp_path: Path, tiny_config: MakeConfig, existing: Existing) -> None:
    """A scene's working folder is emptied, and a folder that a link in it leads to stays as it is."""
    config = tiny_config()
    run(config)
    ((commit,),) = list_commits(config.output).values()
    folder = Path(commit.scene_folder(config.output))
    folder.mkdir(parents=True)
    mine = tmp_path / "mine/notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    (folder / "link").symlink_to(mine.parent)
    run(replace(config, existing=existing))
    assert mine.read_text() == "mine"
    assert not folder.exists()


@pytest.mark.usefixtures("scenes", "divided")
def test_scenes_on_s3(
    tmp_path: Path, s3_bucket: str, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles
) -> None:
    """The working folder may lie on S3, and is gone from there in the end."""
    summary = run(tiny_config(output=f"{s3_bucket}/out"), observer)
    assert (summary.done, summary.failed) == (5, 0)
    run(tiny_config(), observer)
    assert read_tiles(f"{s3_bucket}/out") == read_tiles(str(tmp_path / "out"))
    assert storage.find(f"{s3_bucket}/out/_scene") == {}


@pytest.mark.timeout(170)
@pytest.mark.ray
def test_two_workers_share_a_scene(
    tmp_path: Path,
    make_png: MakePng,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    read_records: ReadRecords,
    monkeypatch: pytest.MonkeyPatch,
    both_work: Callable[[type], None],
) -> None:
    """With Ray, both workers do groups of the one scene there is, and all is as it is undivided."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fit = FitSettings(steps=1, crop=16, batch=1)
    settings = Settings(scale=2, method=Method.ZSSR, fit=fit, tile_size=64, ensemble=False)
    make_png(tmp_path / "big.png", seed=5, height=180, width=190)
    make_png(tmp_path / "a.png", seed=1)
    (tmp_path / "m.csv").write_text("uri\nbig.png\na.png\n")
    run(tiny_config(settings=settings, output=f"{tmp_path}/whole"), observer)
    told: list[GroupRecord] = []
    finish = scene.finish

    def listen(output: str, begun: Scene, groups: list[GroupRecord], patiently: Patience) -> Record:
        told.extend(groups)
        return finish(output, begun, groups, patiently)

    both_work(Group)
    monkeypatch.setattr(scene, "finish", listen)
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=30_000, group_seconds=0.0015))
    summary = run(tiny_config(settings=settings, executor=Executor.RAY, workers=2), observer)
    assert (summary.done, summary.failed) == (2, 0)
    assert [(group.start, group.stop) for group in told] == [(tile, tile + 1) for tile in range(9)]
    assert len({group.record.worker for group in told}) == 2
    assert read_tiles(str(tmp_path / "out")) == read_tiles(f"{tmp_path}/whole")
    whole, parts = read_records(f"{tmp_path}/whole"), read_records(str(tmp_path / "out"))
    assert {key: _content(row) for key, row in parts.items()} == {key: _content(row) for key, row in whole.items()}
    assert not (tmp_path / "out/_scene").exists()
