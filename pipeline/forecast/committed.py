"""The commits of an output in a database on disk, because there may be millions of them."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from ..manifest.claims import database_on_disk, name_of
from ..output.layout import Commit, each_commit


@contextmanager
def commits_on_disk(output: str, folds_case: bool) -> Generator["Commits", None, None]:
    """Yield the commits of an output, from one listing.

    Args:
        folds_case: names that differ in case alone are one where the output is.

    Raises:
        OSError: the output cannot be listed.
        UsageError: as for `database_on_disk`.
    """
    with database_on_disk() as database:
        database.execute("CREATE TABLE commits (name TEXT, settings TEXT, key TEXT, source TEXT)")
        rows = (
            (name_of(commit.key, folds_case), commit.settings, commit.key, commit.source)
            for commit in each_commit(output)
        )
        database.execute("BEGIN")
        database.executemany("INSERT INTO commits VALUES (?, ?, ?, ?)", rows)
        database.execute("COMMIT")
        database.execute("CREATE INDEX by_name ON commits (name)")
        yield Commits(database, folds_case)


class Commits:
    """Iterate over all commits, in no order, or ask for those of a key."""

    def __init__(self, database: sqlite3.Connection, folds_case: bool) -> None:
        self._database, self._folds_case = database, folds_case

    def __iter__(self) -> Iterator[Commit]:
        return (Commit(*found) for found in self._database.execute("SELECT settings, key, source FROM commits"))

    def listed(self, key: str) -> list[Commit]:
        """Return the commits of a key, as the output spells it."""
        question = "SELECT settings, key, source FROM commits WHERE name = ?"
        found = self._database.execute(question, (name_of(key, self._folds_case),))
        return [Commit(*values) for values in found]
