"""The time as records and leases tell it."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
