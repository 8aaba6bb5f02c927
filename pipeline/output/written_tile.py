"""What is known of a file of a result once it is stored. Importing this does not load torch."""

from dataclasses import dataclass

from sr_ops.consistency import ConsistencySums


@dataclass(frozen=True)
class WrittenTile:
    """A tile that is durable."""

    name: str
    sha256: str
    residuals: ConsistencySums
    """Of the written pixels, in grey levels."""
