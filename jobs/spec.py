"""Options from sources other than the command line: SRPIPE_ variables and a job file in TOML.

Keys and variables are derived from the command's own parameters, so a new option can be given in all three ways at
once. Typer checks ranges and choices. Here we check what it cannot know: unknown names, and the types of TOML values.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.exceptions import TyperException

from pipeline.errors import UsageError
from pipeline.option_values import names_kernel_file
from pipeline.storage_options import S3Options, parse_further
from sr_ops.settings import NO_PRIOR

from .command_line import Command

_PREFIX = "SRPIPE_"

_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
"""Kubernetes sets such variables in every pod for a service, and one may be called srpipe."""

_TYPES: dict[object, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    list[str]: ((list,), "a list of strings"),
}
_TEXT = ((str, int, float), "a string")
"""Types of all other options, including those with a parser; numbers are accepted since people write `scale = 4`."""

_CREDENTIALS = re.compile(r"://[^/@\s]+@")

_META = "srpipe.job_file"


_BEFORE_A_KEY = re.compile(r"\s+(?=[\w-]+=)")


def _key_value_pairs(text: str) -> list[str]:
    """Split KEY=VALUE pairs at the blanks between them: a value may be JSON with blanks of its own."""
    return _BEFORE_A_KEY.split(text.strip())


class JobCommand(Command):
    """A command whose parameters all have a variable, SRPIPE_<NAME>, and a key in the job file.

    Order of precedence: command line, environment, job file, default. One of its options reads the job file, with
    `configure`, before the others are evaluated.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in _parameters(self):
            parameter.envvar = _variable(parameter)
            parameter.show_envvar = False  # docs/reference.md says it for all of them
            if parameter.name is not None and parameter.name.endswith("storage_option"):
                parameter.split_envvar_value = _key_value_pairs  # type: ignore[assignment, method-assign]


def configure(context: typer.Context, job_file: str | None) -> str | None:
    """Read the job file; the callback of the option that names it.

    Raises:
        UsageError: the file, a key in it, or an SRPIPE_ variable is invalid.
    """
    known = {_variable(parameter) for parameter in _parameters(context.command)}
    for name in srpipe_variables():
        if name not in known:
            raise UsageError(
                f"{name} is set, but is not an option of srpipe {context.command.name};"
                f" {_nearest(name, known)}correct or unset it"
            )
    if job_file is not None:
        context.default_map = _read(job_file, context.command)
        context.meta[_META] = job_file
    return job_file


def srpipe_variables() -> list[str]:
    """Return the names of SRPIPE_ variables in the environment."""
    return [name for name in sorted(os.environ) if name.startswith(_PREFIX) and not _SERVICE_LINK.search(name)]


def check_for_cluster(job_file: str, command: TyperCommand) -> None:
    """Check, before anything is sent, that a job file is complete and has the same meaning on a cluster.

    Raises:
        UsageError: SRPIPE_ variables would not be sent; a path would mean another place there; it holds a password.
        TyperException: a value is wrong, as for the command itself.
    """
    for name in srpipe_variables():
        raise UsageError(f"{name} is set, but does not travel to the cluster; unset it and write it into {job_file}")
    values = _read(job_file, command)
    named = {"prior": values.get("prior", NO_PRIOR) not in ("shipped", NO_PRIOR)}
    named |= {name: name in values for name in ("weights", "root")}
    named["kernel"] = names_kernel_file(str(values.get("kernel", "")))
    for key in ("manifest", "output", *(key for key in named if named[key])):
        place = values.get(key)
        if place is None or not ("://" in str(place) or os.path.isabs(str(place))):
            given = "is missing" if place is None else f"= {json.dumps(place)} is relative"
            raise UsageError(
                f"{job_file}: {key} {given}; give a uri, or an absolute path that is the same on all machines"
            )
    for name, value in values.items():
        if isinstance(value, str) and has_credentials(value):
            raise UsageError(
                f"{job_file}: {name} holds a password, which anybody could read there; use a role or profile"
            )
    for name in ("storage_option", "output_storage_option"):
        S3Options(further=parse_further(values.get(name, ())))
    command.make_context(command.name, ["--config", job_file])


def has_credentials(text: str) -> bool:
    """Return whether a uri has a user or password before its host."""
    return bool(_CREDENTIALS.search(text))


def origin(error: TyperException) -> str:
    """Return where the value that an error is about was given, as "NAME: "; empty for the command line."""
    context: Any = getattr(error, "ctx", None)
    parameter: Any = getattr(error, "param", None)
    source = context.get_parameter_source(parameter.name) if context and parameter else None
    if source and source.name == "ENVIRONMENT":
        return f"{parameter.envvar}: "
    if source and source.name == "DEFAULT_MAP":
        return f"{context.meta[_META]}: "
    return ""


def _read(job_file: str, command: Any) -> dict[str, Any]:
    """Return the values of a job file by the names of the command's parameters. Raises UsageError."""
    from pipeline import storage

    try:
        table = tomllib.loads(storage.read(storage.absolute(job_file)).decode())
    except FileNotFoundError as error:
        raise UsageError(f"the job file {job_file} does not exist; give a TOML file, local or s3://") from error
    except OSError as error:
        raise UsageError(f"cannot read the job file {job_file}: {storage.to_correct(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{job_file} is not TOML: {error}; correct it") from error
    parameters = {_key(parameter): parameter for parameter in _parameters(command) if not parameter.is_eager}
    values = {}
    for key, value in table.items():
        if key not in parameters:
            raise UsageError(
                f"{job_file}: unknown key {key!r};"
                f" {_nearest(key, parameters)}keys are the options of srpipe {command.name}"
            )
        accepted, expected = _accepted(parameters[key])
        fits = type(value) in accepted  # not isinstance: true is an int to Python
        if not fits or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
            given = "" if key.endswith("storage-option") else f" = {json.dumps(value, default=str)}"  # maybe a secret
            raise UsageError(f"{job_file}: {key}{given} is not {expected}")
        values[parameters[key].name] = value
    return values


def _accepted(parameter: TyperArgument | TyperOption) -> tuple[tuple[type, ...], str]:
    """Return the TOML types of a value, and a name for them."""
    kind = parameter.type_descriptor
    return _TEXT if kind.parameter_info.parser else _TYPES.get(kind.annotation, _TEXT)


def _parameters(command: Any) -> list[TyperArgument | TyperOption]:
    return [parameter for parameter in command.params if isinstance(parameter, (TyperArgument, TyperOption))]


def _key(parameter: TyperArgument | TyperOption) -> str:
    """Return `threads-per-worker` for --threads-per-worker, `output` for --output and -o, `manifest` for MANIFEST."""
    return max(parameter.opts, key=len).lstrip("-").replace("_", "-")


def _variable(parameter: TyperArgument | TyperOption) -> str:
    return _PREFIX + _key(parameter).upper().replace("-", "_")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=2)
    return f"did you mean {' or '.join(near)}? " if near else ""
