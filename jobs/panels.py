"""Groups of options: a parameter of a command that is a dataclass becomes an option per field, in a panel of --help."""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints

from typer.models import OptionInfo


def with_panels(command: Callable[..., int]) -> Callable[..., int]:
    """Turn a command that takes dataclasses of options into one that takes the options, as Typer needs.

    Every field of such a dataclass is annotated as an option, `name: Annotated[kind, typer.Option(...)] = default`, and
    the class attribute `panel` is their title in --help. Names must be unique. Two more class attributes are optional:
    options named in `hidden` are left out of --help, and `defaults` gives the text that --help shows as an option's
    default.
    """
    signature = inspect.signature(command)
    parameters = signature.parameters.values()
    groups: dict[str, Any] = {one.name: one.annotation for one in parameters if is_dataclass(one.annotation)}
    options = {name: _options(group) for name, group in groups.items()}

    @wraps(command)
    def with_options(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = group(**{option.name: values.pop(option.name) for option in options[name]})
        return command(**values)

    own = [one for one in parameters if one.name not in groups]
    taken = [option for group in options.values() for option in group]
    keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *taken)]
    with_options.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    return with_options


def _options(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=_in_panel(hints[field.name], group, field.name),
        )
        for field in fields(group)
    ]


def _in_panel(annotation: Any, group: Any, name: str) -> Any:
    kind, option = get_args(annotation)
    shown: OptionInfo = copy(option)
    shown.rich_help_panel = group.panel
    shown.hidden = name in getattr(group, "hidden", ())
    shown.show_default = getattr(group, "defaults", {}).get(name, shown.show_default)
    return Annotated[kind, shown]
