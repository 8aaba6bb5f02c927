"""ONNX models, run by onnxruntime. What input they accept is asked and tried out."""

import os
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .takes import Takes, padded

_TO_INSTALL = "pip install 'srpipe[models]'"

_TO_EXPORT = "export it with the sizes of its input left open, or for one size"

_TO_TAKE = "take a model that makes pictures larger"

_SIDES = (4, 8, 16, 32, 64)
"""Sides tried with a model of any size; one that accepts none needs more than the windows of attention do."""

_STEPS = (1, 2, 4, 8, 16, 32, 64)
"""Multiples that a side may be restricted to."""

_PIECE = 256
"""Side in LR pixels: attention over more takes gigabytes."""

_ANY = 1 << 30

_NO_OTHER_FILE = ("session.model_external_initializers_file_folder_path", os.path.join(os.devnull, "none"))
"""Where onnxruntime looks for weights outside the file, whose sha256 would not cover them: nowhere."""

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

Image = NDArray[np.float32]


def find_out(data: bytes, threads: int) -> Takes:
    """Return what a model accepts. Raises ValueError, worded to follow "the file ...", if it is not for pictures."""
    session = _Session(data, threads, "cpu")
    if session.fixed is not None:
        return Takes(_ratio(session, *session.fixed), session.bands, session.fixed)
    problem = "nothing was tried"
    for least in _SIDES:
        try:
            scale = _ratio(session, least, least)
        except ValueError as error:
            problem = str(error)
            continue
        multiple = next((step for step in _STEPS if step <= least and _takes(session, scale, least, step)), None)
        if multiple is None:
            return Takes(scale, session.bands, (least, least))
        return Takes(scale, session.bands, None, least, multiple)
    raise ValueError(problem)


def _takes(session: "_Session", scale: int, least: int, step: int) -> bool:
    """Return whether the model accepts sides of other, different multiples of `step`."""
    try:
        return _ratio(session, least + step, least) == _ratio(session, least, least + step) == scale
    except ValueError:
        return False


def _ratio(session: "_Session", height: int, width: int) -> int:
    """Return the scale of a model. Raises ValueError if it fails, or its result is no picture."""
    ramp = np.linspace(0, 1, height * width, dtype=np.float32).reshape(1, height, width)
    try:
        made = session.run(np.repeat(ramp, session.bands, 0))
    except _errors() as error:
        raise ValueError(f"does not run on {width} x {height} pixels ({_reason(error)}); {_TO_EXPORT}") from error
    scale = made.shape[-1] // width if made.ndim else 0
    if made.shape != (session.bands, height * scale, width * scale) or not scale:
        shape = " x ".join(map(str, made.shape)) or "one number"
        raise ValueError(
            f"makes {shape} of {session.bands} x {height} x {width}, which is not an enlargement of it by a whole"
            f" number; {_TO_TAKE}"
        )
    return scale


class OnnxModel:
    """A `Restorer`."""

    def __init__(self, data: bytes, takes: Takes, halo: int, threads: int, device: str) -> None:
        """
        Args:
            halo: overlap, in LR pixels, of windows of a model with a fixed size.
        """
        self._session = _Session(data, threads, device)
        self._takes, self._halo = takes, halo
        self.scale, self.bands = takes.scale, takes.bands
        self.piece = _PIECE if takes.fixed is None else _ANY

    def __call__(self, window: Any) -> Any:
        import torch

        made = self._enlarged(window.cpu().numpy())
        return torch.from_numpy(np.ascontiguousarray(made)).to(window)

    def _enlarged(self, window: Image) -> Image:
        takes, scale = self._takes, self.scale
        height, width = window.shape[-2:]
        if takes.fixed is None:
            return self._run(padded(window, *takes.sides(height, width)))[:, : height * scale, : width * scale]
        whole = padded(window, max(height, takes.fixed[0]), max(width, takes.fixed[1]))
        canvas = np.empty((len(window), *(side * scale for side in whole.shape[-2:])), np.float32)
        rows, columns = (_spans(*sides, self._halo) for sides in zip(whole.shape[-2:], takes.fixed, strict=True))
        for top, its_rows in rows:
            for left, its_columns in columns:
                made = self._run(whole[:, top : top + takes.fixed[0], left : left + takes.fixed[1]])
                canvas[:, _times(its_rows, scale), _times(its_columns, scale)] = made[
                    :, _times(its_rows, scale, top), _times(its_columns, scale, left)
                ]
        return canvas[:, : height * scale, : width * scale]

    def _run(self, window: Image) -> Image:
        from sr_ops.enlarging.restorer import RestorerError

        try:
            return self._session.run(window)
        except _errors() as error:
            if "allocate" in str(error):
                raise MemoryError(str(error)) from error
            height, width = window.shape[-2:]
            raise RestorerError(
                f"the model of --weights does not run on {width} x {height} pixels ({_reason(error)}); {_TO_EXPORT}"
            ) from error


def _spans(length: int, side: int, halo: int) -> list[tuple[int, slice]]:
    """Return where windows of a fixed size begin that cover a length at least as large, and the part to use of each.

    The part lies `halo` inside its window, or a quarter of the window if that is less, except at the image's border.
    """
    around = min(halo, side // 4)
    starts = [*range(0, length - side, side - 2 * around), length - side]
    cuts = [0, *(start + around for start in starts[1:]), length]
    return [(start, slice(*ends)) for start, ends in zip(starts, pairwise(cuts), strict=True)]


def _times(span: slice, scale: int, origin: int = 0) -> slice:
    return slice((span.start - origin) * scale, (span.stop - origin) * scale)


class _Session:
    """A loaded model. Raises ValueError, worded to follow "the file ...", if it is not for pictures."""

    def __init__(self, data: bytes, threads: int, device: str) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.use_deterministic_compute = True  # the same image must give the same pixels again
        options.log_severity_level = 4  # errors are also raised
        options.add_session_config_entry(*_NO_OTHER_FILE)
        providers = ["CPUExecutionProvider"]
        if device == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        try:
            self._session = runtime.InferenceSession(data, options, providers)
        except _errors() as error:
            if "xternal data" in str(error):
                raise ValueError("keeps its weights in another file; save it as one, weights and all") from error
            raise ValueError(f"is not a complete ONNX model that onnxruntime can run ({_reason(error)})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            told = ", ".join(f"{one.type} {one.shape}" for one in inputs)
            raise ValueError(
                f"takes {told}; a model for pictures takes one float tensor of batch, bands, rows, columns"
            )
        gives = self._session.get_outputs()[0].type
        if not gives.startswith("tensor(") or gives == "tensor(string)":
            raise ValueError(f"gives {gives}, which is no picture; {_TO_TAKE}")
        self._name, self._type = inputs[0].name, _TYPES[inputs[0].type]
        batch, bands, height, width = inputs[0].shape
        if isinstance(batch, int) and batch != 1:
            raise ValueError(f"takes {batch} pictures at a time; export it for one")
        self.bands = bands if isinstance(bands, int) else 3
        if self.bands not in (1, 3):
            raise ValueError(f"is for pictures of {self.bands} bands; take one for 1 band or 3")
        sizes = [isinstance(side, int) for side in (height, width)]
        if any(sizes) and not all(sizes):
            raise ValueError(f"takes pictures of one size in one direction alone ({inputs[0].shape}); export both open")
        self.fixed: tuple[int, int] | None = (height, width) if all(sizes) else None
        """The height and width that it accepts; None for any."""

    def run(self, window: Image) -> Image:
        """Run (bands, h, w) to (bands, H, W), or to what a model makes that is not for pictures.

        Raises what onnxruntime raises.
        """
        (made, *_) = self._session.run(None, {self._name: window[None].astype(self._type)})
        batch: Image = np.asarray(made, np.float32)
        return batch[0] if batch.ndim else batch


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"is taken for ONNX, and onnxruntime is not here ({error}); {_TO_INSTALL}") from error
    return onnxruntime


def _errors() -> tuple[type[Exception], ...]:
    """Return onnxruntime's exceptions, which have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile", "NotImplemented")
    return (*(getattr(state, name) for name in names), state.RuntimeException, state.EPFail)


def _reason(error: Exception) -> str:
    """Return onnxruntime's message without its codes."""
    text = " ".join(str(error).split())
    return f"{text.rpartition('[ONNXRuntimeError] : ')[2]:.160}"
