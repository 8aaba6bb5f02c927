"""Read tables from text files as programs save them: csv, jsonl and txt."""

import codecs
import csv
import json
import re
import sys
from collections.abc import Container, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import UsageError
from .table import Table, TableRow

if TYPE_CHECKING:
    import _csv

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
"""Byte order marks and their encodings; where one mark begins with another, the longer one comes first."""

_SEPARATORS = ",;\t|"
"""Delimiters (Excel's depends on the country). The first one that gives a column for the images is taken."""

_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])(?:\r\n?|\n)")
"""A first line by which Excel names the separator; it is not a row."""


_OTHERS = {
    b"PK\3\4": "an Excel workbook or other ZIP archive; save it as UTF-8 csv",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as UTF-8 csv",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"PAR1": "a Parquet table; give it a name that ends in .parquet",
}
"""How binary files begin that people give as text by mistake."""


class TextTable(Table):
    """A table in a text file."""

    def __init__(self, uri: str, suffix: str, path: str) -> None:
        super().__init__(uri, suffix, path)
        with open(path, "rb") as file:
            begin = file.read(8)
        other = next((what for magic, what in _OTHERS.items() if begin.startswith(magic)), None)
        if other:
            raise UsageError(f"cannot read the manifest {uri}: it is {other}")
        self._encoding = next((encoding for mark, encoding in _MARKS if begin.startswith(mark)), "utf-8")
        with self.opened() as text:
            if "\0" in text.read(2):
                raise UsageError(
                    f"cannot read the manifest {uri}: it is not UTF-8 (every other byte is 0); save it as UTF-8"
                )

    @contextmanager
    def opened(self, newline: str | None = "") -> Generator[TextIO, None, None]:
        """Yield the open text. Raises UsageError where it cannot be decoded.

        Args:
            newline: as `open` has it.
        """
        try:
            with open(self._path, encoding=self._encoding, newline=newline) as text:
                yield text
        except UnicodeDecodeError as error:
            if self._encoding.startswith("utf-8"):
                what = f"{self._undecoded()} is not UTF-8"
            else:
                what = f"it begins like {self._encoding}, but is damaged"
            raise UsageError(f"cannot read the manifest {self._uri}: {what}; save it as UTF-8") from error

    def _undecoded(self) -> str:
        """Return the place of the first byte that is not UTF-8; no line ends within a letter."""
        with open(self._path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    return f"byte 0x{line[error.start]:02x} in line {number}"
        return "it"  # it was changed since


class CsvTable(TextTable):
    """A csv file. Every cell stays text: a csv has no types, and 007 must stay 007."""

    def __init__(self, uri: str, suffix: str, path: str, uri_columns: Container[str]) -> None:
        super().__init__(uri, suffix, path)
        csv.field_size_limit(sys.maxsize)  # the outline of a country is longer than Python's 131,072 characters
        with self.opened() as text:
            said = _SEPARATOR_LINE.fullmatch(text.readline())
        self._skipped = 1 if said else 0
        with self.refusing():
            self._separator = said[1] if said else self._guessed_separator(uri_columns)
            self._places = self._named()
            self.names = tuple(self._places)
            self.refuse_twins([name for name, _ in self._columns])

    def _guessed_separator(self, uri_columns: Container[str]) -> str:
        for separator in _SEPARATORS:
            with self.opened() as text:
                names = _header(csv.reader(text, delimiter=separator))
            if any(name.strip().lower() in uri_columns for name in names):
                return separator
        return _SEPARATORS[0]

    def _named(self) -> dict[str, int]:
        """Return the place of each column; a column without a name and without content does not count."""
        with self._reader() as reader:
            self._header = _header(reader)
        unnamed = [place for place, name in enumerate(self._header) if not name.strip()]
        filled: set[int] = set()
        for _, _, cells in self._lines() if unnamed else ():
            filled.update(place for place in unnamed if cells[place].strip())
            if len(filled) == len(unnamed):
                break
        self._columns = [
            (name if name.strip() else f"column_{place + 1}", place)
            for place, name in enumerate(self._header)
            if name.strip() or place in filled
        ]
        return dict(self._columns)

    @contextmanager
    def _reader(self) -> Generator["_csv.Reader", None, None]:
        with self.opened() as text:
            for _ in range(self._skipped):
                text.readline()
            reader = csv.reader(text, strict=True, delimiter=self._separator)
            try:
                yield reader
            except csv.Error as error:
                raise csv.Error(f"line {reader.line_num + self._skipped}: {error}") from error

    def _rows(self, names: Sequence[str]) -> Iterator[TableRow]:
        places = [self._places[name] for name in names]
        for line, problem, cells in self._lines():
            yield line, problem, [cells[place] for place in places]

    def _lines(self) -> Iterator[tuple[int, str, list[str]]]:
        """Yield the rows. Empty rows do not count, nor do empty cells beyond the last column."""
        width = len(self._header)
        with self._reader() as reader:
            _header(reader)
            line = reader.line_num + 1
            for cells in reader:
                first_line, line = line, reader.line_num + 1  # a quoted cell may go over several lines
                while len(cells) > width and not cells[-1].strip():
                    cells.pop()
                if not any(cell.strip() for cell in cells):
                    continue
                fits = len(cells) == width
                problem = "" if fits else f"{len(cells)} cells under {width} columns"
                yield first_line + self._skipped, problem, cells if fits else [""] * width


def _header(reader: "_csv.Reader") -> list[str]:
    """Return the first row that is not empty."""
    return next((cells for cells in reader if any(cell.strip() for cell in cells)), [])


class JsonlTable(TextTable):
    """A file with one JSON object a line. Its columns are all names that occur in any object."""

    def __init__(self, uri: str, suffix: str, path: str) -> None:
        super().__init__(uri, suffix, path)
        self.names = tuple(dict.fromkeys(name for _, _, value in self._objects() for name in value))
        self.refuse_twins(self.names)

    def _rows(self, names: Sequence[str]) -> Iterator[TableRow]:
        for line, problem, value in self._objects():
            yield line, problem, [value.get(name) for name in names]

    def _objects(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        with self.opened(newline="\n") as text:
            for number, line in enumerate(text, 1):
                if not line.strip():
                    continue
                problem, value = "", {}
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:  # numbers too long and lists too deep are neither
                    problem = f"not JSON that can be read ({error})"
                if not isinstance(value, dict):
                    problem, value = "not a JSON object", {}
                yield number, problem, value


class TxtTable(TextTable):
    """A file with one uri a line. Blank lines and lines that begin with # are left out."""

    names = ("uri",)

    def _rows(self, names: Sequence[str]) -> Iterator[TableRow]:
        number = 0
        with self.opened(newline=None) as text:
            for some in text:
                for line in some.splitlines():  # other marks than these end a line, too
                    number += 1
                    if line.strip() and not line.startswith("#"):
                        yield number, "", [line] * len(names)
