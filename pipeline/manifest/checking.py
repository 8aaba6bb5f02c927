"""Check the cells of a manifest row by row: whether a row can be done, and under which key."""

import posixpath
import re
from collections.abc import Callable, Iterator

from sr_ops.camera.kernel_spec import described
from sr_ops.image.grid import parse_scale, times_of
from sr_ops.settings import COLLECTION_KERNEL, FROM_SCRATCH, Settings

from .. import storage
from ..config import ONE_SCALE, RunConfig, check_kernel, takes_kernel
from ..errors import UsageError
from ..option_values import parse_nodata, parse_noise
from ..output.layout import LONGEST_NAME
from ..storage.patience import Patience
from ..work.units import Row
from .claims import Claims
from .kernel_cells import KernelCells
from .manifest import Cells, OpenManifest
from .table import printable

_TOLD_ROWS = 1000
"""Rows between two reports of progress."""


def claim(
    claimed: Claims, config: RunConfig, manifest: OpenManifest, root: str, looking: Callable[[int, int], None]
) -> int:
    """Check every row of a manifest, settle their claims, and return the number of rows.

    Args:
        looking: called with the number of rows checked, and of all rows.
    """
    number = 0

    def kernel_cells() -> Iterator[str]:
        nonlocal number
        for number, cells in enumerate(manifest.rows, 1):  # noqa: B007 - it is the count
            yield cells.kernel

    kernels = KernelCells(kernel_cells(), manifest.folder, Patience(config.retries))
    for index, cells in enumerate(manifest.rows):
        if index % _TOLD_ROWS == 0:
            looking(index, number)
        try:
            row = check_row(index, cells, config.settings, manifest.folder, root, kernels.text)
        except (ValueError, UsageError) as error:
            uri = storage.uri_without_secrets(printable(cells.uri))
            claimed.refuse(index, cells.line, uri, storage.without_secrets(printable(str(error))))
        else:
            claimed.add(row)
    claimed.settle()
    return number


def check_row(
    index: int, cells: Cells, settings: Settings, folder: str, root: str, read_kernel: Callable[[str], str]
) -> Row:
    """Return the row that `cells` ask for. Raises ValueError or UsageError with the message for the row's record.

    Args:
        read_kernel: gives what a cell of the column `kernel` means.
    """
    if cells.problem:
        raise ValueError(f"{cells.problem}; mend the line")
    if "\0" in cells.uri:
        raise ValueError("the uri holds a NUL character; mend it")
    if not cells.uri:
        raise ValueError("the uri is empty; say where the image is")
    if cells.uri != printable(cells.uri):
        raise ValueError(f"the name {printable(cells.uri)} holds bytes that are not UTF-8; rename the file")
    uri = storage.absolute(cells.uri, folder)
    if "\0" in uri or uri != printable(uri):
        raise ValueError(f"the uri {cells.uri!r} names a file whose name is no UTF-8 text; rename the file")
    key = key_of(cells, uri, root)
    scale, result_size = parse_scale(cells.scale) if cells.scale else (settings.scale, settings.result_size)
    row = Row(
        index,
        cells.line,
        key,
        uri,
        scale,
        size=0,
        nodata=parse_nodata(cells.nodata) if cells.nodata else settings.nodata,
        kernel=read_kernel(cells.kernel) if cells.kernel else settings.kernel,
        noise=parse_noise(cells.noise) if cells.noise else settings.noise,
        result_size=result_size,
        camera=printable(cells.camera),
    )
    _check_kernel(row.settings(settings))
    return row


def key_of(cells: Cells, uri: str, root: str) -> str:
    """Return the key of a row. Raises ValueError with the message for the row's record."""
    named, text = ("id", cells.id) if cells.id else ("uri", _key_text(cells.uri, uri, root))
    above = re.match(r"(\.\./)+", text)
    if above and not cells.id:
        top = uri.removesuffix(text[above.end() - 1 :]) or "/"
        raise ValueError(
            f"the key would be {text!r}, which leads out of the output; give the row an id, or use --root {top}"
        )
    try:
        return make_key(text)
    except ValueError as error:
        remedy = (
            "give a plain id" if cells.id else "give the row an id, or name the folder that keys start from with --root"
        )
        raise ValueError(f"the {named} {text!r} {error}; {remedy}") from error


def _check_kernel(settings: Settings) -> None:
    """Raises ValueError with the sentence for the record of a row whose kernel cannot be used."""
    if times_of(settings) is not None:  # else a worker looks, when it knows the scale of the image
        check_kernel(settings.kernel, settings.scale)
    elif settings.kernel == COLLECTION_KERNEL:
        raise ValueError(ONE_SCALE)
    if not takes_kernel(settings):
        raise ValueError(
            f"the kernel {described(settings.kernel)} cannot be used with the network {settings.network}, which knows"
            f" bicubic alone; leave out --network, --prior none and --preset {' or '.join(FROM_SCRATCH)}, or use"
            " --method bicubic"
        )


def _key_text(written: str, uri: str, root: str) -> str:
    """Below a root the relative path; without one the uri as it is written, without its scheme."""
    if root and storage.scheme(uri) == storage.scheme(root):
        return posixpath.relpath(uri, root)
    if storage.is_file_uri(written):
        return uri.lstrip("/")
    return posixpath.normpath(written.partition("://")[2] if "://" in written else written).lstrip("/")


def make_key(text: str) -> str:
    """A key that is safe as a relative path: unsafe characters percent-escaped, the rest kept readable.

    Raises:
        ValueError: it would leave the output, or a part is too long for a file name.
    """
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if text.startswith("/"):
        raise ValueError("is an absolute path")
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("has an empty part, '.' or '..', and would point outside the output")
    key = "/".join(_UNSAFE.sub(_percent, part) for part in parts)
    longest = max((part.encode() for part in key.split("/")), key=len)
    if len(longest) > LONGEST_NAME:
        raise ValueError(f"has a part of {len(longest)} bytes, over the {LONGEST_NAME} a file name has room for")
    return key


_UNSAFE = re.compile(r'[%<>:"|?*\\\x00-\x1f\x7f]|[. ]$')
"""What some file system refuses in a name; % itself, so that two keys never become one."""


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())
