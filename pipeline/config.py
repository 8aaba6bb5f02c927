"""The options of a run as one value, and the part of them that changes pixels."""

import hashlib
import json
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sr_ops.camera import kernel_spec
from sr_ops.settings import AUTO, BICUBIC_KERNEL, COLLECTION_KERNEL, KERNELS_TO_FIND, LATER, NO_PRIOR, Settings

from .codec import from_plain_exactly
from .storage_options import StorageOptions

ALGORITHM_VERSION = 18
"""Must be raised when the same settings give other pixels than before; everything is then done again."""

try:
    VERSION = version("srpipe")
except PackageNotFoundError:
    VERSION = "not installed"
    """In a bare checkout, where `srpipe prior` still runs."""

LARGEST_FLOAT = 3.4028234663852886e38
"""Largest float of 32 bits, the type of samples."""

KERNEL_ENDINGS = (".npy", ".csv", ".tif", ".tiff")
"""Endings of the names of kernel files, in any case."""

MAX_PIXELS = 2**30
"""Default limit on the pixels of an input."""


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
    """Skip rows that are committed with the same settings and source."""
    OVERWRITE = "overwrite"
    """Do every row again."""
    ERROR = "error"
    """Refuse an output that already holds a run."""


class Format(StrEnum):
    """Format of the files that are written."""

    AUTO = "auto"
    """PNG if it can hold the picture without loss, else GeoTIFF."""
    PNG = "png"
    TIF = "tif"
    """GeoTIFF."""
    COG = "cog"
    """Cloud optimized GeoTIFF: a single file for the picture."""


class Dpi(StrEnum):
    SCALE = "scale"
    """Multiplied by the scale: a print keeps its size."""
    KEEP = "keep"
    """Unchanged: a print gets larger."""


@dataclass(frozen=True)
class Form:
    """The kind of files that a result is written as."""

    format: Format = Format.AUTO
    single: bool = False
    """One file per image, under its own name, instead of tiles."""
    dpi: Dpi = Dpi.SCALE

    @property
    def one_file(self) -> bool:
        return self.single or self.format is Format.COG


@dataclass(frozen=True)
class RunConfig:
    """All options of one `srpipe run`."""

    manifest: str
    """As given: path or uri of a table, folder, glob or image."""
    output: str
    """Absolute uri of the folder that receives everything."""
    settings: Settings = field(default_factory=Settings)
    """Their scale applies to rows without one."""
    prior_name: str = NO_PRIOR
    """What fits start from: "shipped", "none", or the path or uri of a file made by `srpipe prior`."""
    weights_file: str | None = None
    """Path or uri of a third party's trained model, for `Method.MODEL`; None for the other methods."""
    kernel_file: str | None = None
    """Path or uri of the file from which the kernel is read when the run begins; None for a named kernel."""
    form: Form = field(default_factory=Form)
    disagreement: bool = False
    """Also write a map of how much the members of the self-ensemble disagree."""
    max_pixels: int = MAX_PIXELS
    """Limit for an input, since a small file may claim to be a huge picture."""
    threads: int = 1
    """Torch threads per worker. Fixed, because another order of summation gives other pixels."""
    device: Device = Device.AUTO
    workers: int | None = None
    """Worker processes; None for as many as the machine or cluster has room for."""
    gpus_per_worker: float | None = None
    """1 (the default), 1/2 or 1/4; other shares do not pack onto GPUs."""
    executor: Executor = Executor.RAY
    address: str | None = None
    """Ray cluster to join; None for RAY_ADDRESS, or without that a local Ray."""
    existing: Existing = Existing.RESUME
    limit: int | None = None
    """Process only this many rows, from the first."""
    root: str | None = None
    """Folder or uri that keys are relative to; None for the manifest's own rule."""
    strict: bool = False
    """Refuse to start if any row is invalid."""
    deep: bool = False
    """Identify the version of a source by the sha256 of its bytes, instead of size and ETag or modification time."""
    retries: int = 3
    """How often to repeat an access to storage that failed for a transient reason."""
    max_seconds: float | None = None
    """Time limit for one image."""
    max_consistency_error: float | None = None
    """RMSE in native units. A result above it in any band counts as degraded, but is still written."""
    max_failure_rate: float | None = None
    """Share of failed images among those processed, from 0 to 1, above which the run stops."""
    max_hours: float | None = None
    """Time after which the run stops."""
    storage: StorageOptions = field(default_factory=StorageOptions)
    """Access to S3 for input and output; holds no secrets."""

    def fingerprint(self, settings: Settings | None = None) -> str:
        """Return 16 hex digits that identify everything that changes pixels or their files, except the image itself.

        The device class is left out on purpose: CPU and CUDA agree within 0.05 dB, and a run that is resumed after
        losing its GPU should not start over. Every record names its device.

        Args:
            settings: of a row with values of its own; None for the run's.
        """
        return _fingerprint(ALGORITHM_VERSION, settings or self.settings, self.threads, self.form)


OF_THE_POOL = ("workers", "address", "gpus_per_worker")
"""Fields of a run that are None unless they were given, and mean nothing with `Executor.INLINE`."""

OF_GPUS = ("gpus_per_worker",)
"""Those that mean nothing with `Device.CPU`."""


@lru_cache
def _fingerprint(algorithm: int, settings: Settings, threads: int, form: Form) -> str:
    pixels = {"algorithm": algorithm, "threads": threads, **_known_to_all(form), **_known_to_all(settings)}
    return hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()[:16]


def _known_to_all(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, without later fields that have the value of runs that did not know them."""
    known = {one.name: getattr(value, one.name) for one in fields(value) if not _as_before(value, one)}
    return {name: _known_to_all(said) if is_dataclass(said) else said for name, said in known.items()}


def _as_before(value: Any, one: Field[Any]) -> bool:
    return LATER.items() <= one.metadata.items() and bool(getattr(value, one.name) == one.default)


def parse_config(plain: dict[str, Any]) -> RunConfig:
    """Return the RunConfig that `codec.to_plain` was given.

    Raises:
        ValueError: it is none, or of a version with other fields.
    """
    return from_plain_exactly(RunConfig, plain)


@lru_cache
def for_row(settings: Settings, scale: int, result_size: str, nodata: str, kernel: str, noise: str) -> Settings:
    """Return the settings with the values of a row."""
    return replace(settings, scale=scale, result_size=result_size, nodata=nodata, kernel=kernel, noise=noise)


@lru_cache
def check_kernel(kernel: str, scale: int) -> None:
    """Raise ValueError with a sentence if the kernel is impossible at this scale; one that is to be found never is."""
    if kernel not in KERNELS_TO_FIND:
        kernel_spec.check_scale(kernel_spec.parse(kernel), scale)


ONE_SCALE = (
    f"the kernel {COLLECTION_KERNEL} is estimated before the scale of any image is known; give --scale"
    " instead of --target-gsd or --target-size, or another kernel"
)
"""Message for a kernel and a size that cannot be combined."""


def takes_kernel(settings: Settings) -> bool:
    """Return whether the settings' kernel can be used; AUTO always can, since it falls back to bicubic."""
    return settings.kernel in (BICUBIC_KERNEL, AUTO) or settings.takes_any_kernel
