"""What a run was asked to do, as one value, and which part of it changes pixels."""

import hashlib
import json
import math
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sr_ops import kernel_spec
from sr_ops.settings import (
    AUTO,
    BICUBIC_KERNEL,
    COLLECTION_KERNEL,
    KERNELS_TO_FIND,
    LATER,
    NO_PRIOR,
    NONE,
    Settings,
)

from .codec import DamagedError, from_plain, to_plain
from .storage_options import StorageOptions

ALGORITHM_VERSION = 9
"""Raised whenever the same settings give other pixels than before: everything is then done anew."""

try:
    VERSION = version("srpipe")
except PackageNotFoundError:
    VERSION = "not installed"
    """A bare checkout, in which `srpipe prior` runs."""

LARGEST_FLOAT = 3.4028234663852886e38
"""Of 32 bits, as samples are."""

KERNEL_ENDINGS = (".npy", ".csv", ".tif", ".tiff")
"""Of the name of a kernel's file, in small or capital letters."""

MAX_PIXELS = 2**30
"""Of an input, unless another limit is asked for."""


class Executor(StrEnum):
    RAY = "ray"
    """A pool of worker processes, on this machine or a cluster."""
    INLINE = "inline"
    """This process, one image after the other."""


class Device(StrEnum):
    AUTO = "auto"
    """CUDA where there is a GPU, else the CPU."""
    CPU = "cpu"
    CUDA = "cuda"


class Existing(StrEnum):
    RESUME = "resume"
    """Skip what is committed with the same settings and source."""
    OVERWRITE = "overwrite"
    """Do every row again."""
    ERROR = "error"
    """Refuse an output that already holds a run."""


class Format(StrEnum):
    """Of the files that are written."""

    AUTO = "auto"
    """PNG where it holds the picture whole, else GeoTIFF."""
    PNG = "png"
    TIF = "tif"
    """GeoTIFF."""
    COG = "cog"
    """Cloud optimized GeoTIFF: one file for the whole picture."""


class Dpi(StrEnum):
    SCALE = "scale"
    """Times the scale: a print is as large as before."""
    KEEP = "keep"
    """The old number: a print is larger."""


@dataclass(frozen=True)
class Form:
    """As what kind of files a result is written."""

    format: Format = Format.AUTO
    single: bool = False
    """One file for an image, under its own name, not tiles."""
    dpi: Dpi = Dpi.SCALE

    @property
    def one_file(self) -> bool:
        return self.single or self.format is Format.COG


@dataclass(frozen=True)
class RunConfig:
    """One `srpipe run`, all of it."""

    manifest: str
    """As given: path or uri of a table, folder, glob or image."""
    output: str
    """Absolute uri of the folder that receives everything."""
    settings: Settings = field(default_factory=Settings)
    """Its scale is for the rows that name none."""
    prior_name: str = NO_PRIOR
    """What fits start from: "shipped", "none", or the path or uri of a file made by `srpipe prior`."""
    weights_file: str | None = None
    """Path or uri of the trained model of others that `Method.MODEL` takes; None for the other methods."""
    kernel_file: str | None = None
    """Path or uri of the file that the settings' kernel is read from as the run begins; None for a named one."""
    form: Form = field(default_factory=Form)
    disagreement: bool = False
    """Write a map of the disagreement of the members of the self-ensemble, too."""
    max_pixels: int = MAX_PIXELS
    """Of an input: a small file may claim to be a huge picture."""
    threads: int = 1
    """Torch threads per worker: fixed, since sums in another order are other pixels."""
    device: Device = Device.AUTO
    workers: int | None = None
    """Worker processes; by default as many as the machine or cluster has room for."""
    gpus_per_worker: float | None = None
    """1 (by default), 1/2 or 1/4: other shares do not pack onto GPUs."""
    executor: Executor = Executor.RAY
    address: str | None = None
    """Ray cluster to join; without it RAY_ADDRESS, and without that a local Ray of its own."""
    existing: Existing = Existing.RESUME
    limit: int | None = None
    """Only the first so many rows of the manifest."""
    root: str | None = None
    """What keys are relative to, when the manifest's own rule is not wanted."""
    strict: bool = False
    """Refuse to start when any row is bad."""
    deep: bool = False
    """Tell versions of a source by the sha256 of its bytes, not by size and ETag or time of change."""
    retries: int = 3
    """Of one access to storage that failed in a way that may pass."""
    max_seconds: float | None = None
    """For the work on one image."""
    max_consistency_error: float | None = None
    """RMSE, in native units, beyond which in any band a result counts as degraded; it is written even so."""
    max_failure_rate: float | None = None
    """Failed images among those worked on, from 0 to 1, beyond which the run stops."""
    max_hours: float | None = None
    """After which the run stops."""
    storage: StorageOptions = field(default_factory=StorageOptions)
    """How S3 is reached, for input and output; holds no secrets."""

    def fingerprint(self, settings: Settings | None = None) -> str:
        """16 hex digits over everything that changes pixels or their files, the image itself excepted.

        The device class is left out on purpose: CPU and CUDA agree within 0.05 dB, and a run that goes on after its
        GPU was taken away should not start over. Every record names its device.

        Args:
            settings: of a row, that says something for itself; by default the run's.
        """
        return _fingerprint(ALGORITHM_VERSION, settings or self.settings, self.threads, self.form)


@lru_cache
def _fingerprint(algorithm: int, settings: Settings, threads: int, form: Form) -> str:
    pixels = {"algorithm": algorithm, "threads": threads, **_known_to_all(form), **_known_to_all(settings)}
    return hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()[:16]


def _known_to_all(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, less those that came later and are as runs had it that did not know them."""
    known = {one.name: getattr(value, one.name) for one in fields(value) if not _as_before(value, one)}
    return {name: _known_to_all(said) if is_dataclass(said) else said for name, said in known.items()}


def _as_before(value: Any, one: Field[Any]) -> bool:
    return LATER.items() <= one.metadata.items() and bool(getattr(value, one.name) == one.default)


def parse_config(plain: dict[str, Any]) -> RunConfig:
    """A RunConfig from what `codec.to_plain` made of one.

    Raises:
        ValueError: it is not, or of a version that knew other fields.
    """
    config = from_plain(RunConfig, plain)
    unknown = _not_in(plain, to_plain(config))
    if unknown:
        raise DamagedError(f"unknown: {', '.join(unknown)}")
    return config


def _not_in(given: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """The names that stand in the one and not in the other, at any depth."""
    inside = [_not_in(value, known[name]) for name, value in given.items() if isinstance(value, dict) and name in known]
    return [name for name in given if name not in known] + [name for names in inside for name in names]


@lru_cache
def for_row(settings: Settings, scale: int, result_size: str, nodata: str, kernel: str, noise: str) -> Settings:
    """With what a row says for itself."""
    return replace(settings, scale=scale, result_size=result_size, nodata=nodata, kernel=kernel, noise=noise)


def parse_nodata(text: str) -> str:
    """As `Settings.nodata` has it. Raises ValueError with a sentence for what is none."""
    word = text.strip().lower()
    if word in (AUTO, NONE):
        return word
    value = _number(word)
    if value is None or math.isinf(value):
        raise ValueError(f"the nodata value {text!r} is no number; give a number, nan, none or auto")
    return repr(value + 0.0)  # -0 is 0


def names_kernel_file(text: str) -> bool:
    """Whether it is a file's name, not a kernel's."""
    return text.strip().lower().endswith(KERNEL_ENDINGS)


def parse_kernel(text: str) -> str:
    """A named one, or how it is found, as `Settings.kernel` has it. Raises ValueError with a sentence for others."""
    word = text.strip().lower()
    return word if word in KERNELS_TO_FIND else kernel_spec.parse(text).text


@lru_cache
def check_kernel(kernel: str, scale: int) -> None:
    """Raises ValueError with a sentence for a kernel that cannot be at this scale; one that is found always can."""
    if kernel not in KERNELS_TO_FIND:
        kernel_spec.check_scale(kernel_spec.parse(kernel), scale)


ONE_SCALE = (
    f"the kernel {COLLECTION_KERNEL} is found before any image is opened, whose scale is then not known; give --scale"
    " instead of --target-gsd or --target-size, or another kernel"
)
"""Why a kernel and a size do not go together."""


def takes_kernel(settings: Settings) -> bool:
    """Whether its kernel can be used: AUTO always, since it is bicubic where no other can be."""
    return settings.kernel in (BICUBIC_KERNEL, AUTO) or settings.takes_any_kernel


def parse_noise(text: str) -> str:
    """As `Settings.noise` has it. Raises ValueError with a sentence for what is none."""
    word = text.strip().lower()
    if word == AUTO:
        return word
    value = _number(word)
    if value is None or not 0 <= value <= LARGEST_FLOAT:
        raise ValueError(f"the noise {text!r} is none; give a number from 0, in the units of the file, or auto")
    return repr(value + 0.0)  # -0 is 0


def parse_range(text: str) -> str:
    """As `Settings.value_range` has it. Raises ValueError with a sentence for what is none."""
    word = text.strip().lower()
    if word in (AUTO, NONE):
        return word
    ends = [_number(end) for end in word.split(",")]
    low, high = ends if len(ends) == 2 else (None, None)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range {text!r} is none; give auto, none or LOW,HIGH, as in 0,100")
    if max(abs(low), abs(high)) > LARGEST_FLOAT:
        raise ValueError(f"the range {text!r} goes beyond float32; give smaller numbers")
    return f"{low!r},{high!r}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
