"""What can be wrong with the words of a command line, in sentences that name the word and the remedy."""

import re
import sys
from itertools import takewhile
from typing import Any

from typer.core import TyperCommand, TyperOption
from typer.exceptions import TyperException

from pipeline.errors import UsageError, not_taken


class Command(TyperCommand):
    """A command that also refuses an option with one dash, and says what it makes of a second manifest."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters. In --help no type stands beside those that take no value."""
        parameters: list[Any] = super().get_params(ctx)
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as Typer does. Raises UsageError for such words, TyperException for all others that are wrong."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        options = {name for parameter in self.params for name in parameter.opts}
        for word in takewhile(lambda word: word != "--", args):
            name = f"-{word.partition('=')[0]}"
            if re.match("-[a-z]", word) and name in options:
                raise UsageError(f"{word.partition('=')[0]} is no option; write {name}")
        ctx.allow_extra_args = True
        further = super().parse_args(ctx, args)
        if further:
            raise UsageError(self._too_many(further[0], ctx))
        return further

    def _too_many(self, word: str, ctx: Any) -> str:
        taken = next((str(one.metavar) for one in self.params if one.param_type_name == "argument"), "")
        if not taken:
            return f"{ctx.command_path} takes no {word!r}; see {ctx.command_path} --help"
        remedy = "quote a pattern, as in 'scans/*.png', or give the folder" if "MANIFEST" in taken else "leave it out"
        return f"one {taken} is taken, and {word!r} is another; {remedy}"


def sentence(error: TyperException) -> str:
    """Return what is wrong; of values that Typer's parser refuses, with what is taken instead."""
    refused: Any = error.__cause__
    parameter: Any = getattr(error, "param", None)
    if not hasattr(refused, "errors") or not isinstance(parameter, TyperOption):
        return error.format_message().rstrip(".")
    name = max(parameter.opts, key=len).lstrip("-").replace("-", " ")
    limits = [limit for limit in (parameter.min, parameter.max) if limit is not None]
    told = not_taken(name, refused.errors()[0]["input"], parameter.type_descriptor.annotation, *limits)
    error.message = told
    return error.format_message()


def place_of_help(error: TyperException) -> str:
    """Return the command as it was called, `srpipe run`: its help lists the options that were wrong."""
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else f"srpipe {given()}".rstrip()


def given() -> str:
    """Return the name of the command that was given: srpipe itself has no option with a value."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")
