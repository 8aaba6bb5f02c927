"""Records, commit records and the merged table."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import storage
from pipeline.codec import DamagedError, from_json, from_plain, to_json, to_plain
from pipeline.errors import ErrorType, UsageError
from pipeline.output import layout, records
from pipeline.output.layout import Commit, list_commits
from pipeline.output.record import COLUMNS, SCHEMA, Record
from pipeline.output.records import RecordSink, read_table, recorded_commits, to_table, write_table
from pipeline.output.status import Status
from pipeline.storage.patience import Patience

NOTHING_RECORDED = SCHEMA.empty_table()
NOTHING = NOTHING_RECORDED.select(records.FROM_MANIFEST)

AGREED_COLUMNS = """
key source_uri source_fingerprint output_uri status error_type error_message attempt method_used scale kernel noise
width height bands dtype sr_width sr_height tiles output_sha256 steps final_loss reconstruction_psnr
bicubic_reconstruction_psnr consistency_mae consistency_rmse consistency_max consistency_bias
consistency_rmse_bands psnr_y ssim_y read_s fit_s infer_s back_project_s write_s total_s peak_memory_bytes
device threads worker seed prior prior_bands network config_fingerprint srpipe_version started_at finished_at
"""

_floats = st.none() | st.floats(allow_nan=False, allow_infinity=False)
_times = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_records = st.builds(
    Record,
    key=st.none() | st.text(),
    manifest_line=st.integers(1, 2**60),
    source_uri=st.text(),
    status=st.sampled_from(Status),
    error_type=st.none() | st.sampled_from(ErrorType),
    error_message=st.none() | st.text(),
    total_s=_floats,
    consistency_rmse_bands=st.none() | st.lists(_floats.filter(lambda value: value is not None), max_size=3).map(tuple),
    tiles=st.none() | st.integers(0, 2**60),
    prior=st.none() | st.text(),
    prior_bands=st.none() | st.integers(1, 2**60),
    started_at=_times,
    finished_at=_times,
)


@given(_records)
def test_json_round_trip(record: Record) -> None:
    """A commit record reads back as what was written, to the last digit and microsecond."""
    assert from_json(Record, to_json(record)) == record


@given(st.lists(_records, max_size=3))
def test_parquet_round_trip(held: list[Record]) -> None:
    """So does a row of the table."""
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(held), sink)
    assert [from_plain(Record, row) for row in pq.read_table(sink.getvalue()).to_pylist()] == held


def test_records_of_an_older_version(tmp_path: Path) -> None:
    """A commit record and a part from before a column came read as records without it, beside those that have it."""
    values = to_plain(_record("x", prior="none", prior_bands=3))
    del values["prior_bands"]
    old = from_plain(Record, values)
    assert (old.prior, old.prior_bands, old.status) == ("none", None, "done")
    folder = tmp_path / "manifest"
    records.write_table(str(folder / "part-20250101-a-00000.parquet"), to_table([old]).drop_columns("prior_bands"))
    records.write_table(str(folder / "part-20260101-a-00000.parquet"), to_table([_record("y", prior_bands=1)]))
    assert _merged(tmp_path, "key", "prior_bands") == [("x", None), ("y", 1)]


@pytest.mark.parametrize("damaged", ["", "[]", "{}", "null", "3", '{"status": "done"}', '{"manifest_line": 1}'])
def test_what_is_no_record(damaged: str) -> None:
    """Damaged bytes are never taken for a record that says nothing."""
    with pytest.raises(DamagedError, match=r"Expect|missing required"):
        from_json(Record, damaged)


def test_columns() -> None:
    """The table has the agreed columns, in snake_case, seconds as float64 and times in UTC."""
    assert set(AGREED_COLUMNS.split()) <= set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS) == len(SCHEMA)
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in COLUMNS)
    types = {field.name: field.type for field in SCHEMA}
    assert {types[name] for name in COLUMNS if name.endswith("_s")} == {pa.float64()}
    assert {types[name] for name in COLUMNS if name.endswith("_at")} == {pa.timestamp("us", "UTC")}
    assert {types[name] for name in ("key", "prior", "method_used")} == {pa.string()}
    assert {types[name] for name in ("tiles", "prior_bands", "peak_memory_bytes")} == {pa.int64()}
    assert types["consistency_rmse_bands"] == pa.list_(pa.float64())


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a.b.c",
        "d.e/f.g/h.png",
        ".hidden",
        "x.json",
        "ü/日本 1.tif",
        "a.0123456789abcdef.json",
        "a%2F..b",
        "é" * 116,
    ],
)
def test_commits_are_told_from_names_alone(tmp_path: Path, key: str) -> None:
    """A commit record's path says settings, key and source, whatever dots and folders the key has."""
    output = str(tmp_path / "out")
    commits = {Commit(settings, key, source) for settings in ("5" * 16, "e" * 16) for source in ("1" * 16, "2" * 16)}
    for commit in commits:
        storage.write(commit.uri(output), b"{}")
    storage.write(Commit("5" * 16, "other", "1" * 16).uri(output), b"{}")
    found = list_commits(output)
    assert set(found) == {key, "other"}
    assert set(found[key]) == commits


def test_commits_ignore_other_files(tmp_path: Path) -> None:
    """No output yet, or a stray file in it, is no commit."""
    assert list_commits(str(tmp_path)) == {}
    storage.write(str(tmp_path / "_commit/0/.tmp-1"), b"")
    storage.write(str(tmp_path / "_commit/README"), b"")
    assert list_commits(str(tmp_path)) == {}


def _record(key: str | None, line: int = 1, error: ErrorType | None = None, **fields: object) -> Record:
    status = Status.DONE if error is None else Status.FAILED
    return Record(key=key, manifest_line=line, source_uri=f"{key}.png", status=status, error_type=error, **fields)


@pytest.fixture
def add_run(tmp_path: Path) -> Callable[..., None]:
    """Write the records of a run, with a table of user columns if there are any."""

    def add(run_id: str, held: list[Record], user_columns: pa.Table | None = None) -> None:
        none = pa.table({"row": pa.nulls(len(held))}).select([])
        with RecordSink(str(tmp_path), run_id, none if user_columns is None else user_columns) as sink:
            for row, record in enumerate(held):
                sink.add(record, row)

    return add


def _merged(output: Path, *columns: str, run_id: str = "20260101-a") -> list[tuple[object, ...]]:
    """What the run of that id leaves as the table."""
    merged = records.merge(str(output), run_id, NOTHING)
    assert merged.equals(pq.read_table(output / "manifest.parquet"))
    return list(zip(*(merged[name].to_pylist() for name in columns), strict=True))


def test_latest_record_of_a_key_wins(tmp_path: Path, add_run: Callable[..., None]) -> None:
    """The table has one row a key, the one of the latest run, in the order in which keys first came."""
    add_run("20260101-a", [_record("x", steps=1), _record("y", error=ErrorType.READ), _record("z", steps=1)])
    add_run("20260102-a", [_record("y", steps=2), _record("z", error=ErrorType.MISSING)])
    add_run("20260103-a", [_record("w", steps=3), _record("x", steps=3)])
    assert _merged(tmp_path, "key", "steps", "error_type") == [
        ("x", 3, None),
        ("y", 2, None),
        ("z", None, "missing"),
        ("w", 3, None),
    ]


def test_a_damaged_part_is_named(tmp_path: Path, add_run: Callable[..., None]) -> None:
    """Wherever its bytes are spoilt; Arrow says of some that reading failed, as if it were the disk."""
    add_run("20260101-a", [_record(str(number), steps=number) for number in range(20)])
    (part,) = (tmp_path / "manifest").iterdir()
    whole, said = part.read_bytes(), set()
    for place in range(0, len(whole) - 8, len(whole) // 40):
        part.write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
        try:
            records.latest(str(tmp_path), "")
        except UsageError as error:
            said.add(str(error).startswith(f"{part} is damaged"))
    assert said == {True}
    storage.write(layout.table(str(tmp_path)), whole[:-40] + b"\xff" * 8 + whole[-32:])
    part.write_bytes(whole)
    with pytest.raises(UsageError, match=r"manifest\.parquet is damaged"):
        records.current(str(tmp_path), "20260101-a")


def test_bad_rows_are_those_of_the_last_run(tmp_path: Path, add_run: Callable[..., None]) -> None:
    """A line mended since leaves no trace; bad lines of the last run stand beside the results they dispute."""
    add_run("20260101-a", [_record(None, 2, ErrorType.BAD_ROW), _record("x", 3), _record("y", 4, ErrorType.BAD_ROW)])
    add_run("20260102-a", [_record(None, 5, ErrorType.BAD_ROW), _record(None, 6, ErrorType.BAD_ROW)])
    assert _merged(tmp_path, "key", "manifest_line", run_id="20260102-a") == [("x", 3), (None, 5), (None, 6)]
    assert _merged(tmp_path, "key", "manifest_line", run_id="20260103-nothing to record") == [("x", 3)]
    add_run("20260103-a", [_record("x", 3, ErrorType.BAD_ROW), _record("x", 4, ErrorType.BAD_ROW)])
    assert _merged(tmp_path, "key", "manifest_line", "status", run_id="20260103-a") == [
        ("x", 3, "done"),
        ("x", 3, "failed"),
        ("x", 4, "failed"),
    ]


def test_user_columns_are_carried_and_promoted(tmp_path: Path, add_run: Callable[..., None]) -> None:
    """Records carry the cells of their own row; a column that comes, goes or widens from run to run is kept."""
    add_run("20260101-a", [_record("x"), _record("y")], pa.table({"n": [1, 2], "old": ["o", "p"]}))
    add_run("20260102-a", [_record("z")], pa.table({"n": [0.5], "new": [True]}))
    assert _merged(tmp_path, "key", "n", "old", "new") == [
        ("x", 1.0, "o", None),
        ("y", 2.0, "p", None),
        ("z", 0.5, None, True),
    ]


@pytest.mark.parametrize(
    ("first", "then", "merged"),
    [
        ([1], ["1b"], ["1", "1b"]),
        ([True], [2], ["true", "2"]),
        ([None], [2], [None, 2]),
        ([[1]], [[0.5]], [[1.0], [0.5]]),
        ([[1]], ["x"], ["[1]", "x"]),
        ([{"a": 1}], ["x"], ['{"a": 1}', "x"]),
        ([2**53 + 1], [0.5], ["9007199254740993", "0.5"]),
    ],
)
def test_user_column_of_another_type(
    tmp_path: Path, add_run: Callable[..., None], first: list[object], then: list[object], merged: list[object]
) -> None:
    """A column that was a number in one manifest and is text in the next is kept as text, and the run ends well."""
    add_run("20260101-a", [_record("x")], pa.table({"n": first}))
    add_run("20260102-a", [_record("y")], pa.table({"n": then}))
    assert _merged(tmp_path, "key", "n") == list(zip(["x", "y"], merged, strict=True))


_LATE = 253_402_300_800_000
"""Milliseconds since 1970 at which the year 10000 begins."""


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([_LATE], pa.timestamp("ms")), "10000-01-01 00:00:00.000"),
        (pa.array([_LATE], pa.timestamp("ms", "Europe/Berlin")), "10000-01-01 00:00:00.000Z"),
        (pa.array([0], pa.timestamp("ms", "Nowhere")), "1970-01-01 00:00:00.000Z"),
        (pa.array([_LATE // 86_400_000], pa.date32()), "10000-01-01"),
        (pa.array([[_LATE]], pa.list_(pa.timestamp("ms"))), ["10000-01-01 00:00:00.000"]),
        (pa.array([[_LATE]], pa.large_list(pa.timestamp("ms"))), ["10000-01-01 00:00:00.000"]),
        (pa.array([[_LATE]], pa.list_(pa.timestamp("ms"), 1)), ["10000-01-01 00:00:00.000"]),
        (pa.array([{"a": _LATE}], pa.struct({"a": pa.timestamp("ms")})), {"a": "10000-01-01 00:00:00.000"}),
        (pa.array([[("a", 2**62)]], pa.map_(pa.string(), pa.duration("s"))), [("a", f"{2**62}")]),
        (pa.array([2**62], pa.duration("s")), f"{2**62}"),
        (pa.array([90], pa.duration("s")), timedelta(seconds=90)),
        (pa.array([0], pa.timestamp("us", "UTC")), datetime(1970, 1, 1, tzinfo=UTC)),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_times_that_python_has_not(
    tmp_path: Path, add_run: Callable[..., None], column: pa.Array, told: object
) -> None:
    """They are carried as text, so that every command can read the records; other times stay times."""
    add_run("20260101-a", [_record("x")], pa.table({"n": column}))
    assert _merged(tmp_path, "key", "n") == [("x", told)]
    write_table(layout.table(str(tmp_path)), pa.table({"key": ["x"], "n": column}))
    assert read_table(layout.table(str(tmp_path)))["n"].to_pylist() == [told]


def test_rows_out_of_order(tmp_path: Path) -> None:
    """Records come as images end; each has the user's cells of its own row."""
    with RecordSink(str(tmp_path), "20260101-a", pa.table({"n": [10, 11, 12]})) as sink:
        for row in (2, 0):
            sink.add(_record(f"row {row}"), row)
    assert _merged(tmp_path, "key", "n") == [("row 2", 12), ("row 0", 10)]


def test_nothing_to_merge(tmp_path: Path) -> None:
    """Without a part there is an empty table with all columns."""
    assert records.merge(str(tmp_path), "20260101-a", NOTHING).schema == SCHEMA


def test_stopped_run_leaves_what_it_knew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are written on the way and when the run is stopped in the middle."""
    monkeypatch.setattr(records, "_FLUSH_RECORDS", 500)
    held = [_record(f"{number}") for number in range(501)]
    none = pa.table({"row": pa.nulls(len(held))}).select([])
    with pytest.raises(KeyboardInterrupt), RecordSink(str(tmp_path), "20260101-a", none) as sink:  # noqa: PT012
        for row, record in enumerate(held[:500]):
            sink.add(record, row)
        assert len(list((tmp_path / "manifest").iterdir())) == 1
        sink.add(held[500], 500)
        raise KeyboardInterrupt
    assert len(list((tmp_path / "manifest").iterdir())) == 2
    assert len(_merged(tmp_path, "key")) == 501


def test_a_store_that_is_away_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each access is tried again so often: a part, the reading of all parts, and the table."""
    tried: Counter[str] = Counter()

    def away_at_first(access: Callable[..., object]) -> Callable[..., object]:
        def tries(uris: str | list[str], *arguments: object) -> object:
            tried[name := str(uris)] += 1
            if tried[name] < 3:
                raise ConnectionError("nobody answers")
            return access(uris, *arguments)

        return tries

    monkeypatch.setattr(storage, "write", away_at_first(storage.write))
    monkeypatch.setattr(storage, "read_all", away_at_first(storage.read_all))
    patience = Patience(2, sleep=lambda _: None)
    with RecordSink(str(tmp_path), "20260101-a", pa.table({"n": [1]}), patience) as sink:
        sink.add(_record("x"), 0)
    merged = records.merge(str(tmp_path), "20260101-a", NOTHING, patience)
    assert merged["key"].to_pylist() == ["x"]
    assert sorted(tried.values()) == [3, 3, 3]


def test_commits_without_a_record(tmp_path: Path, add_run: Callable[..., None]) -> None:
    """Those that no record of something written mentions, in their order."""
    said = {"config_fingerprint": "s", "source_fingerprint": "v"}
    failed = _record("failed", error=ErrorType.READ, **said)
    add_run("20260101-a", [_record("x", **said), _record("é/y", **said), failed, _record("none")])
    table = records.latest(str(tmp_path), "")
    known = [Commit("s", "x", "v"), Commit("s", "é/y", "v")]
    others = [Commit("s", "failed", "v"), Commit("t", "x", "v"), Commit("s", "x", "w"), Commit("s", "\udcff", "v")]
    assert records.unrecorded(table, [others[0], *known, *others[1:]]) == others
    assert records.unrecorded(NOTHING_RECORDED, iter(known)) == known


def test_recorded_commits(tmp_path: Path, add_run: Callable[..., None]) -> None:
    """Which commits the table would tell of: those of the latest records that are done."""
    names = {"config_fingerprint": "s", "source_fingerprint": "v"}
    add_run("20260101-a", [_record("x", **names), _record("y", error=ErrorType.READ, **names), _record("w", **names)])
    add_run("20260102-a", [_record("z", **names), _record("w", error=ErrorType.MISSING)])
    assert recorded_commits(records.latest(str(tmp_path), "20260102-a")) == {
        Commit("s", "x", "v"),
        Commit("s", "z", "v"),
    }


def test_parts_grow_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part every five seconds at first, later every hundredth of the run's time: two days leave some hundreds."""
    minutes = 3000
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    parts = tmp_path / "manifest"
    with RecordSink(str(tmp_path), "20260101-a", pa.table({"n": range(minutes)})) as sink:
        for row in range(minutes):
            clock[0] += 60
            sink.add(_record(f"{row}"), row)
            assert row >= 50 or len(list(parts.iterdir())) == row + 1
    assert 100 < len(list(parts.iterdir())) < 500
    assert len(_merged(tmp_path, "key")) == minutes
