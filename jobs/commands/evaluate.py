"""`srpipe eval`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from ..answers import EXIT_SOME_FAILED, finite, print_result
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .shared_options import AsJson


@with_panels
def evaluate(
    output: Annotated[
        str,
        typer.Argument(metavar="OUT", help="Score this output of a finished run whose manifest has references."),
    ],
    as_json: AsJson = False,
    *,
    storage: StorageFlags,
) -> int:
    """Score a run by PSNR and SSIM. Its manifest names the true images in the column `reference`."""
    from pipeline.evaluate import evaluate

    from ..score_table import print_scores

    scores = evaluate(output, storage.options())
    if as_json:
        print_result(json.dumps({"output": output, "scores": [finite(asdict(score)) for score in scores]}))
    else:
        print_scores(scores)
    return EXIT_SOME_FAILED if any(score.problem for score in scores) else 0
