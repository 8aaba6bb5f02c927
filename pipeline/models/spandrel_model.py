"""Weights of architectures known to spandrel, as safetensors or as a PyTorch checkpoint."""

import io
from typing import Any

from ..errors import lacks_memory
from .kinds import Kind
from .takes import Takes, padded

_PAIR = "spandrel==0.4.2 torch==2.14.1 torchvision==0.29.1"
"""Versions known to work together; no torchvision works with the CPU build of torch 2.13.0."""

_PIECE = 256


def look_at(data: bytes, kind: Kind) -> Takes:
    """Return what a model accepts. Raises ValueError, worded to follow "the file ...", if it is not for pictures."""
    model = _loaded(data, kind)
    if model.input_channels != model.output_channels:
        raise ValueError(f"makes {model.output_channels} bands of {model.input_channels}; take one that keeps them")
    needs = model.size_requirements
    return Takes(
        int(model.scale), int(model.input_channels), None, max(1, needs.minimum), needs.multiple_of, bool(needs.square)
    )


class SpandrelModel:
    """A `Restorer`."""

    def __init__(self, data: bytes, takes: Takes, kind: Kind, device: str) -> None:
        self._model = _loaded(data, kind).to(device).eval()
        self._takes = takes
        self.scale, self.bands, self.piece = takes.scale, takes.bands, _PIECE

    def __call__(self, window: Any) -> Any:
        """Uses spandrel's internal call, since its public one clamps to [0, 1], which samples of 16 bits exceed."""
        import torch

        from sr_ops.enlarging.restorer import RestorerError

        height, width = window.shape[-2:]
        seen = torch.from_numpy(padded(window.cpu().numpy(), *self._takes.sides(height, width))).to(window)
        try:
            made = self._model._call_fn(self._model.model, seen[None])[0]
        except RuntimeError as error:
            if lacks_memory(error):
                raise
            height, width = seen.shape[-2:]
            message = f"the model of --weights does not run on {width} x {height} pixels ({_one_line(error)})"
            raise RestorerError(f"{message}; take another, or save it as ONNX") from error
        return made[:, : height * self.scale, : width * self.scale].float()


def _loaded(data: bytes, kind: Kind) -> Any:
    tensors = _tensors(data, kind)
    spandrel = _spandrel()
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_state_dict(tensors)
    except (spandrel.UnsupportedModelError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"holds weights of no model that spandrel knows ({_one_line(error)})") from error
    if not isinstance(model, spandrel.ImageModelDescriptor):
        raise ValueError("is a model that takes more than a picture; take one that enlarges pictures")
    return model


def _tensors(data: bytes, kind: Kind) -> dict[str, Any]:
    """Return the tensors by name. Raises ValueError, worded to follow "the file ...", if the file is not whole."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        if kind is Kind.SAFETENSORS:
            return dict(load(data))
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"is not a complete file of tensors ({_one_line(error)})") from error
    if not isinstance(held, dict):
        raise ValueError(f"holds a {type(held).__name__}, not tensors by name")
    return held


def _spandrel() -> Any:
    """Import spandrel. Raises ValueError if it is missing, or does not work with the installed torch."""
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:  # torchvision for another torch raises the latter
        raise ValueError(
            f"needs spandrel, which cannot be loaded here ({_one_line(error)}); in an environment of its own:"
            f" pip install {_PAIR}; or export the model as ONNX"
        ) from error
    return spandrel


def _one_line(error: Exception) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.160}"
