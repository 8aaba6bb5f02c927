"""Files decoded by GDAL, window by window: georeferenced rasters, and pictures too deep or too large for Pillow."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL.ExifTags import Base
from rasterio.enums import MaskFlags
from rasterio.session import DummySession
from rasterio.windows import Window

from ...errors import ErrorType, ImageError
from ..header import ALPHA, CMYK, DTYPES, GRAY, FileLimits, Georef, Header, Pixels, holds, within_type
from . import jp2_boxes, orientation, tiff_tags
from .gdal_metadata import (
    RESOLUTION,
    is_thematic,
    jp2_dpi,
    lasting_tags,
    lost_notes,
    read_band,
    read_bits,
    read_georef,
)
from .notes import of_pages
from .size_limits import check_size

_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 128,  # MB
    "GDAL_NUM_THREADS": "1",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # do not look for files beside the picture
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # half a picture counts as damaged
    "GTIFF_POINT_GEO_IGNORE": "NO",
    "GTIFF_REPORT_COMPD_CS": "YES",  # the vertical part of a CRS, of files of GeoTIFF 1.0 too
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing",
    "GDAL_HTTP_TIMEOUT": "1",
    "GDAL_HTTP_MAX_RETRY": "0",
    "CPL_DEBUG": "OFF",
}

_CARRIED_TAGS = {Base.DocumentName, *tiff_tags.DESCRIPTIVE}
"""TIFF tags that GDAL turns into metadata, such as DocumentName and Artist, or that belong to EXIF, such as Make."""

_OF_OTHER_PIXELS = ("TIFFTAG_MINSAMPLEVALUE", "TIFFTAG_MAXSAMPLEVALUE")
"""Others of them: a result may go beyond."""

_AS_MASK = "NODATA_VALUES"
"""Nodata values of the bands in one tag, of which GDAL makes a mask; a result with the tag could not hold the mask."""

_STRETCHED = {1: 255, 2: 85, 4: 17}
"""Factors that stretch samples of few bits to 8 bits."""

_REMEDIES = {
    **dict.fromkeys(("int32", "uint32", "int64", "uint64"), "convert it to uint16, int16 or float32 if its values fit"),
    "float64": "convert it to float32 if its values fit",
}


class GdalFile:
    """One raster: its header is read when opened, its pixels on request."""

    def __init__(self, path: str, tiff: tiff_tags.TiffTags | None, limits: FileLimits) -> None:
        """Open a raster. `tiff` holds the tags of a TIFF; without it the file must be JPEG 2000.

        Raises:
            ImageError: unsupported or too large. Any other exception, of whatever class, means corrupt.
        """
        self._path = path
        self._tiff = tiff
        self._upright: Pixels | None = None
        with _gdal():
            self._dataset = _opened(path, "GTiff" if tiff else "JP2OpenJPEG")
            try:
                self.header = self._read_header(limits)
            except BaseException:
                self._dataset.close()
                raise

    def window(self, rows: slice, columns: slice) -> Pixels:
        """Read the blocks that the window touches. Raises rasterio's errors for a damaged file."""
        if self._orientation == 1:
            return self._read(rows, columns)
        if self._upright is None:
            stored = self._read(slice(0, self._dataset.height), slice(0, self._dataset.width))
            mask = None if stored.mask is None else orientation.turn(stored.mask, self._orientation)
            self._upright = Pixels(orientation.turn(stored.samples, self._orientation), mask)
        return self._upright.window(rows, columns)

    def close(self) -> None:
        self._upright = None
        with _gdal():
            self._dataset.close()

    def _read(self, rows: slice, columns: slice) -> Pixels:
        window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        with _gdal():
            samples = self._dataset.read(self._order, window=window)
            mask = self._dataset.read_masks(1, window=window) != 0 if self.header.mask else None
        if self._stretch != 1:
            samples *= self._stretch
        if self._premultiplied:
            samples = _divide_by_alpha(samples, self._white)
        if self._inverted:
            colours = samples[:-1] if self.header.has_alpha else samples
            np.subtract(self._white, colours, out=colours)
        return Pixels(samples, mask)

    def _read_header(self, limits: FileLimits) -> Header:
        dataset, tiff = self._dataset, self._tiff
        dtype = _dtype(dataset.dtypes)
        check_size(dataset.height, dataset.width, dataset.count, dtype, limits)
        colours = [colour.name.lower() for colour in dataset.colorinterp]
        georef, self._bits = read_georef(dataset), read_bits(dataset, dtype)
        if tiff is None and georef is None:
            colours = jp2_boxes.named(self._path, colours)
        shown = georef is None or self._bits == 1  # otherwise the numbers are measurements
        self._stretch = _STRETCHED.get(self._bits or 0, 1) if shown else 1
        white_is_0 = tiff is not None and tiff.photometric == tiff_tags.MIN_IS_WHITE
        self._inverted = white_is_0 and shown and dtype.startswith("u")
        fewer = self._bits if self._stretch == 1 and dtype.startswith("u") else None
        self._white = _largest(dtype, fewer)
        if tiff is not None and tiff.photometric != tiff_tags.PALETTE and (self._bits == 1 or white_is_0):
            colours[0] = GRAY[0]  # GDAL reports a palette, or nothing
        _check_colours(colours, georef, tiff, is_thematic(dataset))
        self._order, notes = _alpha_last(colours)
        colours = [colours[index - 1] for index in self._order]
        self._premultiplied = tiff is not None and 1 in tiff.extra and colours[-1] == ALPHA
        self._tagged_orientation = tiff.orientation if tiff is not None else jp2_boxes.side_up(self._path)
        self._orientation = self._tagged_orientation if georef is None else 1
        turned = orientation.lies_on_its_side(self._orientation)
        _check_blocks(dataset, dtype, limits)
        if self._orientation != 1:
            check_size(dataset.height, dataset.width, dataset.count, dtype, limits, at_once=True)
        nodata, nodata_notes = self._nodata(dtype)
        flags = dataset.mask_flag_enums[0]
        mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        return Header(
            format=dataset.driver,
            height=dataset.width if turned else dataset.height,
            width=dataset.height if turned else dataset.width,
            dtype=dtype,
            bits=fewer,
            bands=tuple(read_band(dataset, index, colour) for index, colour in zip(self._order, colours, strict=True)),
            nodata=nodata,
            mask=mask,
            mask_of_nodata=mask and MaskFlags.nodata in flags,
            georef=georef,
            tags=lasting_tags(dataset.tags(), (*RESOLUTION, *_OF_OTHER_PIXELS, _AS_MASK)) or None,
            **self._metadata(),
            notes=(*notes, *nodata_notes, *self._notes(georef)),
        )

    def _metadata(self) -> dict[str, Any]:
        if self._tiff is not None:
            tiff = self._tiff
            dpi = orientation.turn_dpi(tiff.dpi, self._orientation)
            return {"icc_profile": tiff.icc_profile, "exif": tiff.exif, "xmp": tiff.xmp, "dpi": dpi}
        xmp = jp2_boxes.xmp(self._path)
        return {
            "icc_profile": jp2_boxes.icc_profile(self._path),
            "xmp": xmp if self._orientation != self._tagged_orientation else orientation.upright_xmp(xmp),
            "dpi": orientation.turn_dpi(jp2_dpi(self._dataset.tags()), self._orientation),
        }

    def _nodata(self, dtype: str) -> tuple[float | None, tuple[str, ...]]:
        """Return the nodata value in terms of the pixels, and notes about other values."""
        values = self._dataset.nodatavals
        said = self._tiff.nodata if self._tiff is not None else None
        nodata = values[0]
        if any(value != nodata and not (value != value and nodata != nodata) for value in values):
            return nodata, (f"its bands have different nodata values; that of the first, {nodata}, is used for all",)
        if nodata is None or not holds(dtype, nodata):
            lost = said if nodata is None else nodata
            return None, (f"its nodata value {lost} cannot occur in {dtype} and is left out",) if lost else ()
        if (self._stretch > 1 or self._inverted) and self._bits is not None and nodata >= 2**self._bits:
            return None, (f"its nodata value {nodata} cannot occur in {self._bits} bits and is left out",)
        nodata = within_type(dtype, nodata) * self._stretch
        return (self._white - nodata if self._inverted else nodata), ()

    def _notes(self, georef: Georef | None) -> tuple[str, ...]:
        notes, tiff = [], self._tiff
        if self._tagged_orientation != self._orientation:
            notes.append(
                f"its orientation tag {self._tagged_orientation} is ignored, for its georeference says how it lies"
            )
        if tiff is not None:
            notes += of_pages(tiff.pages)
            if tiff.photometric == tiff_tags.MIN_IS_WHITE and not self._inverted:
                notes.append("that its least value is white is not carried over; its numbers are")
            if tiff.undecodable:
                names = ", ".join(tiff.undecodable)
                notes.append(f"its GDAL metadata {names}, not all of it in UTF-8, is not carried over")
            if tiff.iptc:
                notes.append("its IPTC data is not carried over")
            named = "TIFFTAG_DOCUMENTNAME" in self._dataset.tags()  # not there unless it is in UTF-8
            notes += (*tiff.notes, *tiff.lost(_CARRIED_TAGS if named else tiff_tags.DESCRIPTIVE))
        elif jp2_boxes.has_exif(self._path):
            notes.append(jp2_boxes.EXIF_NOTE)
        if self._bits is not None and self._stretch == 1:
            notes.append(f"its {self._bits}-bit values are kept as they are in {self._dataset.dtypes[0]}")
        if self._bits == 1 and georef is not None:
            notes.append(f"its 1-bit values 0 and 1 become {'255 and 0' if self._inverted else '0 and 255'}")
        return (*notes, *lost_notes(self._dataset, georef))


def read_png(path: str) -> NDArray[Any]:
    """Return (C, h, w) of a PNG as stored, with all bits. Raises rasterio's errors for a damaged file."""
    with _gdal(), rasterio.open(Path(path), driver="PNG", sharing=False) as dataset:
        samples: NDArray[Any] = dataset.read()
        return samples


@contextmanager
def _gdal() -> Iterator[None]:
    """Use GDAL with our options, whatever was set before."""
    with warnings.catch_warnings(), rasterio.Env(session=DummySession(), **_OPTIONS):
        warnings.simplefilter("ignore")  # a missing georeference
        yield


def _opened(path: str, driver: str) -> Any:
    """Open a raster. Raises ImageError if rasterio cannot decode its coordinate system, and else rasterio's errors."""
    try:
        return rasterio.open(Path(path), driver=driver, sharing=False)
    except UnicodeDecodeError as error:
        message = "the name of its coordinate system is not in UTF-8; give it that system anew (gdal_edit -a_srs)"
        raise ImageError(ErrorType.UNSUPPORTED, message) from error


def _dtype(dtypes: tuple[str, ...]) -> str:
    """Return the dtype of all bands. Raises ImageError if float32 cannot hold it, or if bands differ."""
    wrong = [dtype for dtype in dtypes if dtype not in DTYPES]
    if wrong:
        remedy = _REMEDIES.get(wrong[0], "convert it to its amplitude in float32")
        raise ImageError(ErrorType.UNSUPPORTED, f"the raster's numbers are {wrong[0]}, beyond float32; {remedy}")
    if len(set(dtypes)) > 1:
        kinds = ", ".join(sorted(set(dtypes)))
        raise ImageError(ErrorType.UNSUPPORTED, f"the raster's bands are of several types, {kinds}; split it by type")
    return dtypes[0]


def _check_colours(colours: list[str], georef: Georef | None, tiff: tiff_tags.TiffTags | None, thematic: bool) -> None:
    """Raise ImageError for colours that are no intensities, or that GDAL does not return as stored."""
    classes = "the raster holds classes, and enlarging would mix them; use nearest-neighbour resampling instead"
    if thematic:
        message = classes
    elif "palette" in colours and georef is not None:
        message = f"{classes}, or, for a picture such as a scanned map, gdal_translate -expand rgb first"
    elif "palette" in colours:
        message = "the picture has a palette that only GDAL can read; convert it to RGB first"
    elif tiff is not None and tiff.photometric == tiff_tags.CMYK and colours[0] != CMYK[0]:
        message = "the raster has inks (CMYK), which GDAL gives as RGB only; convert it to RGB first"
    else:
        return
    raise ImageError(ErrorType.UNSUPPORTED, message)


def _alpha_last(colours: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Return GDAL's band numbers in our order, with alpha last, and a note if it was moved."""
    order = sorted(range(1, len(colours) + 1), key=lambda index: colours[index - 1] == ALPHA)
    if colours.count(ALPHA) > 1:
        message = f"the raster has {colours.count(ALPHA)} alpha bands; keep one of them"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    moved = order != sorted(order)
    return order, (f"its alpha band, number {order[-1]}, comes last in the output",) if moved else ()


def _check_blocks(dataset: Any, dtype: str, limits: FileLimits) -> None:
    """Raise ImageError if one block, of which a window reads whole ones, is too large."""
    height, width = dataset.block_shapes[0]
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    size = height * width * together * np.dtype(dtype).itemsize
    if size > limits.bytes_at_once:
        message = (
            f"the raster's blocks of {height} x {width} pixels take {size} bytes each, more than "
            f"{limits.bytes_at_once}; convert it to a tiled TIFF"
        )
        raise ImageError(ErrorType.TOO_LARGE, message)


def _largest(dtype: str, bits: int | None) -> int:
    """Return the value of white, and of an opaque alpha."""
    if dtype.startswith("float"):
        return 1
    return 2**bits - 1 if bits else int(np.iinfo(dtype).max)


def _divide_by_alpha(samples: NDArray[Any], full: int) -> NDArray[Any]:
    """Undo premultiplication with the last band in (C, h, w); fully transparent pixels become 0."""
    colour, alpha = samples[:-1].astype(np.float64), samples[-1].astype(np.float64)
    plain = np.divide(colour * full, alpha, out=np.zeros_like(colour), where=alpha > 0)
    if samples.dtype.kind != "f":
        plain = np.minimum(np.floor(plain + 0.5), full)
    return np.concatenate([plain.astype(samples.dtype), samples[-1:]])
