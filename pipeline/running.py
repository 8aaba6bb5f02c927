"""`srpipe run` as a function."""

import os
from typing import Any

from . import storage
from .driver.observer import Observer
from .driver.run import Summary
from .driver.run import run as run_config
from .options import check_names, config_of, names_of_quality, names_of_run
from .storage_options import StorageOptions


def run(
    manifest: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    storage_options: StorageOptions | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Summary:
    """Enlarge every image that a manifest names, as `srpipe run` does, and resume what an earlier call left.

    Writes tiles and records to `output`, which docs/output.md describes, and prints nothing. An image that cannot be
    enlarged is a record with status "failed", not an error.

    >>> import tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from pipeline import run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     picture = np.add.outer(np.arange(12), np.arange(16)).astype(np.uint8) * 9
    ...     Image.fromarray(picture).save(f"{folder}/one.png")
    ...     summary = run(f"{folder}/one.png", f"{folder}/out", scale=2, method="bicubic", executor="inline")
    ...     (record,) = summary.records().to_pylist()
    >>> summary.done, summary.failed
    (1, 0)
    >>> record["status"], record["width"], record["sr_width"], record["method_used"]
    ('done', 16, 32, 'bicubic')

    Args:
        manifest: a csv, parquet, jsonl or txt table, a folder, a glob or an image; path or s3:// (docs/manifest.md).
        output: the folder or s3:// prefix that receives everything.
        storage_options: access to S3. It goes over the environment, and the output has that of the input where it says
            nothing.
        observer: called as the run goes on.
        options: those of `srpipe run` by name, with `_` for `-`, except those for the terminal: `scale=2.5`,
            `tile_size=256`, `executor="inline"`. docs/reference.md has types, ranges and defaults; `range` is a text,
            as "0,100", and `kernel` may also be an array of taps with a sum of 1.

    Returns:
        How many rows were done, how many failed and with which errors, and where the records are: `summary.records()`
        is the table of records, a `pyarrow.Table`, and `summary.table` its Parquet file.

    Raises:
        TypeError: an option does not exist.
        UsageError: an option has an invalid value, options exclude each other, or manifest or output cannot be used;
            nothing was written. Or a node of the cluster cannot take part; what is done by then is kept.
        LostLockError: another run has taken over the output.
        OSError: the output's storage failed. What is committed is kept; call again.
    """
    check_names("run", options, (*names_of_quality(), *names_of_run()))
    output = storage.absolute(os.fspath(output), what="the output")
    config = config_of(os.fspath(manifest), output, options, storage=(storage_options or StorageOptions()).inherited())
    return run_config(config, observer or Observer())
