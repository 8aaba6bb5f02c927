"""The text beside the picture of one image on the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from ..output.layout import how_to_redo, moved
from ..output.status import Status
from .choice import Choice, Group
from .kernels import Taps, taps_of
from .measures import SHOWN, of_done
from .pictures import Pictures, Problem, pictures_of
from .words import TIMES, short

_CURVE_WIDTH, _CURVE_HEIGHT = 160.0, 68.0

_CLOSE = "\N{NO-BREAK SPACE}"

_METHODS = {
    "zssr": "fitted to the image",
    "prior": "the prior as it is",
    "bicubic": "bicubic",
    "model": "a third party's model",
}


@dataclass(frozen=True)
class Curve:
    """The loss of a fit, for a small plot."""

    points: str
    words: str
    first: str
    last: str


@dataclass(frozen=True)
class Card:
    """One image on the page."""

    number: int
    row: int
    """Row of the table."""
    name: str
    why: str
    score: str
    facts: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    """Sentences about what cannot be shown, and what to do."""
    inputs_lost: int
    results_lost: int
    """Results and maps that cannot be shown."""
    thumbnail: str
    kernel: Taps | None
    curve: Curve | None
    picture: Markup
    """JSON for the viewer, safe inside a script element."""


def cards_of(output: str, table: pa.Table, choice: Choice) -> tuple[tuple[Group, tuple[Card, ...]], ...]:
    """Return the cards by group; reads the pixels of every image.

    Args:
        output: uri of OUT.
    """
    numbers = {measure.name: of_done(measure, table) for measure in SHOWN}
    made, number = [], 0
    for group in choice.groups:
        cards = []
        for place, row in enumerate(group.rows, 1):
            record = moved(output, table.slice(row, 1).to_pylist()[0])
            values = {name: float(column[row]) for name, column in numbers.items() if np.isfinite(column[row])}
            why = f"{group.title} {place} of {len(group.rows)}, {group.told}".rstrip(", ")
            cards.append(_card(number, row, record, values, why, choice, how_to_redo(output, record)))
            number += 1
        made.append((group, tuple(cards)))
    return tuple(made)


def _card(
    number: int, row: int, record: Mapping[str, Any], values: Mapping[str, float], why: str, choice: Choice, redo: str
) -> Card:
    pictures = pictures_of(record)
    problems = tuple(_with_remedy(problem, redo) for problem in pictures.problems)
    results_lost = sum(problem.is_of_result for problem in pictures.problems)
    measure = choice.measure
    score = ""
    if measure and measure.name in values:
        score = f"{_signed(measure.name, values[measure.name])} {_unit(measure.unit)}".rstrip()
    scale = record["whole_scale"] or round(record["scale"] or 0)
    return Card(
        number=number,
        row=row,
        name=record["key"],
        why=why,
        score=score,
        facts=tuple(_facts(record, values)),
        problems=problems,
        inputs_lost=len(problems) - results_lost,
        results_lost=results_lost,
        thumbnail=pictures.thumbnail,
        kernel=taps_of(record["kernel"], scale) if record["kernel"] and scale else None,
        curve=curve_of(record.get("fit_curve")),
        picture=in_script(_viewer_data(record, pictures, problems)),
    )


def _with_remedy(problem: Problem, redo: str) -> str:
    if problem.is_of_result:
        return f"{problem.words} To have it again, {redo}."
    return f"{problem.words} The result is not concerned; put the input back and make the report again."


def curve_of(losses: list[float] | None) -> Curve | None:
    """Return the curve of a fit's losses from its first to its last step, on a logarithmic axis; None if too few."""
    values = np.array(losses or (), np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) < 2:
        return None
    heights = np.log(values)
    span = float(np.ptp(heights)) or 1.0
    xs = np.linspace(0, _CURVE_WIDTH, len(values))
    ys = 2 + (heights.max() - heights) / span * (_CURVE_HEIGHT - 4)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    first, last = short(float(values[0])), short(float(values[-1]))
    words = f"Loss of the fit: from {first} to {last}, {short(float(values.min()))} at its least"
    return Curve(points, words, first, last)


def _facts(record: Mapping[str, Any], values: Mapping[str, float]) -> list[tuple[str, str]]:
    facts = [("Size", f"{_size(record, 'width', 'height')}, now {_size(record, 'sr_width', 'sr_height')}")]
    if record["method_used"]:
        facts.append(("Method", _METHODS.get(record["method_used"], record["method_used"])))
    facts += [
        (measure.title, f"{_signed(measure.name, values[measure.name])} {_unit(measure.unit)}".rstrip())
        for measure in SHOWN
        if measure.name in values
    ]
    if record["kernel"]:
        source = f" ({record['kernel_source']})" if record["kernel_source"] else ""
        facts.append(("Kernel", f"{record['kernel']}{source}"))
    if record["noise"]:
        noise = ", ".join(short(number) for number in record["noise"])
        facts.append(("Noise", noise if any(record["noise"]) else "none found"))
    if record["notes"]:
        facts.append(("Notes", record["notes"]))
    if record["status"] != Status.DONE:
        facts.append(("Status", f"{record['status']}: {record['error_message'] or ''}"))
    return facts


def _size(record: Mapping[str, Any], width: str, height: str) -> str:
    return f"{record[width]:,}{_CLOSE}{TIMES}{_CLOSE}{record[height]:,}"


def _unit(unit: str) -> str:
    return "" if unit == "units of the file" else unit


def _signed(name: str, number: float) -> str:
    return f"{number:+.2f}" if name == "gain" else short(number)


def _viewer_data(record: Mapping[str, Any], pictures: Pictures, problems: Sequence[str]) -> dict[str, Any]:
    size = f"{pictures.width:,} {TIMES} {pictures.height:,} pixels"
    part = "; single pixels inside the dashed frame alone" if pictures.detail else ""
    return {
        "words": f"Input and result of {record['key']}, {size}.",
        "extent": f"{size}{part}",
        "width": pictures.width,
        "height": pictures.height,
        "layers": {
            side: [{"url": layer.url, "box": layer.box} for layer in layers] for side, layers in pictures.layers.items()
        },
        "detail": pictures.detail,
        "problems": problems,
    }


def in_script(value: object) -> Markup:
    """Return JSON that neither ends a script element nor begins a comment in it."""
    text = json.dumps(value, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # no character with a meaning in HTML is left
