"""A plan of a manifest of any length: the counts are those of a run's plan, and memory does not grow with its rows."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import storage
from pipeline.codec import to_json
from pipeline.config import Form, RunConfig
from pipeline.driver.held import Held
from pipeline.driver.plan import make_plan
from pipeline.errors import UsageError
from pipeline.forecast.forecast import Forecast, forecast
from pipeline.forecast.outlook import Asked, Outlook, look_ahead
from pipeline.manifest.claims import claims, name_of
from pipeline.manifest.manifest import open_manifest, read_manifest
from pipeline.output.layout import Commit, each_commit, single_names
from pipeline.output.record import Record
from pipeline.output.status import Status
from pipeline.work.units import Row

from .fixture_types import MakeConfig, MakePng


def told(config: RunConfig, headers: int) -> Forecast:
    return forecast(config, Asked(calibrate=0, headers=headers), lambda _what, _done, _todo: None)


def ahead(config: RunConfig, drawn: int = 1000) -> Outlook:
    """Of a manifest that is read row by row."""
    with open_manifest(config.manifest) as manifest:
        return look_ahead(config, manifest, lambda rows, _: list(rows), drawn, lambda *_: None)


_KEYS = st.sampled_from(
    [
        *("a", "A", "b", "a/b", "A/B", "a.png", "a.PNG/c", "a/r0000_c0001.png", "b/r0000_c0000.tif", "é"),
        *("a/mosaic.vrt", "a/r0000_c0001.png/mosaic.vrt", "b/r0000_c0000.pgw/c", "a/b/r0000_c0000.png.aux.xml"),
    ]
)
_AMONG_TILES = ("r0000_c0001.png", "r0000_c0000.tif", "mosaic.vrt", "r0000_c0000.pgw", "r0000_c0000.png.aux.xml")
_ROWS = st.lists(st.tuples(_KEYS, st.sampled_from([2, 3])), max_size=9)


def _reference(
    rows: list[tuple[str, int]], done: list[str], folds_case: bool, one_file: bool
) -> tuple[list[int], list[int]]:
    """Positions of the rows that are kept and of those that are rejected, said pair by pair."""
    names = [name_of(key, folds_case) for key, _ in rows]
    all_names = [*names, *(name_of(key, folds_case) for key in done)]

    def folders(name: str) -> set[str]:
        parts = name.split("/")
        return {"/".join(parts[:depth]) for depth in range(1, len(parts))}

    def clash(one: str, other: str) -> bool:
        files, others = set(single_names(one)), set(single_names(other))
        return one != other and bool(files & others or files & folders(other) or folders(one) & others)

    kept, rejected = [], []
    for place, name in enumerate(names):
        parts = name.split("/")
        alike = [rows[other] for other, named in enumerate(names) if named == name]
        bad = len(set(alike)) > 1
        bad |= one_file and any(clash(name, other) for other in all_names)
        bad |= not one_file and any(
            part in _AMONG_TILES and "/".join(parts[:depth]) in names for depth, part in enumerate(parts)
        )
        if bad:
            rejected.append(place)
        elif names.index(name) == place:
            kept.append(place)
    return kept, rejected


@given(rows=_ROWS, done=st.lists(_KEYS, max_size=3), folds_case=st.booleans(), one_file=st.booleans())
def test_claims_are_told_apart(rows: list[tuple[str, int]], done: list[str], folds_case: bool, one_file: bool) -> None:
    """Of rows that claim one name or one place all are rejected, of equal ones the first is kept.

    The place of the one file of another key that is done is claimed, too.
    """
    kept, rejected = _reference(rows, done, folds_case, one_file)
    with claims(folds_case=folds_case, one_file=one_file) as claimed:
        claimed.add_done(done)
        for index, (key, scale) in enumerate(rows):
            claimed.add(Row(index, index + 1, key, "/in/x.png", scale, 0))
        claimed.settle()
        assert [row.index for row in claimed.kept()] == kept
        assert sorted(row.index for row in claimed.kept(by="uri")) == kept
        assert [(row.index, row.line) for row in claimed.rejected()] == [(place, place + 1) for place in rejected]
        assert claimed.disputed(len(rows)) == len(rejected)
        assert claimed.repeated() == len(rows) - len(kept) - len(rejected)
        assert all(row == Row(row.index, row.index + 1, *_of(rows, row)) for row in claimed.kept())


def _of(rows: list[tuple[str, int]], row: Row) -> tuple[str, str, int, int]:
    key, scale = rows[row.index]
    return key, "/in/x.png", scale, 0


def test_the_rows_keep_what_they_say() -> None:
    """Nothing of a row is lost on disk."""
    rows = [
        Row(0, 2, "é/ü", "s3://b/é.tif", 4, 0, nodata="nan", kernel="taps:x", noise="1.5", result_size="gsd:2.5"),
        Row(1, 3, "y", "/in/y.png", 2, 0, kernel="gaussian:1.4", camera="Kodak \u2603"),
    ]
    with claims(folds_case=False, one_file=True) as claimed:
        for row in rows:
            claimed.add(row)
        claimed.settle()
        assert list(claimed.kept()) == rows
        assert claimed.asks_for("taps:x")
        assert not claimed.asks_for("box")


@pytest.mark.parametrize("one_file", [False, True])
def test_counts_are_those_of_a_run(tmp_path: Path, tiny_config: MakeConfig, one_file: bool) -> None:
    """Row by row or all at once: to do, done, repeated, skipped and bad ones, and how they are handed out."""
    lines = ["uri,id,scale"]
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(b"x" * (number + 1))
        lines.append(f"{number}.png,,")
    lines += ["1.png,,", "2.png,3.png,", "4.png,new,9", "../x,,", "5.png,five,3", "6.png", "gone.png,,", "7.png,last,"]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    config = tiny_config(limit=len(lines) - 2, form=Form(single=one_file))
    for number in (8, 9):
        source = storage.stat(str(tmp_path / f"{number}.png")).fingerprint
        storage.write(Commit(config.fingerprint(), f"{number}.png", source).uri(config.output), b"")
    for key in ("10.png", "11"):
        storage.write(Commit(config.fingerprint(), key, "0" * 16).uri(config.output), b"")
    plan = make_plan(config, read_manifest(config.manifest), "", Held([*each_commit(config.output)]))
    found = ahead(config)
    counts = found.counts
    assert (counts.to_do, counts.already_done, counts.duplicates) == (plan.todo, len(plan.committed), plan.duplicates)
    assert (counts.already_done, counts.duplicates, counts.skipped) == (2, 1, len(plan.skipped))
    assert found.rejected == plan.rejected
    assert (counts.bad_rows, counts.collisions) == (len(plan.rejected), 2 + one_file)
    assert [[row.index for row in unit] for unit in found.units] == [[row.index for row in unit] for unit in plan.units]
    assert found.input_bytes == sum(row.size for unit in plan.units for row in unit)
    part = ahead(config, drawn=5)
    assert (part.counts.to_do, part.units, len(part.drawn)) == (counts.to_do, (), 5)
    assert set(part.drawn) < set(found.drawn)


@pytest.mark.parametrize("one_file", [False, True])
def test_the_output_is_listed_once(
    tmp_path: Path, tiny_config: MakeConfig, one_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of millions of commits takes minutes; collisions, maps and what is done are all told from one."""
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    config = tiny_config(form=Form(single=one_file), disagreement=True)
    record = Record(key="b.png", manifest_line=2, source_uri="b.png", status=Status.DONE)
    storage.write(Commit("s", "b.png", "v").uri(config.output), to_json(record))
    listed, names_below = [], storage.names_below

    def counted(folder: str) -> Iterator[str]:
        listed.append(folder)
        return names_below(folder)

    monkeypatch.setattr(storage, "names_below", counted)
    ahead(config)
    assert [uri for uri in listed if uri.endswith("_commit")] == [storage.join(config.output, "_commit")]


def test_every_row_may_be_drawn(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """The sample is the same each time, and comes from all of the manifest alike."""
    (tmp_path / "m.csv").write_text("uri,id\n" + "".join(f"a.png,{number:05}\n" for number in range(5000)))
    drawn = [row.index for row in ahead(tiny_config(), drawn=500).drawn]
    assert drawn == [row.index for row in ahead(tiny_config(), drawn=500).drawn]
    assert len(set(drawn)) == 500
    quarters = np.histogram(drawn, bins=4, range=(0, 5000))[0]
    assert np.all(abs(quarters - 125) < 50)  # five standard deviations


def test_a_million_claims_on_one_key_are_one_sentence(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """The first lines are named, the others counted."""
    (tmp_path / "m.csv").write_text("uri,id\n" + "".join(f"{number}.png,x\n" for number in range(3000)))
    found = ahead(tiny_config())
    assert (found.counts.to_do, found.counts.bad_rows, len(found.rejected)) == (0, 3000, 1000)
    assert "lines 2, 3, 4, 5, 6 and 2,995 more ask for different work under the key 'x'" in found.rejected[999].message
    with pytest.raises(UsageError, match=r"line 2 of .* \(3000 bad rows, --strict\)"):
        ahead(tiny_config(strict=True))


_CELLS: dict[str, Callable[[int], tuple[str, str]]] = {
    "one file": lambda number: ("a.png", f"scene {number:06}"),
    "missing": lambda number: (f"gone/{number:06}.png", ""),
    "repeated": lambda _: ("a.png", ""),
    "bad": lambda _: ("", ""),
    "one key": lambda number: (f"{number:06}.png", "x"),
}


def _write(folder: Path, suffix: str, kind: str, rows: int) -> Path:
    """A table whose rows name one small file, or files that are missing, or all the same image, or nothing usable."""
    named = [_CELLS[kind](number) for number in range(rows)]
    path = folder / f"{rows}.{suffix}"
    note = "x" * 100
    if suffix == "parquet":
        pq.write_table(pa.table({"uri": [uri for uri, _ in named], "id": [key for _, key in named]}), path)
    elif suffix == "csv":
        path.write_text("uri,id,note\n" + "".join(f"{uri},{key},{note}\n" for uri, key in named))
    else:
        path.write_text("".join(json.dumps({"uri": uri, "id": key, "note": note}) + "\n" for uri, key in named))
    return path


@pytest.mark.parametrize(
    ("suffix", "kind"), [*(("csv", kind) for kind in _CELLS), ("jsonl", "one file"), ("parquet", "one file")]
)
def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path,
    tiny_config: MakeConfig,
    make_png: MakePng,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    kind: str,
) -> None:
    """Four times the rows take less than a hundred bytes more for each; a row that is held takes a thousand."""
    monkeypatch.setattr("pipeline.forecast.outlook._AT_ONCE", 100)
    monkeypatch.setattr("pipeline.manifest.claims._AT_ONCE", 100)
    monkeypatch.setattr("pipeline.manifest.table_files._BATCH_ROWS", 100)
    make_png(tmp_path / "a.png", height=20, width=30)
    peaks: dict[int, int] = {}
    for rows in (100, 800, 3_200):  # the first loads what is loaded late, and opens what stays open
        config = tiny_config(manifest=str(_write(tmp_path, suffix, kind, rows)))
        tracemalloc.start()
        found = told(config, headers=20)
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        counts = found.counts
        assert counts.to_do + counts.duplicates + counts.bad_rows == rows
        assert found.headers_read <= 20
    assert peaks[3_200] - peaks[800] < 100 * 2_400
