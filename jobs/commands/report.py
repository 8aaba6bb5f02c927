"""`srpipe report`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..amounts import counted
from ..answers import EXIT_SOME_FAILED, print_result
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .shared_options import AsJson

if TYPE_CHECKING:
    from pipeline.report.making import Report


@with_panels
def report(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Report on the run in this output; it may still be at work.")
    ],
    place: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the page here, path or s3://.", show_default="OUT/report.html"
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(metavar="N", min=0, help="Show N each of the best, worst, largest and random images.")
    ] = 4,
    as_json: AsJson = False,
    *,
    storage: StorageFlags,
) -> int:
    """Make an HTML report of a run. It has pictures with a slider, histograms, failures, a map and the settings."""
    from pipeline.report.making import make_report
    from pipeline.storage import absolute

    written_to = None if place is None else absolute(place)
    made = make_report(absolute(output), written_to, images, storage.options())
    print_result(json.dumps(asdict(made)) if as_json else sentence(made))
    return EXIT_SOME_FAILED if made.results_lost else 0


def sentence(made: "Report") -> str:
    """Return where the report is, what it holds, and how far a run is that has not ended."""
    at_work = "the run is at work, " if made.state == "running" else ""
    if made.images is None:
        told = f"{counted(made.done, 'image')} done so far"
    elif at_work or made.images > made.records:
        told = f"{made.done:,} of {counted(made.images, 'image')} done"
    else:
        told = counted(made.records, "image")
    report = f"report: {made.place} ({at_work}{told}, {made.pictures} to look at, {made.bytes / 1e6:.1f} MB)"
    lost = [(made.results_lost, "result"), (made.inputs_lost, "input")]
    files = " and ".join(counted(many, what) for many, what in lost if many)
    return f"{report}; {files} cannot be read: the page says which, and what to do" if files else report
