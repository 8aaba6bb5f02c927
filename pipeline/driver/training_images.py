"""The images of a manifest as a prior is trained on them."""

from sr_ops.settings import STAGE_SCALE, Settings

from ..errors import UsageError
from ..priors.training import TrainingImages
from .manifest import read_manifest
from .plan import check_row


def read_training_images(manifest: str) -> TrainingImages:
    """What a manifest, as `read_manifest` takes it, offers to a training. Raises UsageError as that does."""
    held = read_manifest(manifest)
    uris: set[str] = set()
    left_out: list[tuple[str, str]] = []
    for index, cells in enumerate(held.rows):
        try:
            uris.add(check_row(index, cells, Settings(scale=STAGE_SCALE), held.folder, held.root).uri)
        except (ValueError, UsageError) as error:
            left_out.append((f"line {cells.line}", str(error)))
    return TrainingImages(manifest, frozenset(uris), tuple(left_out))
