"""The two sides of a run in this process: which one a uri belongs to, and the client for it.

`use` sets the options once per process. Without it the environment (AWS_*) decides, as for boto.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from ..storage_options import S3Options, StorageOptions
from . import s3
from .local_disk import Disk
from .uris import is_below, scheme

_options = StorageOptions()

_output: str | None = None


def use(options: StorageOptions, output: str | None) -> None:
    """Set the storage options of this process: those of the output for `output` and all below it, else the input's.

    Credentials are looked up in the process that uses them.
    """
    global _options, _output
    _options, _output = options, output


def as_here(options: StorageOptions) -> StorageOptions:
    """Return the options with the stores that this process's environment names, for processes on other machines."""
    sides = (replace(side, endpoint_url=s3.endpoint(side)) for side in (options.input, options.output))
    return StorageOptions(*sides)


def is_output(uri: str) -> bool:
    """Return whether a uri is the output given to `use`, or below it."""
    return _output is not None and is_below(uri, _output)


def check_service(uri: str) -> bool:
    """Return whether the bucket of an S3 uri exists; True for a local path.

    Raises:
        UsageError: S3 does not answer within seconds, or not with these credentials and options.
    """
    return scheme(uri) != "s3" or s3.check(uri, options_for(uri), "output-" if is_output(uri) else "")


def options_for(uri: str) -> S3Options:
    return _options.output if is_output(uri) else _options.input


def filesystem(uri: str) -> Any:
    if scheme(uri) == "s3":
        return s3.filesystem(options_for(uri))
    return Disk()


def as_os_errors(uri: str) -> AbstractContextManager[None]:
    return s3.as_os_errors() if scheme(uri) == "s3" else nullcontext()
