"""The record of one row, its columns, and their types in Parquet."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one row. Seconds are wall-clock, sizes bytes, times UTC; None where it does not apply."""

    key: str | None
    """Identity of the image; None when the row has no usable one."""
    manifest_line: int
    """Where the row stands: line of a text file from 1, else number of the row."""
    source_uri: str
    """Where the input is."""
    source_fingerprint: str | None = None
    """Of the version of the input that was read: its size and its ETag or time; with --deep the sha256 of its bytes."""
    output_uri: str | None = None
    """Folder of the tiles; with --single or --format cog the one file."""
    status: str
    """done; degraded: written, but over --max-consistency-error; failed; skipped: not attempted."""
    error_type: str | None = None
    """What kind of failure it was; `srpipe retry --error-type` takes it, except bad_row."""
    error_message: str | None = None
    """What went wrong, and what to do about it."""
    attempt: int = 1
    """1, and one more for every time that its worker died, or memory ran out, before."""
    method_used: str | None = None
    """zssr: a network fitted to the image; prior: one as it is; bicubic; or another method of `srpipe methods`. It was
    asked for; or auto took bicubic or the prior where the network or the fit clearly lost."""
    network: str | None = None
    """Which network was fitted."""
    scale: float | None = None
    """As it was asked for; where that was a size, the larger of `scale_x` and `scale_y`, as where these differ."""
    scale_x: float | None = None
    """sr_width / width."""
    scale_y: float | None = None
    """sr_height / height."""
    whole_scale: int | None = None
    """The whole scale at which the image was made; `kernel` is in pixels of it. Where it is above `scale`, the result
    was reduced afterwards."""
    kernel: str | None = None
    """The camera's blur that was assumed, as --kernel names it; of a file its size, and the sha256 of its taps."""
    kernel_source: str | None = None
    """told: by you, or bicubic; estimated: from the pixels; default: bicubic, because the pixels do not tell. Empty
    until a kernel that is to be looked for was found."""
    kernel_confidence: float | None = None
    """Of one that was looked for in the pixels: from 0, where they do not tell, to 1."""
    kernel_note: str | None = None
    """Why what was found in the pixels is not taken, as the end of a sentence."""
    camera: str | None = None
    """The group of images whose kernel is one: as the manifest says, or as it was found for estimate-collection."""
    noise: tuple[float, ...] | None = None
    """Standard deviation of the input's noise that was assumed, in native units, by band: told, or measured."""
    noise_offset: tuple[float, ...] | None = None
    """Variance of the noise at level 0, in native units, by band: variance = offset + slope * level. Empty where no
    noise was measured, or levels differ too little to tell a line."""
    noise_slope: tuple[float, ...] | None = None
    """By how much that variance grows with each unit of the level; 0 for noise that is the same everywhere."""
    width: int | None = None
    """Pixels of the input, as shown: after its EXIF orientation."""
    height: int | None = None
    """Pixels of the input, as shown."""
    bands: int | None = None
    """Of the input, alpha included."""
    dtype: str | None = None
    """The type of the input's samples."""
    sr_width: int | None = None
    """Pixels of the result."""
    sr_height: int | None = None
    """Pixels of the result."""
    crs: str | None = None
    """As EPSG:<number> where it is surely that, else as WKT."""
    transform: tuple[float, ...] | None = None
    """Of the result: x = t[0] * column + t[1] * row + t[2], y = t[3] * column + t[4] * row + t[5], of pixel corners."""
    nodata: float | None = None
    """What the result's files declare: the input's, a fill that was recognised in it, or what --nodata told."""
    notes: str | None = None
    """What of the input is not in the result, and what was taken for a fill."""
    tiles: int | None = None
    """How many tiles of the result were written."""
    tiles_empty: int | None = None
    """How many tiles were left out because nothing in them is known."""
    output_sha256: str | None = None
    """Over the sha256 of the tiles, as hex digits, row by row: so parts of an image can be done apart."""
    steps: int | None = None
    """Optimiser updates per stage, of a fit that was not kept, too."""
    final_loss: float | None = None
    """Mean loss over the first stage's last tenth of steps; L1, in units of the full range, if no other was chosen."""
    reconstruction_psnr: float | None = None
    """dB over parts of the input held out of the fit: the first stage's network on them shrunk, against themselves."""
    prior_reconstruction_psnr: float | None = None
    """The same of the prior as it is."""
    bicubic_reconstruction_psnr: float | None = None
    """The same of bicubic, for networks that know any camera with a data step."""
    steps_used: int | None = None
    """How many of `steps` the network took that enlarged the image: all, or 0 where a fit lost or none was made."""
    consistency_mae: float | None = None
    """Mean absolute difference between the input and the written result shrunk by `kernel`, in native units (levels),
    as all consistency_*. A result that was reduced is compared as it was made at `whole_scale`, rounded as if it was
    written."""
    consistency_rmse: float | None = None
    """Root of the mean square of these differences."""
    consistency_max: float | None = None
    """Largest absolute value of these differences."""
    consistency_bias: float | None = None
    """Mean of these differences (result less input), with its sign."""
    consistency_rmse_bands: tuple[float, ...] | None = None
    """Root of the mean square of these differences in each band."""
    samples_outside_range: int | None = None
    """Samples of the result below the least or above the largest of the input, band by band, where it is known."""
    psnr_y: float | None = None
    """PSNR of the luma against the reference, in dB; filled in by `srpipe eval`."""
    ssim_y: float | None = None
    """SSIM of the luma against the reference; filled in by `srpipe eval`."""
    read_s: float | None = None
    """Fetching and decoding, which goes on while the image before is worked on."""
    fit_s: float | None = None
    """Finding the kernel, noise and JPEG losses, and fitting."""
    infer_s: float | None = None
    """Enlarging by networks, or by a method without."""
    back_project_s: float | None = None
    """Data steps, conservation of means and the consistency error."""
    write_s: float | None = None
    """Encoding and storing, which goes on while the next tile is computed."""
    total_s: float | None = None
    """From the start of the work on this image to its end; of a scene the sum over its fit and its groups of tiles."""
    peak_memory_bytes: int | None = None
    """On CUDA the most that torch held for this image; on a CPU the most the worker process ever held so far."""
    device: str | None = None
    """cpu, or the name of the GPU."""
    threads: int | None = None
    """Torch threads of the worker."""
    workers: int | None = None
    """Worker processes that the run had at most."""
    workers_why: str | None = None
    """Why so many: what was asked for, or what there was room for."""
    worker: str | None = None
    """host:pid; of a scene, where it was fitted"""
    seed: int | None = None
    """All that is random was drawn from it."""
    prior: str | None = None
    """sha256 of the weights that fits start from; "none" for a start from scratch."""
    prior_bands: int | None = None
    """Bands of the prior's network that was used: 1 treats each band of an image on its own."""
    weights: str | None = None
    """sha256 of the trained model of others (--weights) that enlarged the image; None for the other methods."""
    config_fingerprint: str | None = None
    """Over everything that changes pixels: equal fingerprints and equal sources give equal results."""
    srpipe_version: str | None = None
    """The version of the program that did it."""
    started_at: datetime | None = None
    """When a worker began with it."""
    finished_at: datetime | None = None
    """When the work on it ended."""
    # the last ones say how far to trust the result; docs/trust.md says how to read them
    disagreement_p50: float | None = None
    """Median over all known samples of the standard deviation across the members of the self-ensemble before
    back-projection, in native units, exact to 1/16 of its value. None if there is only one member."""
    disagreement_p95: float | None = None
    """The 95th percentile of the same standard deviation."""
    disagreement_uri: str | None = None
    """Folder of the map of that standard deviation (--disagreement). Its tiles are named like those of the image."""
    spectrum_excess: float | None = None
    """Excess power of the result, in dB, in the worst octave of frequencies beyond half a cycle per LR pixel, which the
    input does not determine. It is measured against a line through the three octaves below
    (`sr_ops.measures.octaves`). None below x2, or if no block of 32 x 32 LR pixels fits."""
    fit_curve: tuple[float, ...] | None = None
    """Loss of the fit, defined like `final_loss`, over at most 32 equal parts of the first stage's steps; None without
    a fit."""

    def to_dict(self) -> dict[str, Any]:
        """Return the values by column."""
        # not by `dataclasses.asdict`, whose deep copies take ten times as long as the rest of a row
        return {name: getattr(self, name) for name in COLUMNS}


_ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", "UTC"),
    tuple[float, ...]: pa.list_(pa.float64()),
}


def _arrow_type(field: "dataclasses.Field[Any]") -> pa.DataType:
    return next(arrow for kind, arrow in _ARROW_TYPES.items() if field.type in (kind, kind | None))


_FIELDS = dataclasses.fields(Record)

COLUMNS = tuple(field.name for field in _FIELDS)

SCHEMA = pa.schema([(field.name, _arrow_type(field)) for field in _FIELDS])
