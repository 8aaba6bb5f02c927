"""Reading what is asked for: a table, a plain list, a folder, a glob or one image becomes rows and user columns."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .. import storage
from ..errors import UsageError
from ..output.mixed_columns import cell_text
from ..output.record import COLUMNS
from ..storage import Source
from .table_files import SUFFIXES, Columns, ColumnValues, as_text, read_table_file

URI_COLUMNS = ("uri", "path", "url", "image")
"""Names of the column that says where the image is; the first that a table has counts."""

_OWN = ("id", "scale", "nodata", "kernel", "noise", "camera")
"""Columns that say how a row is done."""

PREFIX = "manifest_"
"""Under which a user's column is carried that is named like one of a record."""

REFERENCE = "reference"
"""The user's column that `srpipe eval` reads."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".pfm", ".tga", ".avif", ".mpo", ".psd"),
)
"""What a folder's files must end with to be taken for images."""


@dataclass(frozen=True, slots=True)
class Cells:
    """What one row of a manifest says, before it is checked."""

    line: int
    """Line of a text file, counted from 1; elsewhere the number of the row."""
    uri: str
    """As written, "" when empty."""
    id: str
    """As written, "" when absent."""
    scale: str
    """As written, "" when absent."""
    nodata: str = ""
    """As written, "" when absent."""
    kernel: str = ""
    """As written, "" when absent."""
    noise: str = ""
    """As written, "" when absent."""
    camera: str = ""
    """As written, "" when absent."""
    problem: str = ""
    """Why the line could not be read; the other cells are then empty."""


@dataclass(frozen=True)
class Manifest:
    uri: str
    """Absolute uri of the table, folder or pattern."""
    folder: str
    """What relative uris are relative to."""
    root: str
    """What keys are relative to; "" when keys are whole uris."""
    rows: tuple[Cells, ...]
    user_columns: pa.Table
    """The columns that srpipe only carries along, one row per row."""
    sources: dict[str, Source]
    """What a listing already told about the files; empty for tables."""
    ignored: tuple[str, ...] = ()
    """Files of a folder that were left out because their names do not end like an image's."""


def read_manifest(manifest: str) -> Manifest:
    """Read a manifest: csv, parquet, jsonl, txt (a uri a line), a folder (recursive), a glob or one image; local or S3.

    Raises:
        UsageError: it is missing, unreadable, empty, or has no column that says where the images are.
    """
    uri = storage.absolute(manifest)
    if not storage.check_service(uri):
        raise UsageError(f"the manifest {manifest} cannot be read: there is no such bucket; correct its name")
    suffix = os.path.splitext(uri)[1].lower()
    try:
        if suffix in SUFFIXES and not storage.is_folder(uri):
            return _read_table(uri, suffix)
        if storage.is_folder(uri):
            return _read_folder(uri)
        if suffix in IMAGE_SUFFIXES and storage.exists(uri):
            return _from_listing(uri, storage.parent(uri), {uri: storage.stat(uri)})
        if any(character in uri for character in "*?["):
            return _read_glob(uri)
        found = storage.exists(uri)
    except FileNotFoundError as error:
        raise UsageError(f"the manifest {manifest} does not exist; give a table, a folder or a glob") from error
    except OSError as error:
        raise UsageError(f"cannot read the manifest {manifest}: {storage.reason(error)}; check access") from error
    if found:
        raise UsageError(
            f"the manifest {manifest} is of no known kind; its name must end in {', '.join(SUFFIXES)}"
            " or like an image's"
        )
    raise UsageError(f"the manifest {manifest} does not exist; give a table, a folder or a glob")


def _read_folder(uri: str) -> Manifest:
    files = {file: source for file, source in storage.find(uri).items() if not _is_hidden(file[len(uri) :])}
    images = {file: source for file, source in files.items() if _looks_like_image(file)}
    if not images:
        raise UsageError(f"the folder {uri} holds no images ({len(files)} other files); give another folder")
    return _from_listing(uri, uri, images, tuple(file for file in files if file not in images))


def _read_glob(pattern: str) -> Manifest:
    first_wild = min(pattern.index(character) for character in "*?[" if character in pattern)
    root = storage.parent(pattern[:first_wild])
    files = {file: source for file, source in storage.glob(pattern).items() if not _is_hidden(file[len(root) :])}
    if not files:
        raise UsageError(f"nothing matches {pattern}; quote the pattern if the shell may have changed it")
    return _from_listing(pattern, root, files)


def _from_listing(uri: str, root: str, sources: dict[str, Source], ignored: tuple[str, ...] = ()) -> Manifest:
    rows = tuple(Cells(number, file, "", "") for number, file in enumerate(sources, 1))
    return Manifest(uri, root, root, rows, _no_columns(len(rows)), sources, ignored)


def _read_table(uri: str, suffix: str) -> Manifest:
    lines, columns = read_table_file(uri, suffix, storage.read(uri), URI_COLUMNS)
    if not lines:
        raise UsageError(f"the manifest {uri} holds no rows; there is nothing to do")
    names = {name.strip().lower(): name for name in reversed(list(columns))}
    uri_name = next((names[name] for name in URI_COLUMNS if name in names), None)
    problem = next((f"line {line}: {problem}" for line, problem in lines if problem), "")
    if not names and problem:
        raise UsageError(f"cannot read the manifest {uri}: {problem}; is it really {suffix[1:]}?")
    if uri_name is None:
        held = ", ".join(columns) or "none"
        raise UsageError(
            f"the manifest {uri} has no column {URI_COLUMNS[0]!r} (or {', '.join(URI_COLUMNS[1:])}); it has: {held}"
        )
    own = {name: names[name] for name in _OWN if name in names}

    def cell(name: str | None, index: int) -> str:
        return "" if name is None else as_text(columns[name][index])

    rows = tuple(
        Cells(line, cell(uri_name, index), problem=problem, **{name: cell(own.get(name), index) for name in _OWN})
        for index, (line, problem) in enumerate(lines)
    )
    carried = {name: values for name, values in columns.items() if name not in (uri_name, *own.values())}
    table = pa.table(_carried(carried)) if carried else _no_columns(len(rows))
    return Manifest(uri, storage.parent(uri), "", rows, table, {})


def _carried(columns: Columns) -> dict[str, pa.Array]:
    """The user's columns by the names under which records have them: none is that of a record's own column.

    Those are told apart without regard to case, as most readers of Parquet do.
    """
    taken = set(COLUMNS) | {name.strip().lower() for name in columns}
    carried = {}
    for name, values in columns.items():
        plain = name.strip()
        if plain.lower() in COLUMNS:
            while plain.lower() in taken:
                plain = PREFIX + plain
            taken.add(plain.lower())
        carried[plain] = _column([as_text(value) or None for value in values] if plain == REFERENCE else values)
    return carried


def _column(values: Iterable[Any]) -> pa.Array:
    if isinstance(values, ColumnValues):
        return values.values
    values = list(values)
    if any(isinstance(value, dict | list) for value in values):
        return pa.array([None if value is None else cell_text(value) for value in values])
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # jsonl cells that no one type can hold
        return pa.array([None if value is None else cell_text(value) for value in values])


def _no_columns(rows: int) -> pa.Table:
    return pa.table({"row": pa.nulls(rows)}).select([])


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


def _looks_like_image(uri: str) -> bool:
    return os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES
