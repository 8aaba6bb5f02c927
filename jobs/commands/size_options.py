"""Options of `srpipe run` for the size of results."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import typer

from pipeline.option_values import PARSERS
from pipeline.quality import Quality
from sr_ops.settings import Settings

Value = TypeVar("Value")


def checked_by(parse: Callable[[str], Value]) -> Callable[[Any], Value | None]:
    """Return a parser for Typer, which reports an invalid value together with its option; None stays None."""

    def parsed(value: Any) -> Value | None:
        try:
            return None if value is None else parse(str(value))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


@dataclass(frozen=True)
class SizeOptions(Quality):
    """The size of results, by one of these."""

    panel: ClassVar = "Quality"

    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            "-s",
            metavar="X|XxY",
            parser=checked_by(PARSERS["scale"]),
            help="Enlarge by this scale, from 1.01 to 8, or 2.5x3 across and down, unless a row has its own.",
            show_default=str(Settings.scale),
        ),
    ] = None
    target_gsd: Annotated[
        str | None,
        typer.Option(
            metavar="METRES",
            parser=checked_by(PARSERS["target_gsd"]),
            help="Enlarge each image to pixels of this length on the ground, using its georeference,"
            " instead of --scale.",
        ),
    ] = None
    target_size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            parser=checked_by(PARSERS["target_size"]),
            help="Enlarge each image to this size in pixels, as 1024x768, 1024x or x768, instead of --scale.",
        ),
    ] = None

    def ending(self) -> str:
        """Return the ending of a default output name: x4, x2.5, x2.5x3, 2.5m or 1024x768."""
        scale, told = self.size()
        kind, _, value = told.partition(":")
        numbers = [number.removesuffix(".0") for number in value.split("x")]
        if kind == "times" and numbers[0] == numbers[1]:
            return f"x{numbers[0]}"
        return {"": f"x{scale}", "times": f"x{'x'.join(numbers)}", "gsd": f"{numbers[0]}m"}.get(kind, value)
