"""Files of unsupported kinds, recognised by their first bytes, so that intact files are not called damaged.

The magic numbers are from the formats' specifications and the tables of file(1) and PRONOM.
"""

import re
import struct

_RAW = "a camera's raw file; develop it to TIFF"
_FILM = "a film, not a picture; extract frames as PNG"
_SOUND = "a sound, not a picture; leave it out"
_ARCHIVE = "{} archive; unpack it"
_DICOM = "a DICOM picture; convert it to a 16-bit PNG or TIFF"
_TO_PNG = "{}; convert it to PNG or TIFF"
_TO_FLOAT = "{}; convert it to a float32 TIFF"
_TO_RASTER = "{}; convert it to GeoTIFF"
_DRAWING = "{}, a drawing; convert it to PNG at the size that you need"

_MAGICS: dict[bytes, str] = {
    b"\xff\x0a": _TO_PNG.format("a JPEG XL picture"),
    b"\0\0\0\x0cJXL ": _TO_PNG.format("a JPEG XL picture"),
    b"II\xbc": _TO_PNG.format("a JPEG XR picture"),
    b"WMPHOTO": _TO_PNG.format("a JPEG XR picture"),
    b"\xff\x10\xff\x50": _TO_PNG.format("a JPEG XS picture"),
    b"\0\0\0\x0cJXS ": _TO_PNG.format("a JPEG XS picture"),
    b"\xff\xd8\xff\xf7": _TO_PNG.format("a JPEG-LS picture"),
    b"\x97JB2\r\n\x1a\n": _TO_PNG.format("a JBIG2 picture"),
    b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI": "a PNG in the way of iPhones (CgBI); convert it to plain PNG",
    b"qoif": _TO_PNG.format("a QOI picture"),
    b"FLIF": _TO_PNG.format("a FLIF picture"),
    b"BPG\xfb": _TO_PNG.format("a BPG picture"),
    b"DDS ": _TO_PNG.format("a DirectDraw surface (DDS)"),
    b"\xabKTX ": _TO_PNG.format("a Khronos texture (KTX)"),
    b"PVR\3": _TO_PNG.format("a PowerVR texture (PVR)"),
    b"BLP1": _TO_PNG.format("a texture (BLP)"),
    b"BLP2": _TO_PNG.format("a texture (BLP)"),
    b"\x01\xda": _TO_PNG.format("a picture of Silicon Graphics (SGI)"),
    b"\x59\xa6\x6a\x95": _TO_PNG.format("a Sun raster"),
    b"gimp xcf": _TO_PNG.format("a GIMP picture (XCF)"),
    b"icns": _TO_PNG.format("an icon (ICNS)"),
    b"SDPX": "a DPX frame of a film; convert it to a 16-bit TIFF",
    b"XPDS": "a DPX frame of a film; convert it to a 16-bit TIFF",
    b"\x80\x2a\x5f\xd7": "a Cineon frame of a film; convert it to a 16-bit TIFF",
    b"\x8aMNG": "an animation (MNG); convert its frames to PNG",
    b"\x8bJNG": _TO_PNG.format("a JNG picture"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": _TO_PNG.format("a FlashPix picture or an old document of an office suite"),
    b"8BPS\0\2": "a large document of Photoshop (PSB); convert it to TIFF",
    b"\xb6\xa6\xf2\x08": "an image of libvips; convert it to TIFF",
    b"\x08\xf2\xa6\xb6": "an image of libvips; convert it to TIFF",
    b"\x76\x2f\x31\x01": _TO_FLOAT.format("an OpenEXR picture"),
    b"#?RADIANCE": _TO_FLOAT.format("a Radiance HDR picture"),
    b"#?RGBE": _TO_FLOAT.format("a Radiance HDR picture"),
    b"SIMPLE  =": _TO_FLOAT.format("a FITS file"),
    b"NRRD0": _TO_FLOAT.format("an NRRD volume"),
    b"\x93NUMPY": _TO_FLOAT.format("an array of NumPy"),
    b"e\x02\x01": _TO_RASTER.format("an ECW raster"),
    b"e\x02\x02": _TO_RASTER.format("an ECW raster"),
    b"e\x03\x01": _TO_RASTER.format("an ECW raster"),
    b"e\x03\x02": _TO_RASTER.format("an ECW raster"),
    b"msid": _TO_RASTER.format("a MrSID raster"),
    b"NITF": _TO_RASTER.format("a NITF file"),
    b"NSIF": _TO_RASTER.format("a NITF file"),
    b"EHFA_HEADER_TAG": _TO_RASTER.format("an ERDAS Imagine raster"),
    b"PCIDSK": _TO_RASTER.format("a PCIDSK raster"),
    b"GRIB": _TO_RASTER.format("a GRIB file"),
    b"UHL1": _TO_RASTER.format("a DTED elevation file"),
    b"LBLSIZE=": _TO_RASTER.format("a VICAR raster"),
    b"PDS_VERSION_ID": _TO_RASTER.format("a raster of the Planetary Data System"),
    b"SQLite format 3": _TO_RASTER.format("a GeoPackage, MBTiles or other database"),
    b"LASF": "a point cloud (LAS); convert it to a GeoTIFF of heights",
    b"\x89HDF": "an HDF5 file; export the bands as GeoTIFF",
    b"\x0e\x03\x13\x01": "an HDF4 file; export the bands as GeoTIFF",
    b"CDF": "a NetCDF file; export the bands as GeoTIFF",
    b"MATLAB": "a MATLAB file; export the bands as GeoTIFF",
    b"%PDF": "a PDF document; extract its pictures",
    b"AT&T": "a DjVu document; extract its pictures",
    b"%!PS": _DRAWING.format("a PostScript file"),
    b"\xc5\xd0\xd3\xc6": _DRAWING.format("a PostScript file"),
    b"\x01\0\x09\0\0\3": _DRAWING.format("a Windows metafile"),
    b"\xd7\xcd\xc6\x9a": _DRAWING.format("a Windows metafile"),
    b"{\\rtf": "a text; give the picture itself",
    b"/* XPM */": _TO_PNG.format("an X pixmap (XPM)"),
    b"PG ML": _TO_PNG.format("a component of JPEG 2000 (PGX)"),
    b"PG LM": _TO_PNG.format("a component of JPEG 2000 (PGX)"),
    b"farbfeld": _TO_PNG.format("a farbfeld picture"),
    b"\x13\xab\xa1\x5c": _TO_PNG.format("a texture (ASTC)"),
    b"\x53\x80\xf6\x34": _TO_PNG.format("a Softimage picture (PIC)"),
    b"DanM": _TO_PNG.format("a picture of Microsoft Paint (MSP)"),
    b"LinS": _TO_PNG.format("a picture of Microsoft Paint (MSP)"),
    b"Image type:": _TO_PNG.format("an IFUNC picture (IM)"),
    b"PF\n": _TO_FLOAT.format("a Netpbm float map in colour (PFM)"),
    b"PF ": _TO_FLOAT.format("a Netpbm float map in colour (PFM)"),
    b"PF\r\n": _TO_FLOAT.format("a Netpbm float map in colour (PFM)"),
    b"Lerc2 ": _TO_RASTER.format("a LERC raster"),
    b"CntZImage ": _TO_RASTER.format("a LERC raster"),
    b"P7\n": "a Netpbm picture of the kind PAM; convert it to PNG, PGM or PPM",
    b"FUJIFILMCCD-RAW": _RAW,
    b"IIRO": _RAW,
    b"IIU\0": _RAW,
    b"\0MRM": _RAW,
    b"FOVb": _RAW,
    b"PK\3\4": _ARCHIVE.format("a ZIP"),
    b"\x1f\x8b": _ARCHIVE.format("a gzip"),
    b"BZh": _ARCHIVE.format("a bzip2"),
    b"\xfd7zXZ": _ARCHIVE.format("an XZ"),
    b"\x28\xb5\x2f\xfd": _ARCHIVE.format("a Zstandard"),
    b"Rar!": _ARCHIVE.format("a RAR"),
    b"7z\xbc\xaf": _ARCHIVE.format("a 7-Zip"),
    b"\x1aE\xdf\xa3": _FILM,
    b"\0\0\1\xba": _FILM,
    b"FLV\1": _FILM,
    b"OggS": _FILM,
    b"ID3": _SOUND,
    b"fLaC": _SOUND,
    b"PAR1": "a Parquet table; give it as the manifest",
}

_RIFF = {b"AVI ": _FILM, b"WAVE": _SOUND, b"ACON": _TO_PNG.format("an animated cursor")}

_PATTERNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"(?s).{128}DICM"), _DICOM),
    # without a preamble, the group of identities first
    (re.compile(rb"(?s)\x08\x00[\x00\x05\x06\x08\x12-\x18]\x00"), _DICOM),
    (re.compile(rb"(?s).{4}(moov|mdat|wide)"), _FILM),  # of QuickTime before it had brands
    (
        re.compile(rb"(?s)\x28\x00{3}.{8}\x01\x00[\x01\x04\x08\x10\x18\x20]\x00"),
        _TO_PNG.format("a bitmap without its file header (DIB)"),
    ),
    (re.compile(rb"(?s).{512}\x89HDF\r\n"), "an HDF5 file; export the bands as GeoTIFF"),
    (re.compile(rb"(?s).{257}ustar"), _ARCHIVE.format("a tar")),
    (re.compile(rb"(?s)\x01\x00\x00\x00.{36} EMF"), _DRAWING.format("a Windows metafile")),
    (re.compile(rb"(?s)FORM....(ILBM|PBM |RGBN|RGB8|ACBM)"), _TO_PNG.format("an Amiga picture (IFF)")),
    (re.compile(rb"(?s)\x0a[\x00-\x05][\x00\x01][\x01\x02\x04\x08]"), _TO_PNG.format("a PCX picture")),
    (re.compile(rb"(?s).{344}n(\+1|i1)\x00"), _TO_FLOAT.format("a NIfTI volume")),
    (re.compile(rb"ObjectType\s*=\s*Image"), _TO_FLOAT.format("a MetaImage volume")),
    (re.compile(rb"(?s)\x00{512}.{10}\x00\x11\x02\xff"), _TO_PNG.format("a QuickDraw picture (PICT)")),
    (re.compile(rb"\s*#define\s+\w+_width\s"), _TO_PNG.format("an X bitmap (XBM)")),
    (
        re.compile(rb"(?is)(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<vrtdataset"),
        "a virtual raster, which only names other files; convert it with gdal_translate x.vrt x.tif",
    ),
    (re.compile(rb"(?i)\s*ncols\s+\d+\s+nrows\s"), _TO_RASTER.format("an ASCII grid")),
    (
        re.compile(
            rb"(?is)(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!doctype svg[^>]*>\s*)*<(\w+:)?svg[\s>/]"
        ),
        _DRAWING.format("an SVG file"),
    ),
)


def by_magic(head: bytes) -> str | None:
    """Return what kind of file begins with `head`, and what to do with it; None if it may be supported."""
    return next((what for magic, what in _MAGICS.items() if head.startswith(magic)), None)


def by_pattern(head: bytes) -> str | None:
    """Return the same for less certain signs, to be used for files of no supported kind.

    Args:
        head: a kilobyte, or all of a shorter file.
    """
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if _is_icon(head):
        return _TO_PNG.format("an icon or cursor (ICO)")
    return next((what for pattern, what in _PATTERNS if pattern.match(head)), None)


def _is_icon(head: bytes) -> bool:
    """Return whether it is an icon, whose first picture lies behind the list of all; a TGA may begin alike."""
    if len(head) < 22 or head[:4] not in (b"\0\0\1\0", b"\0\0\2\0"):
        return False
    (number,) = struct.unpack_from("<H", head, 4)
    (first,) = struct.unpack_from("<I", head, 18)
    return number > 0 and bool(first >= 6 + 16 * number)
