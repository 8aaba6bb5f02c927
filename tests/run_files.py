"""A run.json as a run writes it."""

from typing import Any

from pipeline.output.run_file import RunFile


def run_file(run_id: str, **told: Any) -> RunFile:
    """Return what a run of this id told, with nothing said where `told` has no other value."""
    blank = {"started_at": "", "manifest": "", "folder": "", "relative_to": None, "root": "", "config_fingerprint": ""}
    return RunFile(run_id=run_id, **{**blank, "config": {}, "workers": {}, "versions": {}, **told})
