"""Reading what is asked for: a table, a plain list, a folder, a glob or one image becomes rows and user columns."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from .. import storage
from ..errors import UsageError
from ..storage import Source
from .carried import carried, reference_among, references_in
from .table import Column, Table, as_text
from .table_files import SUFFIXES, open_table

URI_COLUMNS = ("uri", "path", "url", "image")
"""Names of the column that says where the image is; the first that a table has counts."""

_NAME_COLUMNS = "its first line must name the columns: put 'uri' there, or save a list of paths as .txt"

_OWN = ("id", "scale", "nodata", "kernel", "noise", "camera")
"""Columns that say how a row is done."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".pfm", ".tga", ".avif", ".mpo", ".psd"),
)
"""What a folder's files must end with to be taken for images."""


@dataclass(frozen=True, slots=True)
class Cells:
    """What one row of a manifest says, as written, before it is checked; "" where it says nothing."""

    line: int
    """Line of a text file, counted from 1; elsewhere the number of the row."""
    uri: str
    id: str = ""
    scale: str = ""
    nodata: str = ""
    kernel: str = ""
    noise: str = ""
    camera: str = ""
    problem: str = ""
    """Why the line could not be read; the other cells are then empty."""


@dataclass(frozen=True)
class OpenManifest:
    """An open manifest: of a table, only the rows being read are in memory."""

    uri: str
    """Absolute uri of the table, folder or pattern."""
    folder: str
    """What relative uris are relative to."""
    root: str
    """What keys are relative to; "" when keys are whole uris."""
    rows: Iterable[Cells]
    """Read anew each time you iterate. Raises UsageError if the rest of a table cannot be read."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    """What a listing already told about the files; empty for tables."""
    ignored: tuple[str, ...] = ()
    """Files of a folder that were left out because their names do not end like an image's."""
    references: Callable[[], Iterable[str]] = tuple
    """Gives the cells of the column that `srpipe eval` reads, as `rows` are read; none where there is no such column.
    """


@dataclass(frozen=True)
class Manifest(OpenManifest):
    """A manifest that is wholly in memory."""

    rows: tuple[Cells, ...]
    user_columns: pa.Table = field(kw_only=True)
    """The columns that srpipe only carries along, one row per row."""


def read_manifest(manifest: str) -> Manifest:
    """Read a manifest: csv, parquet, jsonl, txt (a uri a line), a folder (recursive), a glob or one image; local or S3.

    Raises:
        UsageError: it is missing, unreadable, empty, or has no column that says where the images are.
    """
    with open_manifest(manifest) as held:
        rows = tuple(held.rows)
        columns = carried(held.rows.others if isinstance(held.rows, _TableCells) else {}, len(rows), held.folder)
        values = (held.uri, held.folder, held.root, rows, held.sources, held.ignored)
        return Manifest(*values, partial(references_in, columns), user_columns=columns)


@contextmanager
def open_manifest(manifest: str) -> Generator[OpenManifest, None, None]:
    """Open a manifest as `read_manifest` does, but read its table row by row; a table on S3 is copied to disk first.

    Raises:
        UsageError: as for `read_manifest`; an error far down in a table is raised when you reach its row.
    """
    uri = storage.absolute(manifest, what="the manifest")
    if not storage.check_service(uri):
        raise UsageError(f"the manifest {manifest} cannot be read: there is no such bucket; correct its name")
    refuse_stream(manifest, uri)
    suffix = os.path.splitext(uri)[1].lower()
    with ExitStack() as stack:
        with _refusing(manifest):
            if suffix in SUFFIXES and not storage.is_folder(uri):
                held = _open_table(uri, suffix, stack.enter_context(storage.on_disk(uri)))
            else:
                held = _listed(manifest, uri, suffix)
        yield held


def refuse_stream(named: str, uri: str) -> None:
    """Raise UsageError for what cannot be read twice: a table is read several times, and again by later commands."""
    if storage.is_read_once(uri):
        raise UsageError(
            f"the manifest {named} is a pipe or a device, which can be read only once; save it as a file whose name"
            f" ends in {', '.join(SUFFIXES)}, since resuming and srpipe retry read it again"
        )


@contextmanager
def _refusing(manifest: str) -> Generator[None, None, None]:
    """Turn errors of storage into a UsageError with a sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(manifest) from error
    except OSError as error:
        folder = error.filename if error.filename and error.filename != storage.absolute(manifest) else None
        named = f"{folder} in the manifest {manifest}" if folder else f"the manifest {manifest}"
        raise UsageError(f"cannot read {named}: {storage.reason(error)}; check access") from error


def _listed(manifest: str, uri: str, suffix: str) -> OpenManifest:
    """Return the manifest of a folder, a glob or one image."""
    if storage.is_folder(uri):
        return _read_folder(uri)
    if suffix in IMAGE_SUFFIXES and storage.exists(uri):
        return _from_listing(uri, storage.parent(uri), {uri: storage.stat(uri)})
    if any(character in uri for character in "*?["):
        return _read_glob(uri)
    if storage.exists(uri):
        raise UsageError(
            f"the manifest {manifest} is of no known kind; its name must end in {', '.join(SUFFIXES)}"
            " or like an image's"
        )
    raise _missing(manifest)


def _missing(manifest: str) -> UsageError:
    return UsageError(f"the manifest {manifest} does not exist; give a table, a folder, a glob or an image")


def _read_folder(uri: str) -> OpenManifest:
    files = {file: source for file, source in storage.find(uri).items() if not _is_hidden(file[len(uri) :])}
    images = {file: source for file, source in files.items() if _looks_like_image(file)}
    if not images:
        raise UsageError(f"the folder {uri} holds no images ({len(files)} other files); give another folder")
    return _from_listing(uri, uri, images, tuple(file for file in files if file not in images))


def _read_glob(pattern: str) -> OpenManifest:
    first_wild = min(pattern.index(character) for character in "*?[" if character in pattern)
    root = storage.parent(pattern[:first_wild])
    files = {file: source for file, source in storage.glob(pattern).items() if not _is_hidden(file[len(root) :])}
    if not files:
        raise UsageError(f"nothing matches {pattern}; quote the pattern if the shell may have changed it")
    return _from_listing(pattern, root, files)


def _from_listing(uri: str, root: str, sources: dict[str, Source], ignored: tuple[str, ...] = ()) -> OpenManifest:
    return OpenManifest(uri, root, root, _FileCells(sources), sources, ignored)


class _FileCells:
    """A row for each file."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files = files

    def __iter__(self) -> Iterator[Cells]:
        for number, file in enumerate(self._files, 1):
            yield Cells(number, file)


def _open_table(uri: str, suffix: str, path: str) -> OpenManifest:
    table = open_table(uri, suffix, path, URI_COLUMNS)
    if next(table.rows(table.names[:1]), None) is None:
        raise UsageError(f"the manifest {uri} holds no rows; there is nothing to do")
    if not table.names:
        problem = next((f"line {line}: {problem}" for line, problem, _ in table.rows(()) if problem), "")
        if problem:
            raise UsageError(f"cannot read the manifest {uri}: {problem}; is it really {suffix[1:]}?")
    names = {name.strip().lower(): name for name in reversed(table.names)}
    uri_name = next((names[name] for name in URI_COLUMNS if name in names), None)
    if uri_name is None:
        held = ", ".join(table.names) or "none"
        raise UsageError(
            f"the manifest {uri} has no column {URI_COLUMNS[0]!r} (or {', '.join(URI_COLUMNS[1:])}); it has: {held}"
            f"; {_NAME_COLUMNS if suffix == '.csv' else 'give the one with the images that name'}"
        )
    own = {name: names[name] for name in _OWN if name in names}
    cells = _TableCells(uri, table, {"uri": uri_name, **own})
    return OpenManifest(uri, storage.parent(uri), "", cells, references=cells.references)


class _TableCells:
    """A row for each of a table's."""

    def __init__(self, uri: str, table: Table, named: Mapping[str, str]) -> None:
        """`named` has the names of columns by the fields of `Cells` that they give."""
        self._uri, self._table = uri, table
        self._fields, self._names = tuple(named), tuple(named.values())

    @property
    def others(self) -> dict[str, Column]:
        """The columns that say nothing of how a row is done, by name, whole."""
        names = self._other_names()
        with _refusing(self._uri):
            return self._table.columns(names) if names else {}

    def references(self) -> Iterator[str]:
        """Yield the cells of the user's column of references."""
        name = reference_among(self._other_names())
        if name is not None:
            with _refusing(self._uri):
                yield from (as_text(cell) for _, _, (cell,) in self._table.rows([name]))

    def _other_names(self) -> list[str]:
        return [name for name in self._table.names if name not in self._names]

    def __iter__(self) -> Iterator[Cells]:
        with _refusing(self._uri):
            for line, problem, cells in self._table.rows(self._names):
                said = dict(zip(self._fields, map(as_text, cells), strict=True))
                yield Cells(line, problem=problem, **said)


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


def _looks_like_image(uri: str) -> bool:
    return os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES
