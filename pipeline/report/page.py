"""The page itself: it contains everything it needs, and its policy forbids it to load anything."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from sr_ops.camera.kernel_spec import described

from ..config import VERSION
from ..errors import RETRIED
from ..output.clock import now
from ..storage_options import with_flags
from .cards import Card
from .causes import CAUSES, Cause, causes
from .choice import Choice, Group
from .course import Course
from .histograms import histograms
from .measures import GAIN, of_done
from .places import map_of
from .rows import held_rows, pack
from .told import Told
from .words import TIMES, counted, duration, short

_SCRIPTS = ("vendor/openseadragon.min.js", "report.js", "viewer.js")

_RUN_FACTS = ("manifest", "prior_name", "weights_file", "device", "threads", "executor", "root", "limit", "kernel_file")
"""Fields of the run's configuration to show, besides settings and form."""


@dataclass(frozen=True)
class Figure:
    """One number in large type."""

    name: str
    value: str
    unit: str = ""
    alarms: bool = False


def page_of(told: Told, course: Course, choice: Choice, groups: tuple[tuple[Group, tuple[Card, ...]], ...]) -> bytes:
    """Return the whole page in UTF-8."""
    table = told.table
    scripts = [_file(name) for name in _SCRIPTS]
    cards = [card for _, cards in groups for card in cards]
    found, drawn, placed = causes(table), histograms(table), map_of(table)
    drawn_rows = {footprint.row for footprint in placed.footprints} if placed else set()
    rows = held_rows(table, {card.row for card in cards} | drawn_rows)
    sections = [
        *([("pictures", "Pictures")] if cards else []),
        *([("distributions", "How it went")] if drawn else []),
        *([("failures", "Failures")] if found else []),
        *([("places", "Where")] if placed else []),
        ("images", "All images"),
        ("run", "What was run"),
    ]
    text = _template().render(
        policy=_policy(scripts),
        style=Markup(_file("report.css")),
        scripts=[Markup(script) for script in scripts],
        licences=_file("vendor/LICENCES.txt"),
        land=_file("vendor/land.path").strip(),
        version=VERSION,
        made_at=f"{now():%d %B %Y, %H:%M} UTC".lstrip("0"),
        name=told.output.rpartition("/")[2] or told.output,
        lead=_lead(told, course),
        banner=course.banner,
        sections=sections,
        figures=_figures(table, course),
        cards=cards,
        groups=[{"title": group.title, "told": group.told, "cards": some} for group, some in groups],
        ranked=_ranked(choice),
        lost=_lost(cards),
        histograms=drawn,
        causes=found[:CAUSES],
        other_causes=_others(found[CAUSES:]),
        retried=with_flags(told.output, told.storage) if any(cause.error_type in RETRIED for cause in found) else "",
        map=placed,
        held=len(rows),
        total=len(table),
        statuses=sorted(set(table["status"].to_pylist())),
        records=pack(table, rows),
        told=_facts_of_run(told),
    )
    return text.encode(errors="backslashreplace")  # file names may hold invalid bytes


@cache
def _file(name: str) -> str:
    return (files(__package__) / "page" / name).read_text()


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, auto_reload=False)
    return environment.from_string(_file("report.html"))


def _policy(scripts: list[str]) -> str:
    """Return a policy that allows only the page's own scripts, by hash, and images inside it."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def _lead(told: Told, course: Course) -> str:
    scale = scale_words(told.run.config.get("settings", {}))
    begun = told.run.started_at[:10]
    day = f", begun on {datetime.fromisoformat(begun):%d %B %Y}".replace(" on 0", " on ") if begun else ""
    many, recorded = course.total, len(told.table)
    if told.heartbeat is not None:
        many = told.heartbeat.images.total
    images = "images" if many is None else counted(many, "image")
    others = f" ({recorded:,} are recorded here)" if many is not None and recorded > many else ""
    return f"{images} of {told.run.manifest or 'a manifest'}{others}, {scale}{day}"


def scale_words(settings: dict[str, Any]) -> str:
    """How much larger results are, as people write it: "2 times" in one sign, or what was asked for instead."""
    kind, _, size = str(settings.get("result_size") or "").partition(":")
    across, _, down = size.partition("x")
    if kind == "times":
        same = across == down
        return f"{TIMES}{float(across):g}" if same else f"{TIMES}{float(across):g} across, {TIMES}{float(down):g} down"
    if kind == "gsd":
        return f"pixels of {float(size):g} m"
    if kind == "pixels":
        return f"{across or 'as many as fit'} {TIMES} {down or 'as many as fit'} pixels"
    return f"{TIMES}{settings.get('scale', '?')}"


def _figures(table: pa.Table, course: Course) -> list[Figure]:
    made = pc.sum(pc.multiply(table["sr_width"], table["sr_height"])).as_py() or 0
    seconds = pc.sum(table["total_s"]).as_py() or 0.0
    gains = of_done(GAIN, table)
    gains = gains[gains == gains]
    statuses = course.statuses
    of_all = "so far" if course.total is None else f"of {course.total:,}"
    figures = [Figure("Done", f"{statuses.get('done', 0):,}", of_all)]
    for status in ("degraded", "failed", "skipped"):
        if statuses.get(status):
            figures.append(Figure(status.capitalize(), f"{statuses[status]:,}", alarms=status != "skipped"))
    figures.append(Figure("Pixels made", short(made / 1e6), "million"))
    if seconds:
        figures.append(Figure("Work", *duration(seconds)))
    if len(gains):
        figures.append(Figure("Gain, median", f"{float(np.median(gains)):+.2f}", "dB"))
    return figures


def _ranked(choice: Choice) -> str:
    return f"{choice.measure.title}: {choice.measure.told}" if choice.measure else ""


def _others(found: Sequence[Cause]) -> str:
    if not found:
        return ""
    many = sum(cause.count for cause in found)
    are = "is" if len(found) == 1 else "are"
    return f"{counted(len(found), 'more cause')}, of {counted(many, 'image')}, {are} told in the table of all images."


def _lost(cards: Sequence[Card]) -> str:
    names = [card.name for card in cards if card.problems]
    if not names:
        return ""
    others = f" and {len(names) - 1:,} more of these images" if len(names) > 1 else ""
    return (
        f"Files of {names[0]}{others} are missing or cannot be read. Beside the picture stands which, and what to do."
    )


def _facts_of_run(told: Told) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what was run, in three lists."""
    run, config = told.run, told.run.config
    facts = [("output", told.output), ("run", run.run_id), ("begun", f"{run.started_at[:19].replace('T', ' ')} UTC")]
    facts += [("fingerprint", run.config_fingerprint)]
    facts += [(name.replace("_", " "), _cell(config[name])) for name in _RUN_FACTS if config.get(name) is not None]
    facts += [("workers", f"{run.workers['count']}: {run.workers['why']}")] if run.workers else []
    settings = [*_flat(config.get("settings", {})), *_flat(config.get("form", {}))]
    return [
        ("The run", [fact for fact in facts if fact[1]]),
        ("What decides the pixels", settings),
        ("Versions", sorted(run.versions.items())),
    ]


def _flat(values: dict[str, Any]) -> list[tuple[str, str]]:
    flat = []
    for name, value in values.items():
        if isinstance(value, dict):
            flat += [(f"{name}: {inner}", cell) for inner, cell in _flat(value)]
        elif value not in ("", None):
            flat.append((name.replace("_", " "), described(value) if name == "kernel" else _cell(value)))
    return flat


def _cell(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
