"""The file of `--weights`: read and checked before a run starts, and sent to the workers as bytes.

Importing this loads neither torch nor a runtime for models.
"""

import hashlib
import io
import pickletools
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sr_ops.grid import times_of
from sr_ops.settings import MAX_SCALE, MIN_SCALE, Method, Settings

from .. import storage
from ..config import RunConfig
from ..errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sr_ops.restorer import Restorer

_GIVE = "give an ONNX file, or weights that spandrel knows"

_MAGIC_OF_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

_HARMLESS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
"""What a checkpoint of tensors calls, besides kinds of storage."""

_PICKLES = 5
"""Number of pickles in a checkpoint of the old format, before the numbers; the new format has one."""

_STORAGES = "torch "
"""Prefix of a kind of storage, such as "torch FloatStorage"."""


class Kind(StrEnum):
    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    CHECKPOINT = "checkpoint"
    """A PyTorch checkpoint: a pickle of tensors only."""


@dataclass(frozen=True)
class Takes:
    """Input and output of a model: (1, bands, h, w) to (1, bands, h * scale, w * scale)."""

    scale: int
    bands: int
    """3 or 1."""
    fixed: tuple[int, int] | None = None
    """The only height and width that it accepts; None for any that the other fields allow."""
    least: int = 1
    """Shortest side in pixels."""
    multiple: int = 1
    """A side must be a multiple of this."""
    square: bool = False
    """Whether both sides must be equal."""

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the smallest accepted height and width, for a model of any size, that hold so many pixels."""
        rows, columns = (max(self.least, -(-side // self.multiple) * self.multiple) for side in (height, width))
        return (max(rows, columns),) * 2 if self.square else (rows, columns)


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
    try:
        data = storage.read(uri)
    except FileNotFoundError as error:
        raise UsageError(f"--weights: nothing is at {uri}; {_GIVE}") from error
    except OSError as error:
        raise UsageError(f"--weights: cannot read {uri}: {storage.reason(error)}; check access") from error
    try:
        model = parse_model(data, config.threads)
        check_scale(model, config.settings)
    except ValueError as error:
        raise UsageError(f"--weights: {uri} {error}") from error
    return model


def check_scale(model: ModelFile, settings: Settings) -> None:
    """Raise ValueError, worded to follow "the file ...", if the model's scale differs from the requested one."""
    known = times_of(settings) is not None  # otherwise a worker checks it, once it knows the image's scale
    if settings.method == Method.MODEL and known and model.takes.scale != settings.scale:
        raise ValueError(
            f"enlarges by {model.takes.scale}, not by {settings.scale}; use --scale {model.takes.scale}, or another"
            " model"
        )


def parse_model(data: bytes, threads: int = 1) -> ModelFile:
    """Check the bytes of a model. Raises ValueError, worded to follow "the file ...", if they are none for pictures."""
    kind = _kind(data)
    if kind is Kind.ONNX:
        from .onnx_model import find_out

        takes = find_out(data, threads)
    else:
        from .spandrel_model import look_at

        takes = look_at(data, kind)
    if takes.bands not in (1, 3):
        raise ValueError(f"is for pictures of {takes.bands} bands; {_GIVE}, for 1 band or 3")
    if not MIN_SCALE <= takes.scale <= MAX_SCALE:
        raise ValueError(f"enlarges by {takes.scale}; {_GIVE}, for a scale from {MIN_SCALE} to {MAX_SCALE}")
    return ModelFile(data, kind, takes)


def padded(window: "NDArray[np.float32]", height: int, width: int) -> "NDArray[np.float32]":
    """Mirror (bands, h, w) at its lower and right border to this size."""
    import numpy as np

    missing = [(0, side - there) for side, there in zip((height, width), window.shape[-2:], strict=True)]
    return np.pad(window, [(0, 0), *missing], "reflect")


def _kind(data: bytes) -> Kind:
    """Return the kind, from the first bytes. Raises ValueError for a pickle that could run code."""
    if data[:2] == b"PK" or data[:2] in _MAGIC_OF_PICKLES:
        _check_pickle(data)
        return Kind.CHECKPOINT
    if data[8:9] == b"{":
        return Kind.SAFETENSORS
    return Kind.ONNX


def _check_pickle(data: bytes) -> None:
    """Raise ValueError for a pickle that calls anything but the assembly of tensors. Nothing in it is run."""
    try:
        pickled = data
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                (name,) = (name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
                pickled = archive.read(name)
        called = _called_by(pickled)
    except (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"is not a complete checkpoint of PyTorch ({error}); {_GIVE}") from error
    others = sorted(called - _HARMLESS - {name for name in called if _is_storage(name)})
    if others:
        raise ValueError(
            f"is a pickle that runs code when it is opened ({others[0].replace(' ', '.'):.80}) and is never read; save"
            " its tensors alone, as safetensors or by torch.save(model.state_dict(), FILE)"
        )


def _is_storage(name: str) -> bool:
    return name.startswith(_STORAGES) and name.endswith("Storage")


def _called_by(pickled: bytes) -> set[str]:
    """Return "module name" of all calls in consecutive pickles; "?" if the name is computed."""
    called: set[str] = set()
    stream = io.BytesIO(pickled)
    strings: list[str] = []
    for _ in range(_PICKLES):
        if stream.tell() == len(pickled):
            break
        for code, argument, _ in pickletools.genops(stream):
            if code.name in ("GLOBAL", "INST"):
                called.add(str(argument))
            elif code.name == "STACK_GLOBAL":
                called.add("?" if len(strings) < 2 else " ".join(strings[-2:]))
            elif code.name in ("EXT1", "EXT2", "EXT4"):
                called.add("?")
            elif isinstance(argument, str):
                strings.append(argument)
    return called
