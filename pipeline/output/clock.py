"""The current time for records and leases."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
