"""The kinds of model files, told by their bytes. A pickle is looked through, and never run."""

import io
import pickletools
import zipfile
import zlib
from enum import StrEnum
from lzma import LZMAError

GIVE = "give an ONNX file, or weights that spandrel knows"
"""The remedy where a file is no model that can be run."""

_MAGIC_OF_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

_HARMLESS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
"""What a checkpoint of tensors calls, besides kinds of storage."""

_COMPUTED = "?"

_PICKLES = 5
"""Number of pickles in a checkpoint of the old format, before the numbers; the new format has one."""

_STORAGES = "torch "
"""Prefix of a kind of storage, such as "torch FloatStorage"."""


class Kind(StrEnum):
    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    CHECKPOINT = "checkpoint"
    """A PyTorch checkpoint: a pickle of tensors only."""


def kind_of(data: bytes) -> Kind:
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
    except (zipfile.BadZipFile, zlib.error, LZMAError, OSError, ValueError, EOFError, RuntimeError) as error:
        raise ValueError(f"is not a complete checkpoint of PyTorch ({error}); {GIVE}") from error
    if _COMPUTED in called:
        raise ValueError(
            "is a pickle that tells only as it is opened what it runs, as those of protocol 4 and later do, and is"
            " never read; save its tensors alone, as safetensors or by torch.save(model.state_dict(), FILE)"
        )
    others = sorted(called - _HARMLESS - {name for name in called if _is_storage(name)})
    if others:
        raise ValueError(
            f"is a pickle that runs code when it is opened ({others[0].replace(' ', '.'):.80}) and is never read; save"
            " its tensors alone, as safetensors or by torch.save(model.state_dict(), FILE)"
        )


def _is_storage(name: str) -> bool:
    return name.startswith(_STORAGES) and name.endswith("Storage")


def _called_by(pickled: bytes) -> set[str]:
    """Return "module name" of all calls in consecutive pickles; _COMPUTED for a name that only running one tells."""
    called: set[str] = set()
    stream = io.BytesIO(pickled)
    for _ in range(_PICKLES):
        if stream.tell() == len(pickled):
            break
        for code, argument, _ in pickletools.genops(stream):
            if code.name in ("GLOBAL", "INST"):
                called.add(str(argument))
            elif code.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                called.add(_COMPUTED)
    return called
