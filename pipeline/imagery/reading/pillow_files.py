"""Files decoded by Pillow, as a whole: photographs, scans, graphics. What Pillow would cut to 8 bits is refused."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.PsdImagePlugin import PsdImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ...errors import ErrorType, ImageError
from ..header import ALPHA, CMYK, GRAY, RGB, Band, FileLimits, Header, Pixels
from . import (
    file_kinds,
    jp2_boxes,
    jpeg_segments,
    late_gdal,
    netpbm,
    orientation,
    pillow_tiff,
    png_chunks,
    psd_resources,
    tiff_tags,
)
from .pillow_metadata import note_frames, note_lost, read_dpi, read_exif, read_profile, read_xmp
from .size_limits import check_size

_CONVERT = "convert it to gray, RGB or CMYK first"

_MODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "1": ("uint8", GRAY),
    "L": ("uint8", GRAY),
    "LA": ("uint8", (*GRAY, ALPHA)),
    "La": ("uint8", (*GRAY, ALPHA)),
    "RGB": ("uint8", RGB),
    "RGBA": ("uint8", (*RGB, ALPHA)),
    "RGBa": ("uint8", (*RGB, ALPHA)),
    "CMYK": ("uint8", CMYK),
    "I;16": ("uint16", GRAY),
    "I;16L": ("uint16", GRAY),
    "I;16B": ("uint16", GRAY),
    "I;16N": ("uint16", GRAY),
    "F": ("float32", GRAY),
}
"""Dtype and bands of Pillow's modes. Palettes and "I" depend on the file."""

_PALETTE_ORDERS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "RGB": lambda data: data.reshape(-1, 3),
    "BGR": lambda data: data.reshape(-1, 3),
    "BGRX": lambda data: data.reshape(-1, 4)[:, :3],
    "RGB;L": lambda data: data.reshape(3, -1).T,
}
"""How palettes are stored. For other orders the palette, and the pixels with it, must be loaded."""

_NAMES = {"LAB": "L*a*b* colours", "HSV": "HSV colours", "YCbCr": "YCbCr colours", "I": "32-bit integers"}

_PADDING = "the fourth byte of its pixels, which its header does not call alpha, is not carried over"

_CONVERSIONS = {"1": "L", "La": "LA", "RGBa": "RGBA"}

_DEEP_PNG = {"RGB;16B": RGB, "RGBA;16B": (*RGB, ALPHA), "LA;16B": (*GRAY, ALPHA)}
"""Pillow's names for PNG pixels that it would cut to 8 bits."""


class PillowFile:
    """One picture: its header is read when opened, all its pixels on the first request."""

    def __init__(self, path: str, kind: str, limits: FileLimits, tiff: tiff_tags.TiffTags | None = None) -> None:
        """Open a picture. `kind` is the only format that Pillow tries, `tiff` holds the tags of a TIFF.

        Raises:
            ImageError: unsupported or too large. Any other exception, of whatever class, means corrupt.
        """
        self._path = path
        self._tiff = tiff
        self._samples: NDArray[Any] | None = None
        Image.MAX_IMAGE_PIXELS = limits.pixels
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _check_avif(path, kind)
            self._image, self._left_out = _open(path, kind, limits)
            self._raw_mode = _raw_mode(self._image)
            if isinstance(self._image, TiffImageFile):
                pillow_tiff.correct(self._image)
            try:
                self.header = self._read_header(limits)
            except BaseException:
                self._image.close()
                raise

    def window(self, rows: slice, columns: slice) -> Pixels:
        """Return a window. Raises what Pillow raises for a damaged file."""
        if self._samples is None:
            self._samples = self._decode()
        return Pixels(self._samples[:, rows, columns], None)

    def close(self) -> None:
        self._image.close()
        self._samples = None

    def _read_header(self, limits: FileLimits) -> Header:
        image = self._image
        tiff = self._tiff
        dtype, colours = _layout(image, self._path)
        check_size(image.height, image.width, len(colours), dtype, limits)
        check_size(image.height, image.width, len(colours), dtype, limits, at_once=True)
        self._dtype, self._colours = dtype, colours
        self._white = netpbm.white(image)
        bits, number_notes = netpbm.read_bits(self._white, dtype)
        # metadata behind the pixels of a PNG is found only by reading all of it
        chunks = png_chunks.read(self._path) if image.format == "PNG" else None
        if chunks is not None and chunks.late_metadata:
            image.load()
        psd_notes = psd_resources.put_into_info(image, self._path) if isinstance(image, PsdImageFile) else ()
        # Pillow turns TIFFs itself
        self._orientation, exif, notes = read_exif(image, self._path) if tiff is None else (1, tiff.exif, tiff.notes)
        if image.format == "JPEG2000":  # Pillow does not report its boxes
            self._orientation = jp2_boxes.side_up(self._path)
        height, width = image.height, image.width
        if orientation.lies_on_its_side(self._orientation):
            height, width = width, height
        return Header(
            format=image.format or "",
            height=height,
            width=width,
            dtype=dtype,
            bands=tuple(Band(colour, scale=netpbm.scale(image)) for colour in colours),
            bits=bits,
            icc_profile=read_profile(image, self._path),
            exif=exif,
            xmp=tiff.xmp if tiff else read_xmp(image, self._path),
            dpi=orientation.turn_dpi(tiff.dpi, tiff.orientation) if tiff else read_dpi(image, self._orientation),
            png_colour=(chunks and chunks.colour) or None,
            notes=(
                *(*note_frames(image, tiff), *number_notes, *notes, *psd_notes),
                *(*note_lost(image, self._path, chunks, tiff), *self._left_out),
            ),
        )

    def _decode(self) -> NDArray[Any]:
        """Return (C, H, W) as shown, matching the header."""
        if self._image.format == "PNG" and self._raw_mode in _DEEP_PNG:
            stored = late_gdal.read_png(self._path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._image.load()
            stored = _stored(self._image, self._colours)
        if self._white is not None and self._dtype == "uint16":
            stored = netpbm.as_stored(stored, self._white)
        transparent = self._image.info.get("transparency")
        if len(stored) < len(self._colours):
            stored = np.concatenate([stored, _opacity(stored, transparent, self._raw_mode)])
        self._image.close()
        upright = np.ascontiguousarray(orientation.turn(stored, self._orientation))
        said = (len(self._colours), self.header.height, self.header.width)
        if upright.shape != said or str(upright.dtype) != self._dtype:
            raise ValueError(f"{upright.dtype} of shape {upright.shape} came where the header says {said}")
        return upright


def _open(path: str, kind: str, limits: FileLimits) -> tuple[ImageFile.ImageFile, tuple[str, ...]]:
    """Open the picture; also return notes about what was left out to open it."""
    try:
        try:
            image = Image.open(path, formats=(kind,))
            return image, (_PADDING,) if _is_padded(image, path) else ()
        except UnidentifiedImageError as error:
            if kind == file_kinds.TGA:
                raise ImageError(
                    ErrorType.CORRUPT, f"the file is not a readable picture; {file_kinds.IF_RAW}"
                ) from error
            if kind != "JPEG":
                raise
            with open(path, "rb") as file:
                data, names = jpeg_segments.without_empty_headers(file.read())
            if not names:
                raise
            note = f"its headers named {', '.join(names)} are empty and left out"
            return Image.open(io.BytesIO(data), formats=(kind,)), (note,)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = f"the picture claims more than {limits.pixels} pixels; raise --max-pixels or cut it into parts"
        raise ImageError(ErrorType.TOO_LARGE, message) from error


def _layout(image: ImageFile.ImageFile, path: str) -> tuple[str, tuple[str, ...]]:
    """Return dtype and bands. Raises ImageError for what would not be reproduced faithfully."""
    transparent = "transparency" in image.info
    if image.format == "PNG" and _raw_mode(image) in _DEEP_PNG:
        colours = _DEEP_PNG[_raw_mode(image)]
        return "uint16", (*colours, ALPHA) if transparent and colours == RGB else colours
    depth = _depth(image, path)
    if depth is not None:
        raise _too_deep(depth)
    if image.mode in ("P", "PA"):
        return "uint8", _palette_colours(image)
    if image.mode == "I" and image.format in ("PPM", "PNG"):  # Pillow's mode for 16 bits in these formats
        return "uint16", GRAY
    if image.mode not in _MODES:
        raise _unsupported(_NAMES.get(image.mode, f"pixels of Pillow's mode {image.mode}"))
    dtype, colours = _MODES[image.mode]
    if isinstance(image, PsdImageFile) and ALPHA in colours and not psd_resources.is_transparent(path):
        return dtype, RGB
    if _is_padded(image, path):
        return dtype, RGB
    return dtype, (*colours, ALPHA) if transparent and ALPHA not in colours else colours


def _is_padded(image: ImageFile.ImageFile, path: str) -> bool:
    """Return whether the fourth byte of a TGA's pixels is no alpha: its header counts none of its bits as such."""
    if image.format != file_kinds.TGA or _raw_mode(image) != "BGRA":
        return False
    with open(path, "rb") as file:
        return file.read(18)[17] & 15 == 0


def _palette_colours(image: ImageFile.ImageFile) -> tuple[str, ...]:
    palette = image.palette
    if palette is None:
        raise ValueError("it has no palette")
    data = np.frombuffer(bytes(palette.palette), np.uint8)
    order = _PALETTE_ORDERS.get(palette.rawmode or palette.mode)
    entries = order(data) if order else np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    # the profile of a palette is for RGB, which a grey picture must not have
    colours = GRAY if (entries == entries[:, :1]).all() and not image.info.get("icc_profile") else RGB
    clear = "transparency" in image.info or image.mode == "PA" or palette.mode == "RGBA"
    return (*colours, ALPHA) if clear else colours


def _unsupported(feature: str) -> ImageError:
    return ImageError(ErrorType.UNSUPPORTED, f"the picture has {feature}; {_CONVERT}")


def _too_deep(depth: int) -> ImageError:
    message = f"the picture has {depth} bits a sample that would be cut to 8; convert it to a 16-bit PNG or TIFF"
    return ImageError(ErrorType.UNSUPPORTED, message)


def _stored(image: ImageFile.ImageFile, colours: tuple[str, ...]) -> NDArray[Any]:
    """Return (C, h, w) of a decoded picture as stored, without the alpha of a transparent colour."""
    if image.mode in ("P", "PA"):
        samples = np.asarray(image.convert("RGBA" if ALPHA in colours else "RGB"))
        gray = colours[0] == GRAY[0]
        return samples.transpose(2, 0, 1)[[0, *range(3, samples.shape[2])] if gray else slice(None)]
    samples = np.asarray(image.convert("RGB" if colours == RGB else _CONVERSIONS.get(image.mode, image.mode)))
    if image.mode == "I":
        if samples.min() < 0 or samples.max() > 65535:
            raise ValueError("a value is beyond 16 bits")
        samples = samples.astype(np.uint16)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return samples[None] if samples.ndim == 2 else samples.transpose(2, 0, 1)


def _opacity(samples: NDArray[Any], transparent: Any, raw_mode: str) -> NDArray[Any]:
    """Return (1, h, w): 0 where all bands equal the transparent colour, full elsewhere."""
    key = np.atleast_1d(transparent)
    stretch = {"L;2": 85, "L;4": 17}.get(raw_mode, 1)  # Pillow stretches the samples, but not their key
    clear = (samples == key[:, None, None] * stretch).all(0, keepdims=True)
    return np.where(clear, 0, np.iinfo(samples.dtype).max).astype(samples.dtype)


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how the file stores samples, in the words of Pillow's decoders; "" if it does not matter."""
    if not image.tile:
        return ""
    arguments = image.tile[0].args
    return arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""


def _depth(image: ImageFile.ImageFile, path: str) -> int | None:
    """Return the bits per sample if they exceed those of the mode: Pillow cuts deep colours silently."""
    if image.format == "JPEG2000":  # Pillow stretches depths between 8 and 16 bits
        depth = jp2_boxes.depth(path)
        return depth if depth not in (8, 16) or (depth == 16 and not image.mode.startswith("I;16")) else None
    if image.format == "PPM" and image.mode not in ("1", "I", "F"):
        white = netpbm.white(image) or 255
        return white.bit_length() if white > 255 else None
    if image.format in ("PNG", "TIFF") and not image.mode.startswith(("I", "F")):
        bits = re.search(r";(\d+)", _raw_mode(image))
        return int(bits[1]) if bits and int(bits[1]) > 8 else None
    return None


def _check_avif(path: str, kind: str) -> None:
    """Raise ImageError for more than 8 bits, according to the AV1CodecConfigurationRecords."""
    if kind != "AVIF":
        return
    with open(path, "rb") as file:
        data = file.read()
    flags = [data[found.end() + 2] for found in re.finditer(b"av1C", data[:-3])]  # tier, high_bitdepth, twelve_bit, ...
    depth = max(((12 if flag & 0x20 else 10) if flag & 0x40 else 8 for flag in flags), default=8)
    if depth > 8:
        raise _too_deep(depth)
