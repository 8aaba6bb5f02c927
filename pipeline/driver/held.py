"""What an output holds before a run: what is done, what is begun, and of which rows there is a record."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..config import Existing, RunConfig
from ..manifest.claims import name_of
from ..output.layout import Commit, file_rivals


@dataclass(frozen=True)
class Held:
    """What an output holds; nothing by default."""

    commits: Sequence[Commit] = ()
    scenes: Mapping[Commit, Sequence[str]] = field(default_factory=dict)
    """The files of scenes that are begun."""
    folds_case: bool = False
    """Whether names that differ in case alone are one there."""
    mapped: Container[Commit] | None = None
    """Commits that have a map of the disagreement, or nothing to draw one of: others are done again. None where no map
    is asked for."""
    damaged: Container[Commit] = ()
    """Commits that no record mentions and that cannot be read: what they say is done is done again."""
    recorded: Container[str] = ()
    """Keys of which runs before left a record."""
    reformed: bool = False
    """Whether a run before wrote other files, of which it may have left some without a record."""

    def done(self, key: str) -> list[Commit]:
        """Return the commits of a key, spelt as this one."""
        return [spelt_as(key, commit) for commit in self._listed(key)]

    def is_done(self, wanted: Commit, config: RunConfig) -> bool:
        """Return whether nothing is left to do for what this commit would mark as done."""
        return is_done(wanted, self._listed(wanted.key), config, self.mapped) and not self.is_damaged(wanted)

    def is_damaged(self, wanted: Commit) -> bool:
        return any(commit in self.damaged for commit in self._listed(wanted.key) if _are_one(commit, wanted))

    def _listed(self, key: str) -> Sequence[Commit]:
        """Return the commits of a key, as the output spells it."""
        return self._done.get(name_of(key, self.folds_case), ())

    def begun(self, key: str, output: str) -> dict[Commit, list[str]]:
        """Return the files of a key's scenes that are begun, by what will mark them as done."""
        files: dict[Commit, list[str]] = {}
        for commit in self._begun.get(name_of(key, self.folds_case), ()):
            spelt = spelt_as(key, commit)
            folders = commit.scene_folder(output), spelt.scene_folder(output)
            files.setdefault(spelt, []).extend(uri.replace(*folders, 1) for uri in self.scenes[commit])
        return files

    def has_rival(self, key: str) -> bool:
        """Return whether the one file of another key that is done may have a name that this key's may have."""
        return any(name_of(rival, self.folds_case) in self._done for rival in file_rivals(key))

    @cached_property
    def _done(self) -> Mapping[str, Sequence[Commit]]:
        return self._by_name(self.commits)

    @cached_property
    def _begun(self) -> Mapping[str, Sequence[Commit]]:
        return self._by_name(self.scenes)

    def _by_name(self, commits: Iterable[Commit]) -> Mapping[str, Sequence[Commit]]:
        named: defaultdict[str, list[Commit]] = defaultdict(list)
        for commit in commits:
            named[name_of(commit.key, self.folds_case)].append(commit)
        return named


def is_done(wanted: Commit, listed: Sequence[Commit], config: RunConfig, mapped: Container[Commit] | None) -> bool:
    """Return whether nothing is left to do.

    Args:
        listed: all commits of the wanted one's key, as the output spells it.
        mapped: as for `Held`.
    """
    if config.existing is not Existing.RESUME or len(listed) != 1 or not _are_one(listed[0], wanted):
        return False
    return mapped is None or listed[0] in mapped


def _are_one(listed: Commit, wanted: Commit) -> bool:
    """Return whether a commit of the same name in the output is this one, however its key is spelt."""
    return spelt_as(wanted.key, listed) == wanted


def spelt_as(key: str, commit: Commit) -> Commit:
    """Return the commit with its key spelt as this one, which is the same name in the output."""
    return commit if commit.key == key else replace(commit, key=key)
