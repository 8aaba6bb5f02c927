"""The interface of a table of any kind."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import pyarrow as pa

from ..errors import UsageError

Column: TypeAlias = Sequence[Any] | pa.Array
"""A cell for every row."""

TableRow = tuple[int, str, Sequence[Any]]
"""A row: its line number, what is wrong with it ("" for nothing), and its cells in the requested columns."""


class Table(ABC):
    """A table in a local file. It is read anew each time you ask for rows, and few of them are in memory at a time."""

    names: tuple[str, ...]
    """Names of its columns."""

    def __init__(self, uri: str, suffix: str, path: str) -> None:
        self._path = path
        self._uri, self._kind = uri, suffix[1:]

    def rows(self, names: Sequence[str]) -> Generator[TableRow, None, None]:
        """Yield all rows with their cells in some columns. Raises UsageError if the file is malformed."""
        with self.refusing():
            yield from self._rows(names)

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """Return some columns, whole. Raises UsageError as `rows` does."""
        cells = [cells for _, _, cells in self.rows(names)]
        return {name: [row[place] for row in cells] for place, name in enumerate(names)}

    @contextmanager
    def refusing(self) -> Generator[None, None, None]:
        """Turn an error of reading into a UsageError with a sentence."""
        try:
            yield
        except (csv.Error, pa.ArrowException, OverflowError, ValueError) as error:
            raise UsageError(f"cannot read the manifest {self._uri}: {error}; is it really {self._kind}?") from error

    def refuse_twins(self, names: Sequence[str]) -> None:
        """Refuse two columns of the same name, since one would be lost."""
        plain = [name.strip() for name in names]
        twice = sorted({name for name in plain if plain.count(name) > 1})
        if twice:
            raise UsageError(
                f"the manifest {self._uri} has more than one column named {', '.join(twice)}; rename all but one"
            )

    @abstractmethod
    def _rows(self, names: Sequence[str]) -> Iterator[TableRow]: ...


def printable(name: str) -> str:
    """Return a name as text: bytes that are not UTF-8, which Python keeps as lone surrogates, spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def as_text(value: Any) -> str:
    """Return a cell as text: "" for nothing, whole numbers without a point, bytes decoded.

    Tables made by pandas or Spark have 7.0 for 7 where a column has gaps, NaN for a gap, and bytes for text.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="surrogateescape").strip()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip()
