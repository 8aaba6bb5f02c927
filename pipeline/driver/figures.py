"""A heartbeat as Prometheus metrics: names, help texts, values. docs/progress.md lists them."""

from ..output.heartbeat import Heartbeat

GAUGES = {
    "srpipe_images_left": "Images that remain to be done.",
    "srpipe_megapixels_expected": "Expected total pixels of all results, in millions.",
    "srpipe_fraction": "Share of the work that is done, from 0 to 1.",
    "srpipe_eta_seconds": "Estimated seconds until the end.",
    "srpipe_workers_alive": "Worker processes that are alive.",
}

FAILED = "srpipe_images_failed_total"

COUNTERS = {
    "srpipe_images_done_total": "Images that the run has done.",
    FAILED: "Rows that failed, by error_type.",
    "srpipe_megapixels_done_total": "Pixels of finished results, in millions.",
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
