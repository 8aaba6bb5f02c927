"""Values of options that are written as text: checked, and most of them brought to one form."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sr_ops.camera import kernel_spec
from sr_ops.image.grid import parse_gsd, parse_scale, parse_size, refuse_comma
from sr_ops.registry import unknown
from sr_ops.settings import ALL_METHODS, ALL_NETWORKS, AUTO, KERNELS_TO_FIND, NONE

from .config import KERNEL_ENDINGS, LARGEST_FLOAT


def parse_nodata(text: str) -> str:
    """Return the text for `Settings.nodata`. Raises ValueError with a sentence if it is invalid."""
    word = text.strip().lower()
    if word in (AUTO, NONE):
        return word
    refuse_comma("nodata value", text)
    value = _number(word)
    if value is None or math.isinf(value):
        raise ValueError(f"the nodata value {text!r} is no number; give a number, nan, none or auto")
    return repr(value + 0.0)  # -0 is 0


def parse_range(text: str) -> str:
    """Return the text for `Settings.value_range`. Raises ValueError with a sentence if it is invalid."""
    word = text.strip().lower()
    if word in (AUTO, NONE):
        return word
    ends = [_number(end) for end in word.split(",")]
    low, high = ends if len(ends) == 2 else (None, None)
    if low is not None and high is not None and low > high:
        raise ValueError(f"the range {text!r} is none, for {low:g} is above {high:g}; give the lower number first")
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range {text!r} is none; give auto, none or LOW,HIGH, as in 0,100")
    if max(abs(low), abs(high)) > LARGEST_FLOAT:
        raise ValueError(f"the range {text!r} goes beyond float32; give smaller numbers")
    return f"{low!r},{high!r}"


def parse_noise(text: str) -> str:
    """Return the text for `Settings.noise`. Raises ValueError with a sentence if it is invalid."""
    word = text.strip().lower()
    if word == AUTO:
        return word
    refuse_comma("noise", text)
    value = _number(word)
    if value is None or not 0 <= value <= LARGEST_FLOAT:
        raise ValueError(f"the noise {text!r} is none; give a number from 0, in the units of the file, or auto")
    return repr(value + 0.0)  # -0 is 0


def parse_kernel(text: str) -> str:
    """Return the text for `Settings.kernel`, of a named kernel or a way to find one. Raises ValueError otherwise."""
    word = text.strip().lower()
    return word if word in KERNELS_TO_FIND else kernel_spec.parse(text).text


def parse_gpu_share(text: str) -> float:
    """Return the share of a GPU for `RunConfig.gpus_per_worker`. Raises ValueError with a sentence if it is invalid."""
    word = text.strip()
    share = {"1/2": 0.5, "1/4": 0.25}.get(word, _number(word))
    if share not in (1.0, 0.5, 0.25):
        raise ValueError(f"{text!r} is not 1, 1/2 or 1/4; other shares do not pack onto GPUs")
    return share


def names_kernel_file(text: str) -> bool:
    """Return whether the text is the name of a file, not of a kernel."""
    return text.strip().lower().endswith(KERNEL_ENDINGS)


def _named_kernel(text: str) -> str:
    """Return a file's name unchanged, and the text of a named kernel."""
    return text if names_kernel_file(text) else parse_kernel(text)


def _unchanged(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return a parser that checks a text and returns it unchanged."""

    def checked(text: str) -> str:
        parse(text)
        return text

    return checked


def _one_of(kind: str, names: Collection[str]) -> Callable[[str], str]:
    """Return a parser that takes these names only."""

    def checked(name: str) -> str:
        if name not in names:
            raise ValueError(unknown(kind, name, names))
        return name

    return checked


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


PARSERS: Mapping[str, Callable[[str], Any]] = {
    "scale": _unchanged(parse_scale),
    "target_gsd": _unchanged(parse_gsd),
    "target_size": _unchanged(parse_size),
    "method": _one_of("method", ALL_METHODS),
    "network": _one_of("network", ALL_NETWORKS),
    "nodata": parse_nodata,
    "range": parse_range,
    "kernel": _named_kernel,
    "noise": parse_noise,
    "gpus_per_worker": parse_gpu_share,
}
"""What turns the text of an option into its value, by the option's name. Each raises ValueError with a sentence."""
