"""OUT/run.json, in which the last run on an output tells what it was."""

import json
from dataclasses import dataclass
from typing import Any

from .. import storage
from ..codec import DamagedError, from_json, to_plain
from ..errors import UsageError
from . import layout


@dataclass(frozen=True)
class RunFile:
    """What a run tells of itself before its first image."""

    run_id: str
    started_at: str
    """UTC, as ISO 8601."""
    manifest: str
    folder: str
    """Base of the relative uris in the manifest."""
    relative_to: str | None
    """The folder that the output's relative keys stand for; None if there are none."""
    root: str
    """What was removed from the front of uris to make keys."""
    config_fingerprint: str
    config: dict[str, Any]
    """A `RunConfig`, perhaps of another version."""
    workers: dict[str, Any]
    """`count` and `why`, from `Workers`."""
    versions: dict[str, str]
    """Of srpipe and the libraries that make pixels and files."""
    layout: int = layout.VERSION
    reformed: bool = False
    """Whether a run before it wrote other files, of which images without a record may have some."""


def write_run_file(output: str, run: RunFile) -> None:
    """Write it atomically, for people to read, too. Raises OSError."""
    storage.write(layout.run_json(output), json.dumps(to_plain(run), indent=2).encode())


def read_run_file(output: str) -> RunFile:
    """Return what the last run on an output told.

    Raises:
        OSError: it cannot be read; FileNotFoundError if there is none.
        UsageError: it is damaged, or the output has the layout of another version.
    """
    uri = layout.run_json(output)
    data = storage.read(uri)
    try:
        version = from_json(dict[str, Any], data).get("layout")
        if isinstance(version, int) and version != layout.VERSION:
            raise UsageError(
                f"{output} is laid out as version {version}, this srpipe knows version {layout.VERSION}; use the srpipe"
                " that made it, or another output"
            )
        return from_json(RunFile, data)
    except DamagedError as error:
        raise UsageError(
            f"{uri} is damaged ({error}); remove it, and give the same srpipe run command again"
        ) from error


def last_run(output: str) -> RunFile:
    """Return what the last run on an output told. Raises UsageError if there is none, or it cannot be read."""
    uri = layout.run_json(output)
    try:
        return read_run_file(output)
    except FileNotFoundError as error:
        raise UsageError(f"{output} holds no run ({uri} is missing); give the --output of one") from error
    except OSError as error:
        raise UsageError(f"cannot read {uri}: {storage.reason(error)}; check access") from error
