"""A database on disk of what the rows of a manifest claim, and which rows cannot be done."""

import sqlite3
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Any, Literal

from sr_ops.settings import COLLECTION_KERNEL

from ..errors import UsageError
from ..output.layout import is_beside_tiles, single_names
from ..work.units import Row

_TABLES = """
CREATE TABLE rows (
    place INTEGER PRIMARY KEY, line INTEGER, key TEXT, uri TEXT, scale INTEGER, nodata TEXT, kernel INTEGER,
    noise TEXT, result_size TEXT, camera TEXT, name TEXT, asked BLOB, problem TEXT
);
CREATE TABLE kernels (number INTEGER PRIMARY KEY, kernel TEXT UNIQUE);
CREATE TABLE paths (path TEXT, is_file INTEGER, name TEXT, PRIMARY KEY (path, is_file, name)) WITHOUT ROWID;
CREATE TABLE tiles (tile_of TEXT, name TEXT, PRIMARY KEY (tile_of, name)) WITHOUT ROWID;
CREATE TABLE conflicts (name TEXT PRIMARY KEY, kind TEXT, other TEXT) WITHOUT ROWID;
"""

_CONFLICTS = """
CREATE INDEX by_name ON rows (name, place, asked) WHERE name IS NOT NULL;
INSERT OR IGNORE INTO conflicts
    SELECT mine.name, 'file', min(others.name) FROM paths others CROSS JOIN paths mine
    ON mine.path = others.path AND mine.name <> others.name WHERE others.is_file = 1 GROUP BY mine.name;
INSERT OR IGNORE INTO conflicts
    SELECT mine.name, 'file', min(others.name) FROM paths mine CROSS JOIN paths others
    ON mine.path = others.path AND others.is_file = 0 WHERE mine.is_file = 1 GROUP BY mine.name;
INSERT OR IGNORE INTO conflicts
    SELECT name, 'tile', tile_of FROM tiles WHERE EXISTS (SELECT 1 FROM rows WHERE rows.name = tile_of);
INSERT OR IGNORE INTO conflicts
    SELECT name, 'claim', NULL FROM rows WHERE name IS NOT NULL GROUP BY name HAVING min(asked) <> max(asked);
"""
"""A name with several conflicts is given the first."""

_KEPT = """
SELECT place, line, key, uri, scale, nodata, kernel, noise, result_size, camera FROM rows
WHERE name IS NOT NULL AND place >= ? AND place < ?
AND NOT EXISTS (SELECT 1 FROM rows earlier WHERE earlier.name = rows.name AND earlier.place < rows.place)
AND NOT EXISTS (SELECT 1 FROM conflicts WHERE conflicts.name = rows.name) ORDER BY {order}
"""

_REJECTED = """
SELECT place, line, uri, key, name, problem FROM rows
WHERE place < ? AND (name IS NULL OR EXISTS (SELECT 1 FROM conflicts WHERE conflicts.name = rows.name)) ORDER BY place
"""

_REPEATED = """
SELECT coalesce(sum(number - 1), 0) FROM
    (SELECT name, count(*) AS number FROM rows WHERE name IS NOT NULL GROUP BY name) AS named
WHERE NOT EXISTS (SELECT 1 FROM conflicts WHERE conflicts.name = named.name)
"""

_MOST_LISTED = 5
"""Most lines and keys that one message lists, as a million rows may claim one key."""

_LINES = f"SELECT line FROM rows WHERE name = ? ORDER BY place LIMIT {_MOST_LISTED}"

_KEYS = f"SELECT key FROM rows WHERE name = ? GROUP BY key ORDER BY min(place) LIMIT {_MOST_LISTED}"

_ALL_KEYS = "SELECT count(DISTINCT key) FROM rows WHERE name = ?"

_AT_ONCE = 1000
"""Rows that are written together."""

ALL = 2**62
"""More rows than a manifest has."""


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be carried out: it becomes a failed record."""

    index: int
    line: int
    uri: str
    key: str | None
    message: str


def name_of(key: str, folds_case: bool) -> str:
    """Return the name that a key has in the output: keys with equal names cannot both exist on the strictest disk."""
    if not folds_case:
        return key
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", key).casefold())


@contextmanager
def database_on_disk() -> Generator[sqlite3.Connection, None, None]:
    """Yield an empty database in a file without a name, which disappears with the context or the process.

    Raises:
        UsageError: the temporary folder has no room for it.
    """
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as database:
        try:
            database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;")
            yield database
        except sqlite3.OperationalError as error:
            raise UsageError(
                f"the rows of the manifest cannot be kept in the temporary folder ({error}); make room there, or name"
                " another with TMPDIR"
            ) from error


@contextmanager
def claims(*, folds_case: bool, one_file: bool) -> Generator["Claims", None, None]:
    """Yield the claims of a manifest, none at first.

    Args:
        folds_case: whether the disk of the output ignores case in names.
        one_file: each image becomes one file, not a folder of tiles.

    Raises:
        UsageError: as for `database_on_disk`.
    """
    with database_on_disk() as database:
        database.executescript(_TABLES)
        yield Claims(database, folds_case=folds_case, one_file=one_file)


class Claims:
    """Add rows in the order of the manifest, and settle them; then you can ask which rows are kept or rejected."""

    def __init__(self, database: sqlite3.Connection, *, folds_case: bool, one_file: bool) -> None:
        self._database = database
        self._folds_case, self._one_file = folds_case, one_file
        self._rows: list[tuple[object, ...]] = []
        self._paths: list[tuple[str, bool, str]] = []
        self._tiles: list[tuple[str, str]] = []
        self._kernel_number = lru_cache(_AT_ONCE)(self._numbered)
        self._kernel = lru_cache(_AT_ONCE)(self._of_number)
        self._why = lru_cache(_AT_ONCE)(self._conflict_message)

    def add(self, row: Row) -> None:
        """Add a row that is valid by itself."""
        name = name_of(row.key, self._folds_case)
        kernel = self._kernel_number(row.kernel)
        asked = blake2b(repr(_asked(row, kernel)).encode(), digest_size=16).digest()
        told = (row.scale, row.nodata, kernel, row.noise, row.result_size, row.camera)
        self._rows.append((row.index, row.line, row.key, row.uri, *told, name, asked, None))
        if self._one_file:
            self._claim_file(name)
        else:
            parts = name.split("/")
            within = [depth for depth in range(1, len(parts)) if is_beside_tiles(parts[depth])]
            self._tiles += [("/".join(parts[:depth]), name) for depth in within]
        self._write(_AT_ONCE)

    def add_done(self, keys: Iterable[str]) -> None:
        """Add keys that earlier runs have done: no row of another key may take the place of their files."""
        if self._one_file:
            for key in keys:
                self._claim_file(name_of(key, self._folds_case))
                self._write(_AT_ONCE)

    def refuse(self, index: int, line: int, uri: str, problem: str) -> None:
        """Add a row that is invalid by itself, and say why."""
        self._rows.append((index, line, None, uri, *(None,) * 8, problem))
        self._write(_AT_ONCE)

    def settle(self) -> None:
        """Find all conflicts; no row may be added afterwards."""
        self._write(1)
        self._database.executescript(_CONFLICTS)

    def kept(self, first: int = 0, below: int = ALL, by: Literal["place", "uri"] = "place") -> Iterator[Row]:
        """Yield the rows to do from position `first` to before `below`; of identical rows only the first.

        Args:
            by: the order of the rows: as in the manifest, or by the uris of their files.
        """
        question = _KEPT.format(order=by)
        for index, line, key, uri, scale, nodata, kernel, noise, size, camera in self._ask(question, first, below):
            yield Row(
                index,
                line,
                key,
                uri,
                scale,
                0,
                nodata=intern(nodata),  # most rows have the same cells but for key and uri
                kernel=self._kernel(kernel),
                noise=intern(noise),
                result_size=intern(size),
                camera=intern(camera),
            )

    def rejected(self, below: int = ALL) -> Iterator[Rejected]:
        """Yield the rows before a position of the manifest that cannot be done."""
        for index, line, uri, key, name, problem in self._ask(_REJECTED, below):
            yield Rejected(index, line, uri, key, problem if name is None else self._why(name))

    def repeated(self) -> int:
        """Return the number of rows that repeat an earlier row."""
        return self._count(_REPEATED)

    def asks_for(self, kernel: str) -> bool:
        """Return whether a row asks for this kernel."""
        return bool(self._count("SELECT count(*) FROM kernels WHERE kernel = ?", kernel))

    def refused(self, below: int) -> int:
        """Return the number of rows before a position that are invalid by themselves."""
        return self._count("SELECT count(*) FROM rows WHERE name IS NULL AND place < ?", below)

    def disputed(self, below: int) -> int:
        """Return the number of rows before a position that claim the key or the place of another row."""
        return self._count("SELECT count(*) FROM rows JOIN conflicts USING (name) WHERE place < ?", below)

    def _claim_file(self, name: str) -> None:
        parts = name.split("/")
        self._paths += [(path, True, name) for path in single_names(name)]
        self._paths += [("/".join(parts[:depth]), False, name) for depth in range(1, len(parts))]

    def _ask(self, question: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return iter(self._database.execute(question, values))

    def _count(self, question: str, *values: object) -> int:
        ((number,),) = self._ask(question, *values)
        return int(number)

    def _write(self, least: int) -> None:
        if max(len(self._rows), len(self._paths)) < least:
            return
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * 13)})", self._rows)
        self._database.executemany("INSERT OR IGNORE INTO paths VALUES (?, ?, ?)", self._paths)
        self._database.executemany("INSERT OR IGNORE INTO tiles VALUES (?, ?)", self._tiles)
        self._database.execute("COMMIT")
        self._rows.clear()
        self._tiles.clear()
        self._paths.clear()

    def _numbered(self, kernel: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO kernels (kernel) VALUES (?)", (kernel,))
        return self._count("SELECT number FROM kernels WHERE kernel = ?", kernel)

    def _of_number(self, number: int) -> str:
        ((kernel,),) = self._ask("SELECT kernel FROM kernels WHERE number = ?", number)
        return str(kernel)

    def _conflict_message(self, name: str) -> str:
        """Return the message for all rows of a name in conflict."""
        ((kind, other),) = self._ask("SELECT kind, other FROM conflicts WHERE name = ?", name)
        if kind == "file":
            conflict = f"the file of the key {name!r} would lie where that of {other!r} does"
            if self._count("SELECT count(*) FROM rows WHERE name = ?", other):
                return f"{conflict}; give the row another id"
            return f"{conflict}, which an earlier run has done; give the row another id, or choose another --output"
        keys = [key for (key,) in self._ask(_KEYS, name)]
        if kind == "tile":
            return (
                f"the key {keys[0]!r} takes a name that a file among the tiles of {other!r} may have; give the row"
                " another id"
            )
        first_lines = [str(line) for (line,) in self._ask(_LINES, name)]
        lines = _and(first_lines, self._count("SELECT count(*) FROM rows WHERE name = ?", name))
        if len(keys) > 1:
            spelt = _and([*map(repr, keys)], self._count(_ALL_KEYS, name))
            return (
                f"the keys {spelt} of lines {lines} are one name in the output, whose disk ignores case; give each an"
                " id of its own, or choose another --output"
            )
        return f"lines {lines} ask for different work under the key {keys[0]!r}; give each its own id"


def _and(first: Sequence[str], number: int) -> str:
    """Join the first of `number` items, as in "2, 3 and 7 more"."""
    *others, last = [*first, f"{number - len(first):,} more"] if number > len(first) else first
    return f"{', '.join(others)} and {last}" if others else last


def _asked(row: Row, kernel: int) -> tuple[object, ...]:
    """Return all that decides the pixels and their place; the camera only if the kernel is that of the camera."""
    camera = row.camera if row.kernel == COLLECTION_KERNEL else ""
    return row.key, row.uri, row.scale, row.result_size, row.nodata, kernel, row.noise, camera
