"""Units: how a scene is divided into groups, how units and answers are written, and in which waves they go out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import storage
from pipeline.codec import to_json
from pipeline.driver.waves import in_waves
from pipeline.imagery.header import Band, Header
from pipeline.output.clock import now
from pipeline.output.kernel_columns import Found
from pipeline.output.layout import Commit, list_commits
from pipeline.output.record import Record
from pipeline.output.status import Status
from pipeline.output.tidying import Tiling
from pipeline.output.written_tile import Measures, WrittenTile
from pipeline.storage.patience import Patience
from pipeline.work import scene
from pipeline.work.estimates import enlarging_seconds
from pipeline.work.units import (
    DIVISION,
    Answer,
    Group,
    GroupRecord,
    Row,
    Scene,
    Unit,
    answer_from_json,
    answer_to_json,
    divide,
    unit_from_json,
    unit_to_json,
)
from sr_ops.image.grid import Axis, Grid
from sr_ops.measures.consistency import ConsistencySums
from sr_ops.settings import Settings

ONCE = Patience(0)


def nothing(*_: object) -> None:
    """A lock that is ours."""


@given(
    st.integers(1, 30_000),
    st.integers(1, 30_000),
    st.sampled_from([64, 512, 2000]),
    st.integers(2, 8),
    st.booleans(),
)
def test_groups(height: int, width: int, tile_size: int, scale: int, ensemble: bool) -> None:
    """The groups are all tiles in order, each of half to one and a half times the work wanted, where tiles allow."""
    settings = Settings(scale=scale, tile_size=tile_size, ensemble=ensemble)
    groups = divide(height, width, 3, settings, DIVISION)
    tiles = -(-height // tile_size) * -(-width // tile_size)
    seconds = enlarging_seconds(height * width, settings)
    if not groups:
        assert height * width <= DIVISION.pixels or tiles == 1 or seconds <= 1.5 * DIVISION.group_seconds
        return
    assert height * width > 2048 * 2048
    assert [tile for start, stop in groups for tile in range(start, stop)] == list(range(tiles))
    assert len(groups) > 1
    for start, stop in groups[:-1]:
        group = (stop - start) * seconds / tiles
        assert stop - start == 1 or 0.5 * DIVISION.group_seconds <= group <= 1.5 * DIVISION.group_seconds


def a_record(key: str, **fields: Any) -> Record:
    blank = Record(key=key, manifest_line=1, source_uri=f"/{key}", status=Status.FAILED)
    return replace(blank, **fields)


def a_scene(key: str, groups: int) -> Scene:
    known = {"source_fingerprint": "v", "config_fingerprint": "s", **dict.fromkeys(scene._SUMMED, 0.0)}
    ranges = tuple((start, start + 1) for start in range(groups))
    return Scene(a_row(key), a_record(key, height=5, width=groups, **known), ranges)


def a_group_record(group: Group) -> GroupRecord:
    tile = WrittenTile(
        f"r0000_c{group.start:04}.png", "0", Measures(ConsistencySums((1, 1), 0.25, -0.25, 0.25, (0.1, 0.2)))
    )
    return GroupRecord(group.start, group.stop, (tile,), a_record(group.row.key, **dict.fromkeys(scene._SUMMED, 0.5)))


def a_row(key: str) -> Row:
    return Row(0, 1, key, f"/{key}", 2, 0, ("stale",))


def test_json() -> None:
    """Units and answers come through JSON as they were, floats to the last bit."""
    group = Group(a_row("é"), "v", 3, 4)
    taps = [
        replace(a_row(key), kernel=kernel, noise="2.5") for key, kernel in (("a", "taps"), ("b", "box"), ("c", "taps"))
    ]
    found = [replace(a_row("a"), camera="é/1", found=Found(0.1, "it is flat")), a_row("b")]
    units: list[Unit] = [[], [a_row("a"), a_row("b")], taps, found, group, replace(group, row=found[0])]
    assert [unit_from_json(unit_to_json(unit)) for unit in units] == units
    assert unit_to_json(taps).count("taps") == 1
    answers: list[Answer] = [
        a_record("a", consistency_rmse_bands=(0.1, 1 / 3), started_at=now()),
        a_scene("b", 3),
        a_group_record(group),
    ]
    assert [answer_from_json(answer_to_json(answer)) for answer in answers] == answers


class Pool:
    """Hands out what it is given, remembers it, and answers: x is a scene of three groups, anything else is done."""

    def __init__(self, silent: set[int] | None = None) -> None:
        self.waves: list[list[Unit]] = []
        self.silent = silent or set()

    def __call__(self, units: Any) -> Iterator[Answer]:
        self.waves.append(list(units))
        for unit in units:
            if isinstance(unit, Group):
                if unit.start not in self.silent:
                    yield a_group_record(unit)
            else:
                yield from (a_scene("x", 3) if row.key == "x" else a_record(row.key) for row in unit)


@pytest.fixture
def fitted(tmp_path: Path) -> None:
    """What the fit of x leaves for its commit."""
    made = Header("PNG", 1, 3, "uint8", (Band("gray"),))
    uri = scene.SceneFolder(str(tmp_path), Commit("s", "x", "v")).result
    storage.write(uri, to_json(Tiling(1, made, Grid(Axis(1, 1), Axis(3, 3), 1))))


@pytest.mark.usefixtures("fitted")
def test_groups_go_first_in_the_next_wave(tmp_path: Path) -> None:
    """No group waits for more than the units that were handed out with its scene, and they never exceed a wave."""
    pool = Pool()
    units = [[a_row(key)] for key in "xabcdefg"]
    records = list(in_waves(pool, str(tmp_path), 4, ONCE, nothing, nothing)(units))
    starts = [[unit.start if isinstance(unit, Group) else unit[0].key for unit in wave] for wave in pool.waves]
    assert starts == [["x", "a", "b", "c"], [0, 1, 2, "d"], ["e", "f", "g"]]
    assert [record.key for record in records] == ["a", "b", "c", "x", "d", "e", "f", "g"]
    assert [record.key for record in records if record.status == "done"] == ["x"]


@pytest.mark.usefixtures("fitted")
def test_a_group_without_an_answer(tmp_path: Path) -> None:
    """A scene one of whose groups was lost has no record; asked for again, it gets one."""
    pool = Pool(silent={1})
    execute = in_waves(pool, str(tmp_path), 10, ONCE, nothing, nothing)
    assert list(execute([[a_row("x")]])) == []
    pool.silent = set()
    assert [record.status for record in execute([[a_row("x")]])] == ["done"]


def test_only_the_first_failure_of_a_scene_is_told(tmp_path: Path) -> None:
    """Groups that were on their way when another failed add neither records nor a commit."""

    def work_off(units: Any) -> Iterator[Answer]:
        for unit in units:
            if isinstance(unit, Group):
                yield a_group_record(unit) if unit.start == 1 else a_record("x", error_message=str(unit.start))
            else:
                yield a_scene("x", 3)

    (record,) = in_waves(work_off, str(tmp_path), 10, ONCE, nothing, nothing)([[a_row("x")]])
    assert (record.status, record.error_message) == ("failed", "0")
    assert list_commits(str(tmp_path)) == {}


@pytest.mark.usefixtures("fitted")
@pytest.mark.parametrize("fails", [False, True])
def test_a_scene_is_not_touched_by_who_lost_the_lock(fails: bool, tmp_path: Path) -> None:
    """The last group is in, or failed, and another run has the output by now: nothing in it is changed."""

    class LostError(Exception):
        pass

    def lost() -> None:
        raise LostError

    def work_off(units: Any) -> Iterator[Answer]:
        for unit in units:
            if isinstance(unit, Group):
                yield a_record("x", error_message="failed") if fails else a_group_record(unit)
            else:
                yield a_scene("x", 1)

    before = storage.find(str(tmp_path))
    with pytest.raises(LostError):
        list(in_waves(work_off, str(tmp_path), 10, ONCE, lost, nothing)([[a_row("x")]]))
    assert storage.find(str(tmp_path)) == before
    finished = list(in_waves(work_off, str(tmp_path), 10, ONCE, nothing, nothing)([[a_row("x")]]))
    assert [record.status for record in finished] == ["failed" if fails else "done"]
    assert storage.find(str(tmp_path)) != before
