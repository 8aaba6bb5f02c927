"""The kernels of images without a run, for `srpipe kernel`."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from sr_ops.camera import kernel_spec
from sr_ops.estimation.guess import Guess, guess, guess_together
from sr_ops.settings import Settings

from .. import storage
from ..config import RunConfig
from ..errors import ErrorType, ImageError, UsageError, lacks_memory
from ..imagery.kernel_files import holds_kernel
from ..imagery.samples import Scaling
from ..manifest.checking import check_row, key_of
from ..manifest.manifest import IMAGE_SUFFIXES, Manifest, read_manifest, refuse_stream
from ..manifest.table import printable
from ..manifest.table_files import SUFFIXES
from ..output.saved_kernels import SavedKernel, make_saved
from ..storage.patience import Patience
from ..work.fetching import Fetcher
from ..work.looking import look_at
from ..work.memory import OUT_OF_MEMORY
from ..work.units import Row
from .cameras import to_look_at, with_cameras

_WILD = "*?["


@dataclass(frozen=True)
class ImageKernel:
    """What the image of one row gives."""

    line: int
    uri: str
    name: str
    """The key that a record would have; the uri if there is none."""
    scale: int
    guess: Guess | None
    """At that scale; None if the image could not be read."""
    noise: float | None = None
    """Standard deviation in the file's units, the mean over bands; None if it could not be estimated."""
    error_type: ErrorType | None = None
    error_message: str | None = None


def images_named(spec: str) -> Manifest | None:
    """Return the images that a text names, as a manifest would; None if it names a kernel or a kernel's file.

    Names of kernels win over files. A .csv of numbers and a .tif no larger than a kernel are kernel files.

    Raises:
        UsageError: as `read_manifest`.
    """
    with suppress(ValueError):
        kernel_spec.parse(spec)
        return None
    uri = storage.absolute(spec)
    storage.check_service(uri)
    refuse_stream(spec, uri)
    if holds_kernel(uri):
        return None
    by_name = os.path.splitext(uri)[1].lower() in (*IMAGE_SUFFIXES, *SUFFIXES) or any(wild in spec for wild in _WILD)
    if by_name or storage.scheme(uri) == "s3" or storage.exists(uri) or storage.is_folder(uri):
        return read_manifest(spec)
    return None


def is_among(images: Manifest, uri: str) -> bool:
    """Return whether a file, by its absolute uri, is one of the images."""
    place = storage.resolved(uri)
    for cells in images.rows:
        with suppress(UsageError, ValueError):  # a cell that names no file is told in its turn
            if storage.resolved(storage.absolute(cells.uri, images.folder)) == place:
                return True
    return False


class KernelReport:
    """The kernels of a manifest's images one by one, and of each camera's images together."""

    def __init__(self, manifest: Manifest, scale: int) -> None:
        """Set the process's thread count to that of a run's worker, so that sums are equal.

        Args:
            scale: for rows without one, and for all images together.
        """
        config = RunConfig(manifest.uri, "", settings=Settings(scale=scale))
        torch.set_num_threads(config.threads)
        self._manifest = manifest
        self._settings = config.settings
        self._fetcher = Fetcher(config, Patience(config.retries))
        self._told: list[ImageKernel] = []
        self._rows: dict[int, tuple[Row, ImageKernel]] = {}
        self._makers: dict[str, str] = {}

    def __iter__(self) -> Iterator[ImageKernel]:
        """Yield the result for each image, in the order of rows; an image that several rows name is examined once."""
        self._told, self._rows = [], {}
        seen = set()
        for told in map(self._of_row, range(len(self._manifest.rows))):
            if isinstance(told, Row):
                if (told.uri, told.scale, told.nodata) in seen:
                    continue
                seen.add((told.uri, told.scale, told.nodata))
                row, told = told, self._of_image(told)
                self._rows[row.index] = row, told
            self._told.append(told)
            yield told

    def cameras(self) -> list[SavedKernel]:
        """Return what `--kernel estimate-collection` would find and save, for each camera of the images so far."""
        rows = [row for row, _ in self._rows.values()]
        members: defaultdict[str, list[Row]] = defaultdict(list)
        for row in with_cameras(
            rows, {}, {}, lambda _: False, lambda uris: [self._makers.get(uri, "") for uri in uris]
        ):
            members[row.camera].append(row)
        return [self._of_camera(camera, to_look_at(of_camera)) for camera, of_camera in members.items()]

    def together(self) -> Guess | None:
        """Return the kernel of the images so far as if of one camera; None if fewer than two could be read."""
        found = [told.guess.estimate for told in self._told if told.guess is not None]
        return guess_together(found, self._settings.scale) if len(found) > 1 else None

    def _of_camera(self, camera: str, chosen: list[Row]) -> SavedKernel:
        guesses = [guessed for row in chosen if (guessed := self._rows[row.index][1].guess) is not None]
        told = [guessed.estimate for guessed in guesses]
        return make_saved(camera, told, len(chosen) - len(told), self._settings.scale)

    def _of_row(self, index: int) -> Row | ImageKernel:
        """Return the row to examine, or why that is not possible."""
        manifest, settings, cells = self._manifest, self._settings, self._manifest.rows[index]
        plain = replace(cells, id=f"{index}", kernel="", noise="")  # given values are ignored here
        try:
            row = check_row(index, plain, settings, manifest.folder, manifest.root, str)
        except (ValueError, UsageError) as error:
            message = f"line {cells.line}: {storage.without_secrets(str(error))}"
            uri = storage.uri_without_secrets(printable(cells.uri))
            return ImageKernel(cells.line, uri, uri, settings.scale, None, None, ErrorType.BAD_ROW, message)
        try:
            return replace(row, key=key_of(cells, row.uri, manifest.root))
        except ValueError:  # nothing is written under it
            return replace(row, key=row.uri)

    def _of_image(self, row: Row) -> ImageKernel:
        try:
            found, noise = self._look_at(row)
            return ImageKernel(row.line, row.uri, row.key, row.scale, found, noise)
        except ImageError as error:
            kind, message = error.error_type, str(error)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            kind, message = ErrorType.MEMORY, OUT_OF_MEMORY
        return ImageKernel(row.line, row.uri, row.key, row.scale, None, None, kind, message)

    def _look_at(self, row: Row) -> tuple[Guess, float | None]:
        """Examine an image as a worker does. Raises ImageError, MemoryError."""
        look = look_at(row, self._settings, self._fetcher)
        self._makers[row.uri] = look.maker
        noise = None if look.estimate is None else look.estimate.noise * _mean_span(look.scaling)
        return guess(look.estimate, row.scale), noise


def _mean_span(scaling: Scaling) -> float:
    return sum(scaling.span) / len(scaling.span)
