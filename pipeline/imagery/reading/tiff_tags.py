"""The tags of a TIFF: enough to choose the decoder, and what neither decoder reports."""

import math
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import lookup

from ...errors import ErrorType, ImageError
from ..exif import DIRECTORIES, GDAL_NAMES
from . import orientation
from .notes import MOST_NAMES, not_carried

_BIG_ENDIAN_BIG = b"MM\0+"

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", _BIG_ENDIAN_BIG)

MIN_IS_WHITE, MIN_IS_BLACK, PALETTE, CMYK, YCBCR = 0, 1, 3, 5, 6

UNCOMPRESSED, JPEG = 1, 7
"""Compressions."""

UNSUPPORTED = {
    **dict.fromkeys((8, 9, 10), "L*a*b* colours"),
    32803: "the raw mosaic of a camera's sensor",
    **dict.fromkeys((32844, 32845), "LogLuv values"),
    34892: "a camera's linear raw values",
}
"""Photometric interpretations that cannot be enlarged directly."""

_GEOREFERENCE = (33550, 33922, 34264, 34735, 50844)
"""ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory (OGC 19-008r4), RPCCoefficient."""

_METADATA, _NODATA = 42112, 42113
"""GDAL's tags."""

_GDAL_ITEM = re.compile(rb'<Item\b[^<>]*\bname="([^"<>]{0,80})"[^<>]*>([^<]*)')

DESCRIPTIVE = (*GDAL_NAMES, Base.Make, Base.Model)
"""Tags of the first directory that also belong to EXIF."""

_STRUCTURE = {
    *range(254, 260),  # NewSubfileType, ..., Compression
    *(262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 282, 283, 284, 288, 289, 290, 291, 292, 293, 296, 317),
    *(320, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 347),
    *range(512, 522),  # old-style JPEG
    *(529, 530, 531, 532, 34735, 34736, 34737, 50674, 50838, 50839),
}
"""Tags about the layout of pixels and of the georeference; what GDAL reads from them is carried over."""

_GEO_KEYS, _EPOCH = 34735, 5120
"""GeoKeyDirectory, with four numbers per key; CoordinateEpochGeoKey."""

_SAID = {*_GEOREFERENCE, _METADATA, _NODATA, *DIRECTORIES, Base.XMLPacket, Base.IPTCNAA, Base.InterColorProfile}
"""Tags that are read here."""

_SMALLER, _MASK = 1, 4
"""Flags of NewSubfileType."""

INCHES = {2: 1.0, 3: 2.54}
"""ResolutionUnit to pixels per inch; 1 means no unit."""

_MOST_PAGES = 10_000


@dataclass(frozen=True)
class TiffTags:
    """Tags of the first directory, and the number of pictures."""

    big_endian_big: bool
    """It is a BigTIFF of big-endian numbers, which Pillow takes for a TIFF of another layout."""
    pixels: int
    samples: int
    bits: int
    """The most of any sample."""
    signed_or_float: bool
    photometric: int
    compression: int
    predictor: int
    depths: tuple[int, ...]
    """Bits of each sample."""
    separate: bool
    """Bands are stored one after the other, not interleaved."""
    first_part: tuple[int, int] | None
    """Position and bytes of the first strip or tile."""
    sparse: bool
    """Some strips or tiles are missing from the file: their offset is 0, and they mean nodata or black."""
    extra: tuple[int, ...]
    """Meaning of the samples beyond colour: 0 unspecified, 1 premultiplied alpha, 2 alpha."""
    orientation: int
    georeferenced: bool
    from_gdal: bool
    """It has metadata or a nodata value in GDAL's tags."""
    metadata: bool
    """GDAL's tag holds more than which band is which colour."""
    nodata: str | None
    undecodable: tuple[str, ...]
    """Names in GDAL's metadata of texts that are not in UTF-8."""
    preview: bool
    """The first directory is only a small version of what its subdirectories hold, as in raw files of cameras."""
    pages: int
    """Number of pictures, without masks and smaller versions."""
    masked: bool
    """It has a mask that tells which pixels are valid."""
    dpi: tuple[float, float] | None
    icc_profile: bytes | None
    xmp: bytes | None
    iptc: bool
    exif: bytes | None
    others: tuple[int, ...]
    """Tags that are not about layout or georeference, and not in the fields above."""
    notes: tuple[str, ...]

    def lost(self, carried: Collection[int]) -> tuple[str, ...]:
        """Return a note about all tags that are not carried over."""
        left = [tag for tag in self.others if tag not in carried]
        names = [str(tag) if lookup(tag).name == "unknown" else lookup(tag).name for tag in left]
        return not_carried("its TIFF tags {}", names)

    @property
    def alpha(self) -> bool:
        return bool(self.extra) and self.extra[0] in (1, 2)


def read(path: str) -> TiffTags:
    """Read the tags. Raises SyntaxError, struct.error or OSError for no TIFF; ImageError if the picture comes later."""
    with warnings.catch_warnings(), open(path, "rb") as file:
        warnings.simplefilter("ignore")
        head = file.read(16)
        directories = _directories(file, head)
        first = next(directories)
        others = [(_is_part(directory), _is(directory, _MASK), _pixels(directory)) for directory in directories]
        pages = 1 + sum(not part for part, _, _ in others)
        exif, notes = _exif(file, head, first)
    larger = max((pixels for _, mask, pixels in others if not mask), default=0)
    if _is_part(first) and larger > _pixels(first):
        message = f"the first picture says that it is a small version of another, of {larger} pixels; extract that one"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    if _EPOCH in _numbers(first, _GEO_KEYS)[4::4]:
        notes = (*notes, "the epoch of its coordinates is not carried over")
    xmp = _bytes(first, Base.XMLPacket)
    if Base.Orientation in first:  # one that is only in XMP is not applied, and therefore kept
        xmp = orientation.upright_xmp(xmp)
    across, down = _resolution(first) or (1.0, 1.0)
    if _number(first, Base.ResolutionUnit, 2) == 1 and across != down:
        notes = (*notes, f"its pixel aspect, {across:g}:{down:g} in no unit, is not carried over")
    return TiffTags(
        big_endian_big=head.startswith(_BIG_ENDIAN_BIG),
        pixels=_pixels(first),
        samples=_number(first, Base.SamplesPerPixel, 1),
        bits=max(_numbers(first, Base.BitsPerSample) or (1,)),
        signed_or_float=bool(set(_numbers(first, Base.SampleFormat)) - {1}),
        photometric=_number(first, Base.PhotometricInterpretation, MIN_IS_BLACK),
        compression=_number(first, Base.Compression, 1),
        predictor=_number(first, Base.Predictor, 1),
        depths=_numbers(first, Base.BitsPerSample),
        separate=_number(first, Base.PlanarConfiguration, 1) == 2,
        first_part=_first_part(first),
        sparse=0 in (*_numbers(first, Base.StripOffsets), *_numbers(first, Base.TileOffsets)),
        extra=_numbers(first, Base.ExtraSamples),
        orientation=orientation.valid(_number(first, Base.Orientation, 1)),
        georeferenced=any(tag in first for tag in _GEOREFERENCE),
        from_gdal=_METADATA in first or _NODATA in first,
        metadata=any(name != b"COLORINTERP" for name, _ in _gdal_items(_text(first, _METADATA) or "")),
        nodata=_text(first, _NODATA),
        undecodable=_undecodable(_text(first, _METADATA) or ""),
        preview=Base.DNGVersion in first or (_is(first, _SMALLER) and Base.SubIFDs in first),
        pages=pages,
        masked=any(mask for _, mask, _ in others),
        dpi=_dpi(first),
        icc_profile=_bytes(first, Base.InterColorProfile),
        xmp=xmp,
        iptc=Base.IPTCNAA in first,
        exif=exif,
        others=tuple(sorted(set(first) - _STRUCTURE - _SAID)),
        notes=notes,
    )


def _directories(file: BinaryIO, head: bytes) -> Iterator[ImageFileDirectory_v2]:
    offset, seen = _directory(head).next, set[int]()
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        seen.add(offset)
        directory = _directory(head)
        file.seek(offset)
        directory.load(file)
        offset = directory.next
        yield directory
    if not seen:
        raise SyntaxError("no directory")


def _directory(head: bytes, group: int | None = None) -> ImageFileDirectory_v2:
    """Return a directory to be loaded, of a file that begins with these 16 bytes; `next` is where its first one is."""
    order = head[:2]
    if head.startswith(_BIG_ENDIAN_BIG):  # of BigTIFFs Pillow knows this header alone
        head = b"II+\0" + head[4:]
    return ImageFileDirectory_v2(head[: 16 if b"+" in head[2:4] else 8], order, group)


def _pixels(directory: ImageFileDirectory_v2) -> int:
    return _number(directory, Base.ImageWidth, 0) * _number(directory, Base.ImageLength, 0)


def _first_part(directory: ImageFileDirectory_v2) -> tuple[int, int] | None:
    starts, sizes = _numbers(directory, Base.StripOffsets), _numbers(directory, Base.StripByteCounts)
    if not starts:
        starts, sizes = _numbers(directory, Base.TileOffsets), _numbers(directory, Base.TileByteCounts)
    return (starts[0], sizes[0]) if starts and sizes else None


def _is_part(directory: ImageFileDirectory_v2) -> bool:
    """Return whether it is a smaller version or a mask of a page."""
    return _is(directory, _SMALLER | _MASK) or _number(directory, Base.SubfileType, 1) == 2


def _is(directory: ImageFileDirectory_v2, flags: int) -> bool:
    """Return whether its NewSubfileType has one of the flags."""
    return bool(_number(directory, Base.NewSubfileType, 0) & flags)


def _exif(file: BinaryIO, head: bytes, first: ImageFileDirectory_v2) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the descriptive tags and the file's EXIF, without tags about the layout of pixels."""
    upright = Image.Exif()
    try:
        upright.update({tag: _single(first[tag]) for tag in DESCRIPTIVE if tag in first})
        for group in DIRECTORIES:
            if group in first:
                directory = _directory(head, group)
                file.seek(_number(first, group, -1))
                directory.load(file)
                upright[group] = {tag: _single(value) for tag, value in directory.items() if tag != IFD.Interop}
        if len(upright):
            upright[Base.Orientation] = _number(first, Base.Orientation, 1)
        return orientation.upright_exif(upright), ()
    except Exception as error:  # noqa: BLE001 - Pillow has no class of its own for broken metadata
        return None, (f"its EXIF data is damaged ({error}) and not carried over",)


def _dpi(directory: ImageFileDirectory_v2) -> tuple[float, float] | None:
    scale, resolution = INCHES.get(_number(directory, Base.ResolutionUnit, 2)), _resolution(directory)
    return (resolution[0] * scale, resolution[1] * scale) if scale and resolution else None


def _resolution(directory: ImageFileDirectory_v2) -> tuple[float, float] | None:
    with suppress(KeyError, TypeError, ValueError, ArithmeticError):
        across, down = (float(directory[tag]) for tag in (Base.XResolution, Base.YResolution))
        if math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0:
            return across, down
    return None


def _numbers(directory: ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    value = directory.get(tag, ())
    values = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))


def _number(directory: ImageFileDirectory_v2, tag: int, default: int) -> int:
    return next(iter(_numbers(directory, tag)), default)


def _bytes(directory: ImageFileDirectory_v2, tag: int) -> bytes | None:
    value = _single(directory.get(tag))
    if isinstance(value, tuple) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        return bytes(value)
    return value if isinstance(value, bytes) else None


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _text(directory: ImageFileDirectory_v2, tag: int) -> str | None:
    value = directory.get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return value.strip(" \0") if isinstance(value, str) else None


def _gdal_items(metadata: str) -> list[tuple[bytes, bytes]]:
    """Return the names and texts in GDAL's metadata, of which Pillow made Latin-1."""
    return _GDAL_ITEM.findall(metadata.encode("latin-1"))


def _undecodable(metadata: str) -> tuple[str, ...]:
    """Return the names of texts that are not in UTF-8, of which Pillow made Latin-1."""
    names = set()
    for name, text in _gdal_items(metadata):
        try:
            (name + text).decode()
        except UnicodeDecodeError:
            names.add(name.decode("latin-1"))
    return tuple(sorted(names)[:MOST_NAMES])
