"""The file of `--weights`: read and checked before a run starts, and sent to the workers as bytes.

Importing this loads neither torch nor a runtime for models.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sr_ops.image.grid import times_of
from sr_ops.settings import MAX_SCALE, MIN_SCALE, Method, Settings

from .. import storage
from ..config import RunConfig
from ..storage.failures import refusing
from .kinds import GIVE, Kind, kind_of
from .takes import Takes

if TYPE_CHECKING:
    from sr_ops.enlarging.restorer import Restorer


@dataclass(frozen=True)
class ModelFile:
    """A model file, and what was found out about it."""

    data: bytes
    kind: Kind
    takes: Takes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def ready(self, halo: int, threads: int, device: str) -> "Restorer":
        """Return the model, ready to run with `threads` threads on "cpu" or "cuda"."""
        if self.kind is Kind.ONNX:
            from .onnx_model import OnnxModel

            return OnnxModel(self.data, self.takes, halo, threads, device)
        from .spandrel_model import SpandrelModel

        return SpandrelModel(self.data, self.takes, self.kind, device)


def read_model(config: RunConfig) -> ModelFile | None:
    """Return the model of a run; None if it uses none.

    Raises:
        UsageError: nothing is there, it is no model that can be run here, or not for the run's scale.
    """
    if config.weights_file is None:
        return None
    uri = storage.absolute(config.weights_file)
    storage.check_service(uri)
    with refusing(uri, "--weights", GIVE):
        model = parse_model(storage.read(uri), config.threads)
        check_scale(model, config.settings)
    return model


def check_scale(model: ModelFile, settings: Settings) -> None:
    """Raise ValueError, worded to follow "the file ...", if the model's scale differs from the requested one."""
    known = times_of(settings) is not None  # otherwise a worker checks it, once it knows the image's scale
    if settings.method == Method.MODEL and known and model.takes.scale != settings.scale:
        whole = f"{settings.scale}, at which this size is made" if settings.result_size else f"{settings.scale}"
        raise ValueError(
            f"enlarges by {model.takes.scale}, not by {whole}; use --scale {model.takes.scale}, or another model"
        )


def parse_model(data: bytes, threads: int = 1) -> ModelFile:
    """Check the bytes of a model. Raises ValueError, worded to follow "the file ...", if they are none for pictures."""
    kind = kind_of(data)
    if kind is Kind.ONNX:
        from .onnx_model import find_out

        takes = find_out(data, threads)
    else:
        from .spandrel_model import look_at

        takes = look_at(data, kind)
    if takes.bands not in (1, 3):
        raise ValueError(f"is for pictures of {takes.bands} bands; {GIVE}, for 1 band or 3")
    if not MIN_SCALE <= takes.scale <= MAX_SCALE:
        raise ValueError(f"enlarges by {takes.scale}; {GIVE}, for a scale from {MIN_SCALE} to {MAX_SCALE}")
    return ModelFile(data, kind, takes)
