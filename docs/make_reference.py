"""`make reference`: writes docs/reference.md from the code: commands with their options, record columns, exit codes."""

import ast
import re
import sys
import typing
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE.parent))

from typer.main import get_group  # noqa: E402 - of this checkout, installed or not

from jobs.answers import EXIT_CODES  # noqa: E402
from jobs.cli import app  # noqa: E402
from pipeline.errors import ErrorType  # noqa: E402
from pipeline.output.record import COLUMNS, Record  # noqa: E402
from sr_ops import Preset, preset  # noqa: E402

PAGE = HERE / "reference.md"

_BALANCED = preset(Preset.BALANCED, from_prior=True)

_OF_PRESET = {
    name: getattr(_BALANCED.fit, name, getattr(_BALANCED, name, None))
    for name in (
        "steps",
        "crop",
        "batch",
        "learning_rate",
        "loss",
        "network",
        "ensemble",
        "back_projections",
        "tile_size",
    )
}
"""Values of the default preset by the names of options."""


def page() -> str:
    """The whole of docs/reference.md."""
    commands = get_group(app).commands
    parts = [
        "# Reference",
        "This page is made from the code by `make reference`; a test fails while they differ.",
        "## Commands",
        "Every option of `srpipe run` and `srpipe plan` can also be a variable, `SRPIPE_` and its name in capital"
        " letters with `_` for `-` (`SRPIPE_THREADS_PER_WORKER=2`), or a key of a job file ([job.toml](job.toml)). The"
        " command line wins over the variables, and these win over the file. The other commands read none of these"
        " variables.",
        *(part for name, command in commands.items() for part in _command(name, command, commands["run"])),
        "## Exit codes",
        _table(["code", "meaning"], [[str(code), meaning] for code, meaning in EXIT_CODES.items()]),
        "## Kinds of failure",
        "The `error_type` of a record whose status is `failed`; its `error_message` says what to do. `srpipe retry`"
        " repeats all but `bad_row`.",
        _table(["kind", "meaning"], [[f"`{ErrorType[name]}`", text] for name, text in _docstrings(ErrorType).items()]),
        "## Record columns",
        "`OUT/manifest.parquet` has one row for every row of the manifest; rows that are the same share one, and rows"
        " of earlier manifests stay. Seconds are wall-clock, sizes bytes, times"
        " are UTC; a column is empty where it does not apply. Columns of your manifest follow these.",
        _table(["column", "type", "meaning"], list(_columns())),
    ]
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: Any, run: Any) -> Iterator[str]:
    """A command's section; options that `srpipe run` has with the same words are named, and told there."""
    words = [_called(parameter) for parameter in command.params if _is_argument(parameter)]
    yield f"### `srpipe {' '.join([name, *words])}`"
    yield _one_line(command.help or "")
    known = [] if command is run else list(_options(run))
    options = list(_options(command))
    yield _table(["option", "default", "what it does"], [row for row in options if row not in known])
    shared = [row[0].partition(" ")[0] for row in options if row in known]
    if shared:
        yield f"And as [`srpipe run`](#srpipe-run-manifest) has them: {', '.join(shared)}."


def _options(command: Any) -> Iterator[list[str]]:
    for parameter in (one for one in command.params if not one.hidden):
        flags = [flag for flag in (*parameter.opts, *parameter.secondary_opts) if flag.startswith("-")]
        shown = " ".join(f"`{flag}`" for flag in flags) or f"`{_called(parameter)}`"
        yield [f"{shown} {_values(parameter)}".strip(), _default(parameter), _one_line(parameter.help or "")]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _called(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _values(parameter: Any) -> str:
    """What an option takes: one of some words, or what its metavar stands for; nothing for a flag."""
    if _is_argument(parameter):
        return ""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    kind = next(iter(typing.get_args(kind)), kind)  # of a list
    words = [str(word.value) for word in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []
    return ", ".join(words) or f"{parameter.metavar or ''}{_range(parameter)}"


def _range(parameter: Any) -> str:
    """The numbers that an option takes; "" for all, or where it takes none."""
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is None:
        return ""
    return f", at least {low:g}" if high is None or high >= 2**63 - 1 else f", {low:g} to {high:g}"


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return shown
    default = parameter.default
    if default is None and parameter.name in _OF_PRESET:
        return f"{_word(_OF_PRESET[parameter.name])} for `balanced`"
    if default is None or default is False or callable(default) or _is_argument(parameter):
        return ""
    return _word(default)


def _word(value: Any) -> str:
    return "on" if value is True else f"`{getattr(value, 'value', value)}`"


def _columns() -> Iterator[list[str]]:
    told = _docstrings(Record)
    hints = typing.get_type_hints(Record)
    for name in COLUMNS:
        kind = re.sub(r"<class '(\w+)'>", r"\1", str(hints[name])).replace("datetime.datetime", "datetime")
        kind = kind.replace(" | None", "").replace("tuple[float, ...]", "list of floats").replace("tuple", "list")
        yield [f"`{name}`", kind.removeprefix("typing."), told.get(name, "")]


def _docstrings(kind: type) -> dict[str, str]:
    """What stands below each field of a dataclass or member of an enum, by its name."""
    module = ast.parse(Path(str(sys.modules[kind.__module__].__file__)).read_text(encoding="utf-8"))
    (body,) = (node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    told = {}
    for field, below in pairwise(body):
        target = field.target if isinstance(field, ast.AnnAssign) else getattr(field, "targets", [None])[0]
        if isinstance(target, ast.Name) and isinstance(below, ast.Expr):
            told[target.id] = _one_line(ast.literal_eval(below.value))
    return told


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_in_a_cell(cell) for cell in line)} |" for line in lines)


def _in_a_cell(text: str) -> str:
    outside = text.split("`")  # code is shown as it is, but for what would end the cell
    outside[::2] = [part.replace("<", "&lt;") for part in outside[::2]]
    return "`".join(outside).replace("|", "&#124;")


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
