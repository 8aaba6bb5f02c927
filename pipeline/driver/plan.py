"""Deciding what to do before anything is started: keys, collisions, what is done already, and units of work."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NoReturn

from sr_ops.grid import parse_scale, times_of
from sr_ops.kernel_spec import described
from sr_ops.settings import COLLECTION_KERNEL, Settings

from .. import storage
from ..config import ONE_SCALE, Existing, RunConfig, check_kernel, parse_nodata, parse_noise, takes_kernel
from ..errors import UsageError
from ..output.layout import LONGEST_NAME, Commit
from ..storage import Source
from ..storage.patience import Patience
from ..work.estimates import enlarging_seconds, fitting_seconds
from ..work.units import Row
from .claims import Claims, Rejected, claims, name_of
from .kernel_cells import KernelCells
from .manifest import Cells, Manifest, OpenManifest

_UNIT_SECONDS = 30.0
"""Work of one unit: long enough that handing it out costs nothing, short enough that little is lost with a worker."""
_UNIT_ROWS = 16

_TOLD_ROWS = 1000
"""After so many it is told how far the check is."""

_PIXELS_PER_BYTE = 1.0
"""Of compressed pictures, roughly."""


FindKernels = Callable[[Sequence[Row], Mapping[str, Source]], list[Row]]


@dataclass(frozen=True)
class Plan:
    units: tuple[tuple[Row, ...], ...]
    """What is to be done, longest first."""
    rejected: tuple[Rejected, ...]
    committed: tuple[tuple[Row, Commit], ...]
    """Rows that are done already, with what says so."""
    skipped: tuple[Row, ...]
    """Rows that are not to be attempted this time."""
    duplicates: int
    """Rows that ask for the same as an earlier one; they are one with it."""

    @property
    def rows(self) -> dict[str, int]:
        """Position in the manifest of every row that has a key of its own."""
        todo = (row for unit in self.units for row in unit)
        return {row.key: row.index for row in (*todo, *(row for row, _ in self.committed), *self.skipped)}

    @property
    def todo(self) -> int:
        return sum(map(len, self.units))

    def restricted(self, keys: Container[str]) -> "Plan":
        """The same with nothing to be done but these."""
        units = (tuple(row for row in unit if row.key in keys) for unit in self.units)
        others = (row for unit in self.units for row in unit if row.key not in keys)
        return replace(self, units=tuple(filter(None, units)), skipped=(*self.skipped, *others))


def make_plan(
    config: RunConfig,
    manifest: Manifest,
    root: str,
    commits: Mapping[str, Sequence[Commit]],
    scenes: Mapping[Commit, Sequence[str]] | None = None,
    folds_case: bool = False,
    find_kernels: FindKernels | None = None,
    mapped: Container[Commit] | None = None,
) -> Plan:
    """Pure but for what it asks of storage: kernels in files; the images' size and version, or with `deep` their bytes.

    Args:
        root: what keys are relative to.
        commits: what is done, by key.
        scenes: the files of scenes that are begun.
        folds_case: names that differ in case alone are one where the output is.
        find_kernels: gives rows the kernel of their camera, by their sources; not called where none asks for it.
        mapped: commits that have a map of the disagreement, or nothing to draw one of: others are done again; None
            where no map is asked for.

    Raises:
        UsageError: with `strict`, the first bad row; a kernel that was saved for a camera is damaged.
    """
    limit = len(manifest.rows) if config.limit is None else config.limit
    rows, all_rejected, duplicates = _check_rows(config, manifest, root, folds_case)
    rejected = [row for row in all_rejected if row.index < limit]
    if config.strict and rejected:
        refuse(config, rejected[0], len(rejected))
    chosen = [row for row in rows if row.index < limit]
    uris = [row.uri for row in chosen]
    sources = storage.content_sources(uris) if config.deep else manifest.sources or storage.stat_all(uris)
    if find_kernels is not None and any(row.kernel == COLLECTION_KERNEL for row in chosen):
        chosen = find_kernels(chosen, sources)

    done, begun = (_by_name(known, folds_case) for known in (chain.from_iterable(commits.values()), scenes or ()))

    todo: list[Row] = []
    committed: list[tuple[Row, Commit]] = []
    for row in chosen:
        wanted = wanted_commit(row, sources.get(row.uri), config)
        known = [under(row.key, commit) for commit in done.get(name_of(row.key, folds_case), ())]
        if is_done(wanted, known, config, mapped):
            committed.append((row, wanted))
            continue
        size = sources[row.uri].size if row.uri in sources else 0
        stale = [commit.uri(config.output) for commit in known]
        for commit in begun.get(name_of(row.key, folds_case), ()):
            stale += scenes[commit] if scenes and under(row.key, commit) != wanted else ()
        todo.append(
            replace(row, size=size, stale=tuple(stale), redo=wanted in known or config.existing is Existing.OVERWRITE)
        )
    return Plan(
        pack(todo, config.settings),
        tuple(rejected),
        tuple(committed),
        tuple(row for row in rows if row.index >= limit),
        duplicates,
    )


def refuse(config: RunConfig, first: Rejected, number: int) -> NoReturn:
    """Raises UsageError for the first of so many bad rows."""
    raise UsageError(f"line {first.line} of {config.manifest}: {first.message} ({number} bad rows, --strict)")


def make_key(text: str) -> str:
    """A key that is safe as a relative path: unsafe characters percent-escaped, the rest kept readable.

    Raises:
        ValueError: it would leave the output, or a part is too long for a file name.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if text.startswith("/"):
        raise ValueError("is an absolute path")
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("has an empty part, '.' or '..', and would point outside the output")
    key = "/".join(_UNSAFE.sub(_percent, part) for part in parts)
    longest = max((part.encode() for part in key.split("/")), key=len)
    if len(longest) > LONGEST_NAME:
        raise ValueError(f"has a part of {len(longest)} bytes, over the {LONGEST_NAME} a file name has room for")
    return key


_UNSAFE = re.compile(r'[%<>:"|?*\\\x00-\x1f\x7f]|[. ]$')
"""What some file system refuses in a name; % itself, so that two keys never become one."""


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())


def _by_name(commits: Iterable[Commit], folds_case: bool) -> dict[str, list[Commit]]:
    named: defaultdict[str, list[Commit]] = defaultdict(list)
    for commit in commits:
        named[name_of(commit.key, folds_case)].append(commit)
    return named


def under(key: str, commit: Commit) -> Commit:
    """A commit as the key is spelt now, of keys that are one name."""
    return commit if commit.key == key else replace(commit, key=key)


def _check_rows(
    config: RunConfig, manifest: Manifest, root: str, folds_case: bool
) -> tuple[list[Row], list[Rejected], int]:
    with claims(folds_case=folds_case, one_file=config.form.one_file) as claimed:
        claim(claimed, config, manifest, root, lambda _done, _todo: None)
        return [*claimed.kept()], [*claimed.rejected()], claimed.repeated()


def claim(
    claimed: Claims, config: RunConfig, manifest: OpenManifest, root: str, looking: Callable[[int, int], None]
) -> int:
    """Check every row of a manifest, and settle what they claim. Returns how many there are.

    Args:
        looking: called with how many are checked, and of how many.
    """
    number = 0

    def kernel_cells() -> Iterator[str]:
        nonlocal number
        for number, cells in enumerate(manifest.rows, 1):  # noqa: B007 - it is counted
            yield cells.kernel

    kernels = KernelCells(kernel_cells(), manifest.folder, Patience(config.retries))
    for index, cells in enumerate(manifest.rows):
        if index % _TOLD_ROWS == 0:
            looking(index, number)
        try:
            row = check_row(index, cells, config.settings, manifest.folder, root, kernels.text)
        except (ValueError, UsageError) as error:
            claimed.refuse(index, cells.line, _printable(cells.uri), _printable(str(error)))
        else:
            claimed.add(row)
    claimed.settle()
    return number


def check_row(
    index: int, cells: Cells, settings: Settings, folder: str, root: str, read_kernel: Callable[[str], str]
) -> Row:
    """The row that `cells` ask for. Raises ValueError or UsageError with the sentence for the row's record.

    Args:
        read_kernel: gives what a cell of the column `kernel` means.
    """
    if cells.problem:
        raise ValueError(f"{cells.problem}; mend the line")
    if "\0" in cells.uri:
        raise ValueError("the uri holds a NUL character; mend it")
    if not cells.uri:
        raise ValueError("the uri is empty; say where the image is")
    if cells.uri != _printable(cells.uri):
        raise ValueError(f"the name {_printable(cells.uri)} holds bytes that are not UTF-8; rename the file")
    uri = storage.absolute(cells.uri, folder)
    if "\0" in uri or uri != _printable(uri):
        raise ValueError(f"the uri {cells.uri!r} names a file whose name is no UTF-8 text; rename the file")
    named, text = ("id", cells.id) if cells.id else ("uri", _key_text(cells.uri, uri, root))
    try:
        key = make_key(text)
    except ValueError as error:
        remedy = (
            "give a plain id" if cells.id else "give the row an id, or name the folder that keys start from with --root"
        )
        raise ValueError(f"the {named} {text!r} {error}; {remedy}") from error
    scale, size = parse_scale(cells.scale) if cells.scale else (settings.scale, settings.result_size)
    nodata = parse_nodata(cells.nodata) if cells.nodata else settings.nodata
    kernel = read_kernel(cells.kernel) if cells.kernel else settings.kernel
    noise = parse_noise(cells.noise) if cells.noise else settings.noise
    camera = _printable(cells.camera)
    row = Row(index, cells.line, key, uri, scale, 0, nodata=nodata, kernel=kernel, noise=noise, camera=camera)
    row = replace(row, result_size=size)
    _check_kernel(row.settings(settings))
    return row


def _check_kernel(settings: Settings) -> None:
    """Raises ValueError with the sentence for the record of a row whose kernel cannot be used."""
    if times_of(settings) is not None:  # else a worker looks, when it knows the scale of the image
        check_kernel(settings.kernel, settings.scale)
    elif settings.kernel == COLLECTION_KERNEL:
        raise ValueError(ONE_SCALE)
    if not takes_kernel(settings):
        raise ValueError(
            f"the kernel {described(settings.kernel)} cannot be used with the network {settings.network}, which knows"
            " bicubic alone; leave out --network, --prior none and --preset paper, or use --method bicubic"
        )


def _printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8, which Python keeps as lone surrogates, spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _key_text(written: str, uri: str, root: str) -> str:
    """Below a root the relative path; without one the uri as it is written, without its scheme."""
    if root and storage.scheme(uri) == storage.scheme(root):
        return posixpath.relpath(uri, root)
    if storage.is_file_uri(written):
        return uri.lstrip("/")
    return posixpath.normpath(written.partition("://")[2] if "://" in written else written).lstrip("/")


def is_done(wanted: Commit, known: Sequence[Commit], config: RunConfig, mapped: Container[Commit] | None) -> bool:
    """Whether nothing is left to do, where `known` are all commits of the wanted one's key; `mapped` as `make_plan`."""
    return known == [wanted] and config.existing is Existing.RESUME and (mapped is None or wanted in mapped)


def wanted_commit(row: Row, source: Source | None, config: RunConfig) -> Commit:
    settings = row.settings(config.settings)
    return Commit(config.fingerprint(settings), row.key, source.fingerprint if source else "")


def pack(rows: list[Row], settings: Settings) -> tuple[tuple[Row, ...], ...]:
    """Longest rows first; short ones share a unit."""
    costs = {row.index: _seconds(row, row.settings(settings)) for row in rows}
    units: list[tuple[Row, ...]] = []
    unit: list[Row] = []
    for row in sorted(rows, key=lambda row: (-costs[row.index], row.index)):
        full = len(unit) == _UNIT_ROWS or sum(costs[held.index] for held in unit) + costs[row.index] > _UNIT_SECONDS
        if unit and full:
            units.append(tuple(unit))
            unit = []
        unit.append(row)
    return (*units, tuple(unit)) if unit else tuple(units)


def _seconds(row: Row, settings: Settings) -> float:
    """A guess at the time of one row on one CPU core, from its file's size."""
    return fitting_seconds(settings) + enlarging_seconds(row.size * _PIXELS_PER_BYTE, settings)
