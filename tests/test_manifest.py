"""Every kind of manifest becomes rows; what cannot be read is said, line by line or as one sentence."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.manifest.manifest import IMAGE_SUFFIXES, Manifest, read_manifest

from .fixture_types import Srpipe

Table = list[dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, str | bytes], Manifest]:
    """Write a file of that name into tmp_path and read it as a manifest."""

    def write_and_read(name: str, content: str | bytes) -> Manifest:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return read_manifest(str(tmp_path / name))

    return write_and_read


def _encode(suffix: str, table: Table) -> bytes:
    """The same table as csv, jsonl or parquet; csv knows only text."""
    if suffix == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(table), sink)
        return sink.getvalue().to_pybytes()
    if suffix == "csv":
        lines = [",".join(table[0]), *(",".join(str(value) for value in row.values()) for row in table)]
    else:
        lines = [json.dumps(row) for row in table]
    return "\n".join([*lines, ""]).encode()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "ndjson", "parquet"])
def test_tables_say_the_same(read: Callable[..., Manifest], tmp_path: Path, suffix: str) -> None:
    """A table's cells do not depend on how it is stored; relative uris start at its folder, keys are whole uris."""
    table = [{"uri": "a.png", "id": "007", "scale": "3"}, {"uri": "s3://b/ü.tif", "id": "x", "scale": ""}]
    manifest = read(f"m.{suffix}", _encode(suffix, table))
    assert [(row.uri, row.id, row.scale, row.problem) for row in manifest.rows] == [
        ("a.png", "007", "3", ""),
        ("s3://b/ü.tif", "x", "", ""),
    ]
    assert [row.line for row in manifest.rows] == ([2, 3] if suffix == "csv" else [1, 2])
    assert (manifest.folder, manifest.root, manifest.sources) == (str(tmp_path), "", {})


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_upper_case_suffix(read: Callable[..., Manifest], suffix: str) -> None:
    """M.CSV is a csv."""
    assert read(f"M.{suffix.upper()}", _encode(suffix, [{"uri": "a.png"}])).rows[0].uri == "a.png"


def test_txt(read: Callable[..., Manifest]) -> None:
    """A plain list has a uri a line; blank lines and comments are no rows, but count as lines."""
    manifest = read("m.txt", "\ufeffa.png\r\n\r\n# old ones\r\n  b c.png  \r\n")
    assert [(row.line, row.uri) for row in manifest.rows] == [(1, "a.png"), (4, "b c.png")]


@pytest.mark.parametrize("column", ["uri", "path", "url", "image", "URI", " Path "])
def test_names_of_the_uri_column(read: Callable[..., Manifest], column: str) -> None:
    """The column of the images goes by several names, in any case."""
    assert read("m.csv", f"note,{column}\nx,a.png\n").rows[0].uri == "a.png"


def test_first_name_wins(read: Callable[..., Manifest]) -> None:
    """With two columns that could say where the image is, the order of the names decides; the other is carried."""
    manifest = read("m.csv", "image,path\nwrong.png,right.png\n")
    assert manifest.rows[0].uri == "right.png"
    assert manifest.user_columns.to_pydict() == {"image": ["wrong.png"]}


def test_byte_order_mark(read: Callable[..., Manifest]) -> None:
    """A csv saved by a spreadsheet begins with a mark that is not part of the first name."""
    assert read("m.csv", b"\xef\xbb\xbfuri\r\na.png\r\n").rows[0].uri == "a.png"
    assert read("m.jsonl", b'\xef\xbb\xbf{"uri": "a.png"}\n').rows[0].uri == "a.png"


def test_numbers_as_ids_and_scales(read: Callable[..., Manifest]) -> None:
    """Typed tables may hold numbers where text is wanted: they become the text of the number."""
    for suffix in ("jsonl", "parquet"):
        manifest = read(f"m.{suffix}", _encode(suffix, [{"uri": "a.png", "id": 7, "scale": 3}]))
        assert (manifest.rows[0].id, manifest.rows[0].scale) == ("7", "3")


def test_empty_cells(read: Callable[..., Manifest]) -> None:
    """Empty, blank and null cells all read as the empty text."""
    table = [{"uri": "a.png", "id": None}, {"uri": None, "id": "x"}, {"uri": "  ", "id": " y "}]
    for suffix in ("jsonl", "parquet"):
        rows = read(f"m.{suffix}", _encode(suffix, table)).rows
        assert [(row.uri, row.id) for row in rows] == [("a.png", ""), ("", "x"), ("", "y")]


def test_ragged_csv(read: Callable[..., Manifest]) -> None:
    """A line with too few or too many cells is a bad row with its line number; quoted commas and blanks are fine."""
    manifest = read("m.csv", 'uri,note\na.png,1\nb.png\n\n"c,d.png",\ne.png,1,2\n')
    assert [(row.line, row.uri, row.problem) for row in manifest.rows] == [
        (2, "a.png", ""),
        (3, "", "1 cells under 2 columns"),
        (5, "c,d.png", ""),
        (6, "", "3 cells under 2 columns"),
    ]
    assert manifest.user_columns.to_pydict() == {"note": ["1", "", "", ""]}


def test_broken_jsonl(read: Callable[..., Manifest]) -> None:
    """A line that is no JSON object is a bad row with its line number."""
    manifest = read("m.jsonl", '{"uri": "a.png"}\n{"uri": \n\n["b.png"]\n"c.png"\n{"uri": "d.png"}\n')
    assert [(row.line, row.uri, bool(row.problem)) for row in manifest.rows] == [
        (1, "a.png", False),
        (2, "", True),
        (4, "", True),
        (5, "", True),
        (6, "d.png", False),
    ]
    assert "not JSON" in manifest.rows[1].problem


def test_user_columns_keep_their_types(read: Callable[..., Manifest]) -> None:
    """What srpipe does not know is carried as it is: csv as text, jsonl and parquet with their types."""
    assert read("m.csv", "uri,n\na.png,007\n").user_columns.to_pydict() == {"n": ["007"]}
    jsonl = read("m.jsonl", '{"uri": "a.png", "n": 1, "f": 0.5}\n{"uri": "b.png", "n": null, "b": true}\n')
    assert jsonl.user_columns.to_pylist() == [{"n": 1, "f": 0.5, "b": None}, {"n": None, "f": None, "b": True}]
    table = pa.table({"uri": ["a.png"], "n": pa.array([7], pa.int32()), "d": pa.array([0], pa.timestamp("ms", "UTC"))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    carried = read("m.parquet", sink.getvalue().to_pybytes()).user_columns
    assert carried.schema.equals(table.drop_columns("uri").schema)
    assert carried.equals(table.drop_columns("uri"))


def test_views_become_what_rows_can_be_taken_from(read: Callable[..., Manifest]) -> None:
    """Records take rows from the carried columns in any order, which Arrow cannot do with views, at any depth."""
    texts = {
        "text": pa.array(["x"], pa.string_view()),
        "bytes": pa.array([b"x"], pa.binary_view()),
        "list": pa.array([["x"]], pa.list_(pa.string_view())),
        "struct": pa.array([{"a": "x"}], pa.struct({"a": pa.string_view()})),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"uri": ["a.png"], **texts}), sink)
    (row,) = read("m.parquet", sink.getvalue().to_pybytes()).user_columns.take(pa.array([0])).to_pylist()
    assert row == {"text": "x", "bytes": b"x", "list": ["x"], "struct": {"a": "x"}}


@pytest.mark.parametrize(
    "cells",
    [["1", '"x"'], ["[1]", '{"a": 1}'], [str(10**30), "1"], [r'"\ud800"', '"x"']],
    ids=["types", "shapes", "too large", "half a character"],
)
def test_cells_without_a_common_type(read: Callable[..., Manifest], cells: list[str]) -> None:
    """A column of cells that no Arrow type holds is carried as the JSON text it was."""
    manifest = read("m.jsonl", "".join(f'{{"uri": "{n}.png", "x": {cell}}}\n' for n, cell in enumerate(cells)))
    assert manifest.user_columns["x"].to_pylist() == cells


def test_folder(tmp_path: Path) -> None:
    """A folder is taken whole, in the order of names: images become rows, hidden files nothing, others are told."""
    names = ["b.PNG", "a.tif", "sub/c.jpeg", "notes.txt", "x.png.bak", ".hidden.png", ".git/d.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    manifest = read_manifest(str(tmp_path))
    uris = [str(tmp_path / name) for name in ("a.tif", "b.PNG", "sub/c.jpeg")]
    assert [(row.line, row.uri) for row in manifest.rows] == list(enumerate(uris, 1))
    assert manifest.ignored == tuple(str(tmp_path / name) for name in ("notes.txt", "x.png.bak"))
    assert manifest.root == str(tmp_path)
    assert {uri: source.size for uri, source in manifest.sources.items()} == {
        uri: Path(uri).stat().st_size for uri in uris
    }
    assert manifest.user_columns.num_columns == 0


@pytest.mark.parametrize("name", ["", "*.png"])
def test_links_that_lead_nowhere_are_rows(tmp_path: Path, name: str) -> None:
    """Neither a dead link nor one that leads in a circle stops a run or is lost: whoever opens it will tell."""
    (tmp_path / "a.png").write_bytes(b"1234")
    for link, target in (("b.png", "a.png"), ("c.png", "gone.png"), ("d.png", "d.png")):
        (tmp_path / link).symlink_to(target)
    manifest = read_manifest(str(tmp_path / name))
    assert [Path(row.uri).name for row in manifest.rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert [source.size for source in manifest.sources.values()] == [4, 4, 0, 0]


@pytest.mark.parametrize(
    ("pattern", "root", "expected"),
    [
        ("*.png", "", ["a.png", "b.png"]),
        ("s*/?.png", "", ["s1/c.png", "s2/d.png"]),
        ("s1/?.png", "s1", ["s1/c.png"]),
        ("**/*.png", "", ["a.png", "b.png", "s1/c.png", "s2/d.png"]),
        ("[ab].p*", "", ["a.png", "b.png"]),
        ("a.png", "", ["a.png"]),
    ],
)
def test_glob_and_single_image(tmp_path: Path, pattern: str, root: str, expected: list[str]) -> None:
    """A pattern gives what it matches but hidden files; keys start after its fixed folders; one image is one row."""
    for name in ("a.png", "b.png", "s1/c.png", "s2/d.png", ".e.png", "x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_manifest(str(tmp_path / pattern))
    assert [row.uri for row in manifest.rows] == [str(tmp_path / name) for name in expected]
    assert manifest.root == str(tmp_path / root)


def test_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[..., Manifest]
) -> None:
    """A manifest named by a relative path has absolute uris all the same."""
    read("m.csv", "uri\na.png\n")
    monkeypatch.chdir(tmp_path)
    assert read_manifest("m.csv").uri == str(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "does not exist; give a table, a folder, a glob or an image"),
        ("none", None, "does not exist; give a table, a folder, a glob or an image"),
        ("none.png", None, "does not exist; give a table, a folder, a glob or an image"),
        ("*.png", None, "nothing matches .*; quote the pattern"),
        ("m.xlsx", b"x", r"is of no known kind; its name must end in \.csv, \.parquet"),
        ("m.csv", b"", "holds no rows; there is nothing to do"),
        ("m.csv", b"uri\n\n", "holds no rows; there is nothing to do"),
        ("m.txt", b"# nothing\n", "holds no rows; there is nothing to do"),
        ("m.jsonl", b"\n", "holds no rows; there is nothing to do"),
        ("m.csv", b"file,note\na.png,x\n", r"has no column 'uri' \(or path, url, image\); it has: file, note"),
        ("m.jsonl", b'{"file": "a.png"}\n', r"has no column 'uri' .*it has: file; give the one with the"),
        ("m.csv", "uri\na.png\n".encode("utf-16-le"), "every other byte is 0.*; save it as UTF-8"),
        ("m.csv", "uri\na.png\n".encode("utf-16")[:-1], "begins like utf-16, but is damaged; save it as UTF-8"),
        ("m.csv", "uri,t\na.png,x\nb.png,é\n".encode("cp1252"), "byte 0xe9 in line 3 is not UTF-8; save it as UTF-8"),
        ("m.txt", "é.png\n".encode("cp1252"), "byte 0xe9 in line 1 is not UTF-8; save it as UTF-8"),
        ("m.jsonl", '{"uri": "é"}\n'.encode("cp1252"), "byte 0xe9 in line 1 is not UTF-8; save it as UTF-8"),
        ("m.parquet", b"uri\na.png\n", "cannot read the manifest .*; is it really parquet"),
        ("m.parquet", b"", "cannot read the manifest .*; is it really parquet"),
    ],
)
def test_refused(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    """What is no manifest is refused with a sentence that names it and the remedy."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_manifest(str(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value)


def piped(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize("command", ["run", "plan", "compare", "kernel"])
@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.txt", "m.parquet", "m"])
def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path, srpipe: Srpipe, command: str, name: str) -> None:
    """A table is read several times, and a pipe without a writer would be waited for without end."""
    code, out, err = srpipe(command, piped(tmp_path / name))
    assert (code, out) == (2, "")
    assert f"{tmp_path / name} is a pipe or a device, which can be read only once; save it as a file" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "plan", "kernel"])
def test_what_a_shell_pipes_is_refused(tmp_path: Path, srpipe: Srpipe, command: str) -> None:
    """As in `srpipe run <(cat m.csv)`: a name below /dev/fd."""
    reader, writer = os.pipe()
    os.write(writer, b"uri\na.png\n")
    os.close(writer)
    code, _, err = srpipe(command, f"/dev/fd/{reader}")
    assert (code, os.read(reader, 100)) == (2, b"uri\na.png\n")
    os.close(reader)
    assert "is a pipe or a device" in err
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_table_is_no_pipe(read: Callable[..., Manifest], tmp_path: Path) -> None:
    """What a link leads to decides."""
    read("real.csv", "uri\na.png\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert [row.uri for row in read_manifest(str(tmp_path / "link.csv")).rows] == ["a.png"]


def test_every_ending_that_the_docs_name_is_an_images(tmp_path: Path) -> None:
    """In lower and in upper case; none is left out in silence."""
    text = (Path(__file__).parent.parent / "docs/manifest.md").read_text()
    told = set(
        re.findall(r"`(\.\w+)`", text[text.index("Of a folder srpipe takes files that end in") :].split("\n\n")[0])
    )
    assert told == set(IMAGE_SUFFIXES)
    names = [f"{number}{case(end)}" for number, end in enumerate(sorted(told)) for case in (str.lower, str.upper)]
    for name in names:
        (tmp_path / name).touch()
    assert {Path(row.uri).name for row in read_manifest(str(tmp_path)).rows} == set(names)


def test_folder_without_images(tmp_path: Path) -> None:
    """A folder that holds no images is refused with the number of files that it does hold."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds no images \(1 other files\); give another folder"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('uri,id\n"a.png,1\nb.png,2\n', "line 3"),
        ("uri,site,site\na.png,1,2\n", "site"),
        ("uri,site, site\na.png,1,2\n", "site"),
    ],
    ids=["open quote", "two columns of one name", "two columns of one name but for a blank"],
)
def test_csv_that_would_lose_something(tmp_path: Path, text: str, named: str) -> None:
    """A quote that is never closed would swallow rows, a repeated name a column: both are refused."""
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UsageError, match=named):
        read_manifest(str(tmp_path / "m.csv"))


def test_line_of_a_cell_over_two_lines(tmp_path: Path) -> None:
    """A row is told by the line it begins in."""
    (tmp_path / "m.csv").write_text('uri,note\na.png,"one\ntwo"\nb.png,\n')
    assert [row.line for row in read_manifest(str(tmp_path / "m.csv")).rows] == [2, 4]


@pytest.mark.parametrize("line", ['{"uri": "a.png", "n": ' + 5000 * "9" + "}", 100_000 * "["], ids=["number", "depth"])
def test_jsonl_beyond_limits(tmp_path: Path, line: str) -> None:
    """A number of thousands of digits or a list thousands deep is a bad row, not the end of the run."""
    (tmp_path / "m.jsonl").write_text(f'{line}\n{{"uri": "b.png"}}\n')
    rows = read_manifest(str(tmp_path / "m.jsonl")).rows
    assert [bool(row.problem) for row in rows] == [True, False]


# ---- tables as people's programs save them ---------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("m.csv", "uri\r\né.png\r\n"), ("m.txt", "é.png\r\n"), ("m.jsonl", '{"uri": "é.png"}\n')],
)
def test_encodings(read: Callable[..., Manifest], name: str, text: str, encoding: str) -> None:
    """A text is read in the encoding that its mark tells, else as UTF-8."""
    assert [row.uri for row in read(name, text.encode(encoding)).rows] == ["é.png"]


@pytest.mark.parametrize("mark", ["le", "be"])
def test_byte_orders(read: Callable[..., Manifest], mark: str) -> None:
    """Either byte order of UTF-16 is told by its mark."""
    assert read("m.csv", "\ufeffuri\né.png\n".encode(f"utf-16-{mark}")).rows[0].uri == "é.png"


def test_long_cells(read: Callable[..., Manifest]) -> None:
    """A cell may be as long as a country's outline."""
    outline = "POLYGON((" + "12.5 45.5," * 50_000 + "))"
    assert read("m.csv", f'uri,wkt\na.png,"{outline}"\n').user_columns["wkt"].to_pylist() == [outline]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={}\n"])
def test_what_spreadsheets_leave(read: Callable[..., Manifest], separator: str, first: str) -> None:
    """Empty rows, and unnamed columns without a cell, are nothing; lines keep their numbers."""
    text = "uri,id,,\na.png,x,,\n,,,\n , ,,\nb.png,y,,,,\nc.png,,,\n,,,\n".replace(",", separator)
    manifest = read("m.csv", first.format(separator) + text)
    skipped = bool(first)
    assert [(row.line, row.uri, row.id, row.problem) for row in manifest.rows] == [
        (2 + skipped, "a.png", "x", ""),
        (5 + skipped, "b.png", "y", ""),
        (6 + skipped, "c.png", "", ""),
    ]
    assert manifest.user_columns.num_columns == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "text", ["\n;;\nuri;id\na.png;x\n", '"my\nnote";uri;id\n;a.png;x\n', "sep=;\nuri;id\na.png;x\n"]
)
def test_where_the_names_stand(read: Callable[..., Manifest], text: str, end: str) -> None:
    """In the first row with anything in it, over however many lines, with whatever ends of lines."""
    assert [(row.uri, row.id) for row in read("m.csv", text.replace("\n", end)).rows] == [("a.png", "x")]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("m.csv", b"PK\3\4\x14\0\6\0", "Excel workbook or other ZIP archive; save it as UTF-8 csv"),
        ("m.csv", b"PK\3\4\x14\0\xff\xfe", "Excel workbook or other ZIP archive; save it as UTF-8 csv"),
        ("m.txt", b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel workbook; save it as UTF-8 csv"),
        ("m.jsonl", b"\x1f\x8b\x08\0", "gzip archive; unpack it"),
        ("m.csv", b"PAR1\0\0", "Parquet table; give it a name that ends in .parquet"),
        ("m.csv", b"uri,id,id\na.png,1,2\n", "more than one column named id; rename all but one"),
        ("m.jsonl", b'[{"uri": "a.png"}]\n', "line 1: not a JSON object; is it really jsonl"),
    ],
)
def test_what_is_wrong_with_a_table(read: Callable[..., Manifest], name: str, data: bytes, sentence: str) -> None:
    """The thing itself is named, with a remedy that works, not the first byte that does not fit."""
    with pytest.raises(UsageError, match=sentence):
        read(name, data)


def test_unnamed_columns_with_cells(read: Callable[..., Manifest]) -> None:
    """What has no name but says something is carried under its place, as the index of pandas is."""
    carried = read("m.csv", ",uri,\n0,a.png,x\n1,b.png,\n").user_columns
    assert carried.to_pydict() == {"column_1": ["0", "1"], "column_3": ["x", ""]}


def test_bytes_in_parquet(read: Callable[..., Manifest]) -> None:
    """Bytes are text where srpipe reads them, as Spark writes it; what it only carries stays bytes."""
    cells = {
        "uri": "é.png",
        "id": "ü",
        "scale": "3",
        "nodata": "-1",
        "kernel": "é.npy",
        "noise": "2",
        "reference": "ö.png",
    }
    table = pa.table({name: pa.array([text.encode()]) for name, text in cells.items()} | {"wkb": pa.array([b"ab"])})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    manifest = read("m.parquet", sink.getvalue().to_pybytes())
    row = manifest.rows[0]
    assert (row.uri, row.id, row.scale, row.nodata) == ("é.png", "ü", "3", "-1")
    assert (row.kernel, row.noise) == ("é.npy", "2")
    assert manifest.user_columns.to_pydict() == {
        "reference": [f"{manifest.folder}/ö.png"],
        "wkb": [b"ab"],
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_whole_floats(read: Callable[..., Manifest], suffix: str) -> None:
    """A column of whole numbers with a gap is one of floats to pandas: 7.0 is 7, and NaN the gap."""
    table = [
        {"uri": f"{n}.png", "id": cell, "scale": 2.0} for n, cell in enumerate([7.0, float("nan"), 0.5, 1e300, -0.0])
    ]
    rows = read(f"m.{suffix}", _encode(suffix, table)).rows
    assert [(row.id, row.scale) for row in rows] == [("7", "2"), ("", "2"), ("0.5", "2"), ("1e+300", "2"), ("0", "2")]


@pytest.mark.parametrize(
    ("names", "carried"),
    [
        (("Reference",), {"reference": "0"}),
        ((" REFERENCE ",), {"reference": "0"}),
        (("Reference", "reference"), {"manifest_Reference": "0", "reference": "1"}),
        (("Reference", "REFERENCE"), {"reference": "0", "manifest_REFERENCE": "1"}),
    ],
)
def test_the_column_of_true_images_in_any_case(
    read: Callable[..., Manifest], names: tuple[str, ...], carried: dict[str, str]
) -> None:
    """Like the other columns that mean something; of two the one in lower case counts, or the first."""
    table = [{"uri": "a.png", **{name: str(number) for number, name in enumerate(names)}}]
    columns = read("m.csv", _encode("csv", table)).user_columns.to_pydict()
    assert {name: str(cells[0]).rpartition("/")[2] for name, cells in columns.items()} == carried


def test_references_are_carried_as_whole_uris(read: Callable[..., Manifest]) -> None:
    """Records outlive the manifest; an empty cell stays empty, and what is no uri as it is."""
    cells = ["hr/a.png", "../b.png", "/c.png", "s3://bucket/d.png", "file:/e%20f.png", "", "https://example.org/g.png"]
    manifest = read("m.csv", "uri,reference\n" + "".join(f"{n}.png,{cell}\n" for n, cell in enumerate(cells)))
    folder = Path(manifest.folder)
    expected = [f"{folder}/hr/a.png", f"{folder.parent}/b.png", "/c.png", "s3://bucket/d.png", "/e f.png", None]
    assert manifest.user_columns["reference"].to_pylist() == [*expected, "https://example.org/g.png"]


def test_one_reference_that_is_no_text_spoils_no_other(read: Callable[..., Manifest]) -> None:
    """It is spelt out, and names no file."""
    manifest = read(
        "m.jsonl", '{"uri": "a.png", "reference": "hr/a.png"}\n{"uri": "b.png", "reference": "\\ud800.png"}'
    )
    told = manifest.user_columns["reference"].to_pylist()
    assert told == [f"{manifest.folder}/hr/a.png", f"{manifest.folder}/\\ud800.png"]
    assert [*manifest.references()] == told


def test_times_that_python_has_not(tmp_path: Path, read: Callable[..., Manifest]) -> None:
    """Those of a column that says what to do refuse the manifest in a sentence; a reference is then only missing."""
    late = pa.array([253_402_300_800], pa.timestamp("s"))
    for name in ("id", "reference"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"uri": ["a.png"], name: late}), sink)
        if name == "id":
            with pytest.raises(UsageError, match="cannot read the manifest"):
                read("m.parquet", sink.getvalue().to_pybytes())
        else:
            carried = read("m.parquet", sink.getvalue().to_pybytes()).user_columns
            assert carried["reference"].to_pylist() == [f"{tmp_path}/10000-01-01 00:00:00.000"]


def test_names_of_columns_that_are_no_text(read: Callable[..., Manifest]) -> None:
    """Half a character is spelt out, and no column is lost to one that is named so."""
    columns = read("m.jsonl", r'{"uri": "a.png", "n\ud800": 1, "n\\ud800": 2}').user_columns
    assert columns.to_pydict() == {r"manifest_n\ud800": [1], r"n\ud800": [2]}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_columns_named_like_a_record_s(read: Callable[..., Manifest], suffix: str) -> None:
    """They are carried under a prefix, and again under it where that name is taken; upper case makes no other name."""
    table = [{"uri": "a.png", "width": "1", "CRS": "2", "manifest_crs": "3", "key": "4", "site": "5"}]
    carried = read(f"m.{suffix}", _encode(suffix, table)).user_columns
    assert {name: cells[0] for name, cells in carried.to_pydict().items()} == {
        "manifest_width": "1",
        "manifest_manifest_CRS": "2",
        "manifest_crs": "3",
        "manifest_key": "4",
        "site": "5",
    }


def test_the_folder_that_cannot_be_listed_is_named(tmp_path: Path, closed_folder: Path) -> None:
    """It, and not the folder above it, whose rights are as they should be."""
    with pytest.raises(UsageError, match=f"cannot read {closed_folder} in the manifest .*: Permission denied"):
        read_manifest(str(tmp_path))
