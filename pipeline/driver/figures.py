"""A heartbeat as Prometheus metrics: names, help texts, values. docs/progress.md lists them."""

from ..output.heartbeat import Heartbeat

GAUGES = {
    "srpipe_images_left": "Images that are still to be done.",
    "srpipe_megapixels_expected": "Millions of pixels of all results of the run, those to come guessed by their files.",
    "srpipe_fraction": "Of the work that is done, from 0 to 1.",
    "srpipe_eta_seconds": "Seconds until the end, as it looks now.",
    "srpipe_workers_alive": "Worker processes that show that they live.",
}

FAILED = "srpipe_images_failed_total"

COUNTERS = {
    "srpipe_images_done_total": "Images that the run has done.",
    FAILED: "Rows that failed, by error_type.",
    "srpipe_megapixels_done_total": "Millions of pixels of results.",
}


def gauges(heartbeat: Heartbeat) -> dict[str, float]:
    """Return values by name, without unknown ones."""
    values = (
        heartbeat.images.left,
        heartbeat.megapixels.total,
        heartbeat.fraction,
        heartbeat.eta_seconds,
        heartbeat.workers.alive,
    )
    return {name: value for name, value in zip(GAUGES, values, strict=True) if value is not None}


def counters(heartbeat: Heartbeat) -> dict[tuple[str, str | None], float]:
    """Return values by name and error type; only `FAILED` has one."""
    values: dict[tuple[str, str | None], float] = {
        ("srpipe_images_done_total", None): heartbeat.images.done,
        ("srpipe_megapixels_done_total", None): heartbeat.megapixels.done,
    }
    return values | {(FAILED, error_type): number for error_type, number in heartbeat.failed_by.items()}
