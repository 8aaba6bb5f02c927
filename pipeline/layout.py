"""What lies where in an output: tiles, commit records, the table and the marks of a run."""

import re
from dataclasses import dataclass

from . import storage

_TILE_NAME = re.compile(r"r(\d{4,})_c(\d{4,})\.png")

LONGEST_NAME = 255 - len(".0123456789abcdef.json")
"""Bytes of a key's part for which a commit record's name is still one of 255 bytes."""


def tiles_folder(output: str, key: str) -> str:
    return storage.join(output, "tiles", key)


def tile_name(row: int, column: int) -> str:
    return f"r{row:04d}_c{column:04d}.png"


def tile_position(name: str) -> tuple[int, int] | None:
    """Row and column of a tile by the name of its file; None for any other name."""
    match = _TILE_NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def parts_folder(output: str) -> str:
    return storage.join(output, "manifest")


def table(output: str) -> str:
    return storage.join(output, "manifest.parquet")


def run_json(output: str) -> str:
    return storage.join(output, "run.json")


def success(output: str) -> str:
    return storage.join(output, "_SUCCESS")


@dataclass(frozen=True, slots=True)
class Commit:
    """Which image of which source was done with which settings: all of it stands in the commit record's name."""

    settings: str
    key: str
    source: str

    def uri(self, output: str) -> str:
        return storage.join(_commits_folder(output), self.settings, f"{self.key}.{self.source}.json")


def list_commits(output: str) -> dict[str, list[Commit]]:
    """All commits of an output by key, from one listing of names."""
    folder = _commits_folder(output)
    commits: dict[str, list[Commit]] = {}
    for uri in storage.find(folder):
        settings, _, name = uri.removeprefix(folder + "/").partition("/")
        key, _, source = name.removesuffix(".json").rpartition(".")
        if name.endswith(".json") and key:
            commits.setdefault(key, []).append(Commit(settings, key, source))
    return commits


def _commits_folder(output: str) -> str:
    return storage.join(output, "_commit")
