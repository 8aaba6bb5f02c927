"""The choice of the decoder for a file, and its failures as sentences."""

import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from ...errors import ErrorType, ImageError
from ..header import FileLimits, Header, OpenPicture, Pixels
from . import file_kinds, jp2_boxes, late_gdal, tiff_tags, unread_features
from .pillow_files import PillowFile

_LARGE = 16 * 2**20
"""Pixels from which plain pictures are read window by window."""


_Opener = Callable[[], OpenPicture]


def open_file(path: str, limits: FileLimits) -> "FileWithFallbacks":
    """Open a file. Raises ImageError and nothing else, here and in `window`."""
    _check_path(path)
    with _as_image_errors(path):
        with open(path, "rb") as file:
            kind = file_kinds.kind_of(file.read(file_kinds.HEAD))
        tiff = tiff_tags.read(path) if kind == file_kinds.TIFF else None
        decoders = _decoders(path, kind, tiff, limits)
    return FileWithFallbacks(path, decoders, lambda: unread_features.of(path, kind, tiff))


def _check_path(path: str) -> None:
    """Accept only regular files of this machine: GDAL must never see a path that it takes for a recipe or a url."""
    if not os.path.isabs(path) or "\0" in path or path.lower().startswith("/vsi"):
        raise ImageError(ErrorType.READ, f"{path!r} is not the absolute path of a local file; give one")
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(ErrorType.MISSING, f"nothing is at {path}; check the path") from error
    except (OSError, ValueError) as error:
        raise ImageError(ErrorType.READ, f"cannot look at {path} ({error}); check the path and its access") from error
    if not stat.S_ISREG(mode):
        raise ImageError(ErrorType.READ, f"{path} is a folder, pipe or device, not a file; give a file")
    if not os.access(path, os.R_OK):
        raise ImageError(ErrorType.READ, f"{path} may not be read; give access to it")


def _decoders(path: str, kind: str, tiff: tiff_tags.TiffTags | None, limits: FileLimits) -> list[_Opener]:
    """Return the decoders to try, best first."""

    def pillow() -> OpenPicture:
        return PillowFile(path, kind, limits, tiff)

    def gdal() -> OpenPicture:
        if kind == file_kinds.JPEG2000:
            jp2_boxes.check_lengths(path)
        return late_gdal.open_raster(path, tiff, limits)

    if tiff is not None:
        if not _is_for_gdal(tiff):
            return [pillow, gdal]
        return [gdal] if _is_for_gdal_alone(tiff) else [gdal, pillow]
    if kind == file_kinds.JPEG2000:
        return _of_jpeg_2000(path, pillow, gdal)
    return [pillow]


def _of_jpeg_2000(path: str, pillow: _Opener, gdal: _Opener) -> list[_Opener]:
    """Return the decoders to try. Raises ImageError for colours that neither turns into shades of light."""
    with suppress(ValueError, OSError, struct.error):
        if jp2_boxes.is_georeferenced(path):
            return [gdal]  # Pillow would lose its place
        space = jp2_boxes.colour_space(path)
        if space in jp2_boxes.UNSUPPORTED:
            message = f"the picture has {jp2_boxes.UNSUPPORTED[space]}; convert it to RGB first"
            raise ImageError(ErrorType.UNSUPPORTED, message)
        if space == jp2_boxes.SYCC:
            return [pillow]
        if jp2_boxes.has_palette(path):
            return [pillow, gdal]
    return [gdal, pillow]


def _is_for_gdal(tags: tiff_tags.TiffTags) -> bool:
    """Return whether GDAL should decode it. Raises ImageError for what neither decoder handles."""
    if tags.photometric in tiff_tags.UNSUPPORTED:
        what = tiff_tags.UNSUPPORTED[tags.photometric]
        raise ImageError(ErrorType.UNSUPPORTED, f"the picture has {what}; convert it to gray, RGB or CMYK first")
    if tags.preview:
        raise ImageError(ErrorType.UNSUPPORTED, "the file is a camera's raw file; develop it to TIFF")
    misread = tags.sparse or tags.big_endian_big or _is_second_band_lost(tags)
    looked_up = tags.photometric in (tiff_tags.PALETTE, tiff_tags.CMYK)  # GDAL gives 8 bits of inks as RGB
    if looked_up and tags.bits <= 8 and tags.samples <= 4 and not (tags.georeferenced or misread):
        return False
    blends = tags.alpha and tags.samples in (2, 4) and tags.photometric != tiff_tags.CMYK
    plain = blends or (not tags.extra and tags.samples in (1, 3))
    return (
        tags.bits > 8
        or tags.samples > 4
        or tags.signed_or_float
        or _is_for_gdal_alone(tags)
        or (bool(tags.extra) and not tags.alpha)  # Pillow drops bands that it has no name for
        or (tags.photometric == tiff_tags.YCBCR and tags.compression != tiff_tags.JPEG)  # which Pillow does not read
        or (plain and tags.pixels > _LARGE)
    )


def _is_for_gdal_alone(tags: tiff_tags.TiffTags) -> bool:
    """Return whether Pillow would lose what the numbers mean, or give other pixels, where GDAL cannot read the file."""
    return (
        tags.georeferenced
        or tags.from_gdal
        or tags.masked  # which Pillow ignores
        or tags.sparse  # which Pillow fills with bytes from the beginning of the file
        or tags.big_endian_big
        or _is_second_band_lost(tags)
    )


def _is_second_band_lost(tags: tiff_tags.TiffTags) -> bool:
    """Return whether Pillow would read its second band, mostly an alpha, as 0."""
    return tags.separate and tags.samples == 2 and tags.compression != tiff_tags.UNCOMPRESSED


class FileWithFallbacks:
    """An open file, decoded by the first of several decoders that can.

    If that fails at the pixels, the next decoder that sees the same picture takes over."""

    def __init__(self, path: str, decoders: list[_Opener], unread_feature: Callable[[], str | None]) -> None:
        """`unread_feature` returns the feature, if any, for which all decoders call an intact file damaged."""
        self._path = path
        self._others = decoders
        self._unread_feature = unread_feature
        self._file = self._next()
        self.header = self._file.header

    def window(self, rows: slice, columns: slice) -> Pixels:
        while True:
            try:
                with _as_image_errors(self._path):
                    pixels = self._file.window(rows, columns)
                    return Pixels(np.ascontiguousarray(pixels.samples), pixels.mask)
            except ImageError as error:
                if error.error_type is not ErrorType.CORRUPT:
                    raise
                if not self._replace():
                    raise self._explained(error) from error

    def close(self) -> None:
        with _as_image_errors(self._path):
            self._file.close()

    def _replace(self) -> bool:
        with suppress(ImageError):
            if self._others:
                other = self._next()
                if _layout(other.header) == _layout(self.header):
                    self.close()
                    self._file = other
                    return True
                other.close()
        return False

    def _next(self) -> OpenPicture:
        """Open with the next decoder that can. Raises the first error, or a later one if that says what is missing."""
        first: ImageError | None = None
        while self._others:
            try:
                with _as_image_errors(self._path):
                    return self._others.pop(0)()
            except ImageError as error:
                if error.error_type is not ErrorType.CORRUPT:
                    raise
                first = first or error
        assert first is not None
        raise self._explained(first)

    def _explained(self, corrupt: ImageError) -> ImageError:
        """Replace the error for a feature that is not supported: an intact file must not be called damaged."""
        feature = self._unread_feature()
        if feature is None:
            return corrupt
        message = f"the picture has {feature}, which is not read here; convert it to PNG or TIFF"
        return ImageError(ErrorType.UNSUPPORTED, message)


def _layout(header: Header) -> tuple[Any, ...]:
    return header.height, header.width, header.dtype, header.colours, header.mask


@contextmanager
def _as_image_errors(path: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError: hostile files make decoders raise anything."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        message = "decoding it needs more memory than a decoder may take; convert it to a tiled TIFF"
        raise ImageError(ErrorType.TOO_LARGE, message) from error
    except Exception as error:  # of any class, since no list would be complete
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> ImageError:
    kind = type(error).__name__
    if kind == "UnidentifiedImageError":
        message = "the file is not a readable picture; replace it"
        return ImageError(ErrorType.CORRUPT, message)
    cause = error.__cause__ or error
    reason = " ".join(str(cause).replace(path, "the file").split())[:200] or kind
    if "MAX_TEXT" in reason:  # Pillow's guard against PNG texts that unpack to gigabytes
        message = "a text or profile in the file unpacks to more than a decoder takes; remove texts and profile from it"
        return ImageError(ErrorType.TOO_LARGE, message)
    if "memory" in reason.lower():
        message = f"decoding it needs more memory than a decoder may take ({reason}); convert it to a tiled TIFF"
        return ImageError(ErrorType.TOO_LARGE, message)
    return ImageError(ErrorType.CORRUPT, f"the file is damaged ({reason}); replace it")
