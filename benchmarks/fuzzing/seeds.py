"""Good files of every kind that is read, made by code: what the fuzz run spoils."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from .raster_seeds import rasters
from .written_seeds import ascii_pixmap, interlaced_png, photoshop

_LARGEST = 2**18
"""Bytes of a real file that is taken along: larger ones are mostly pixels, and slow."""

_XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


@dataclass(frozen=True)
class Seed:
    kind: str
    """As a table names it: PNG, GeoTIFF, ..."""
    name: str
    data: bytes
    is_good: bool = True
    """It is known to be done when it is not spoiled."""


def real_seeds(folder: Path) -> list[Seed]:
    """The files of at most 256 KiB below a folder, whatever they are, in the order of their names."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size <= _LARGEST]
    return [Seed("from DATA", path.name, path.read_bytes(), is_good=False) for path in files]


def all_seeds() -> list[Seed]:
    """Small good files of every kind; the same bytes with the same libraries."""
    makers: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
        "PNG": _pngs,
        "JPEG": _jpegs,
        "GIF": _gifs,
        "BMP": _bmps,
        "WebP": _webps,
        "PNM": _pixmaps,
        "TGA": _tgas,
        "TIFF": _tiffs,
        "JPEG 2000": _jpeg2000s,
        "AVIF": _avifs,
        "PSD": _psds,
        "GeoTIFF, COG": rasters,
    }
    return [Seed(kind, name, data) for kind, made in makers.items() for name, data in made()]


def _noise(*shape: int) -> NDArray[np.uint8]:
    """A slope with noise, (height, width) or (height, width, bands): flat enough to be compressed, and not empty."""
    slope = np.add.outer(np.arange(shape[0]), 2 * np.arange(shape[1])).reshape(*shape[:2], *(1,) * (len(shape) - 2))
    return ((slope + np.random.default_rng(0).integers(0, 64, shape)) % 256).astype(np.uint8)


_GRAY = Image.fromarray(_noise(30, 41))
_RGB = Image.fromarray(_noise(33, 40, 3))
_RGBA = Image.fromarray(_noise(33, 40, 4))
_LA = Image.merge("LA", (_GRAY, _GRAY.rotate(180)))
_CMYK = Image.fromarray(_noise(33, 40, 4), "CMYK")
_DEEP = Image.fromarray(_noise(30, 41).astype(np.uint16) * 257)
_FLOAT = Image.fromarray(_noise(30, 41).astype(np.float32) / 255)
_BITS = _GRAY.convert("1")
_PALETTE = _RGB.quantize(17)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)  # Pillow leaves its options in what it has saved
    return buffer.getvalue()


def _frames() -> list[Image.Image]:
    """To follow the first."""
    return [_RGB.rotate(90), _RGB.rotate(180)]


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    exif[270] = "a slope with noise"
    exif.get_ifd(0x8769)[0xA002] = 40
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.5)
    return exif


def _described() -> dict[str, Any]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {"exif": _exif(), "icc_profile": profile, "dpi": (300, 300)}


def _pngs() -> Iterator[tuple[str, bytes]]:
    modes = {"gray": _GRAY, "bits": _BITS, "la": _LA, "rgb": _RGB, "rgba": _RGBA, "palette": _PALETTE, "deep": _DEEP}
    for name, image in modes.items():
        yield name, _saved(image, "PNG")
    yield "palette-clear", _saved(_PALETTE, "PNG", transparency=3)
    yield "palette-clears", _saved(_PALETTE, "PNG", transparency=bytes(range(0, 255, 15)))
    yield "gray-clear", _saved(_GRAY, "PNG", transparency=40)
    yield "rgb-clear", _saved(_RGB, "PNG", transparency=(10, 20, 30))
    yield "animated", _saved(_RGB, "PNG", save_all=True, append_images=_frames(), duration=40)
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    texts.add_text("Comment", "compressed " * 20, zip=True)
    yield "described", _saved(_RGB, "PNG", pnginfo=texts, **_described())
    yield "interlaced-gray", interlaced_png(_noise(30, 41))
    yield "interlaced-rgb", interlaced_png(_noise(33, 40, 3))


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for name, image in {"gray": _GRAY, "rgb": _RGB, "cmyk": _CMYK}.items():
        yield name, _saved(image, "JPEG")
        yield f"{name}-progressive", _saved(image, "JPEG", progressive=True)
    yield "described", _saved(_RGB, "JPEG", xmp=_XMP, comment=b"a comment", **_described())
    yield "restarts", _saved(_RGB, "JPEG", restart_marker_blocks=2, subsampling=0, quality=97)
    yield "several", _saved(_RGB, "MPO", save_all=True, append_images=_frames())


def _gifs() -> Iterator[tuple[str, bytes]]:
    yield "palette", _saved(_PALETTE, "GIF")
    yield "plain", _saved(_PALETTE, "GIF", interlace=0, comment=b"a comment")
    yield "clear", _saved(_PALETTE, "GIF", transparency=3)
    yield "animated", _saved(_RGB, "GIF", save_all=True, append_images=_frames(), duration=40)


def _bmps() -> Iterator[tuple[str, bytes]]:
    for name, image in {"bits": _BITS, "gray": _GRAY, "palette": _PALETTE, "rgb": _RGB, "rgba": _RGBA}.items():
        yield name, _saved(image, "BMP")


def _webps() -> Iterator[tuple[str, bytes]]:
    yield "lossy", _saved(_RGB, "WEBP")
    yield "lossless", _saved(_RGB, "WEBP", lossless=True)
    yield "rgba", _saved(_RGBA, "WEBP")
    yield "described", _saved(_RGB, "WEBP", xmp=_XMP, **_described())
    yield "animated", _saved(_RGB, "WEBP", save_all=True, append_images=_frames(), duration=40)


def _pixmaps() -> Iterator[tuple[str, bytes]]:
    for name, image in {"pbm": _BITS, "pgm": _GRAY, "deep": _DEEP, "ppm": _RGB, "pfm": _FLOAT}.items():
        yield name, _saved(image, "PPM")
    for magic in (b"P1", b"P2", b"P3"):
        yield f"ascii-{magic.decode()}", ascii_pixmap(magic, _noise(12, 17, 3))


def _tgas() -> Iterator[tuple[str, bytes]]:
    for name, image in {"gray": _GRAY, "la": _LA, "palette": _PALETTE, "rgb": _RGB, "rgba": _RGBA}.items():
        yield name, _saved(image, "TGA")
        yield f"{name}-rle", _saved(image, "TGA", compression="tga_rle")


def _tiffs() -> Iterator[tuple[str, bytes]]:
    """As scanners and editors make them; those of the Earth are in raster_seeds.py."""
    modes = {
        "bits": _BITS,
        "la": _LA,
        "rgba": _RGBA,
        "cmyk": _CMYK,
        "palette": _PALETTE,
        "deep": _DEEP,
        "float": _FLOAT,
    }
    for name, image in modes.items():
        yield name, _saved(image, "TIFF")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"):
        yield compression, _saved(_RGB, "TIFF", compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield compression, _saved(_BITS, "TIFF", compression=compression)
    tags = {274: 6, 270: "a slope with noise", 700: _XMP}
    yield "described", _saved(_RGB, "TIFF", tiffinfo=tags, compression="tiff_lzw", **_described() | {"exif": None})
    yield "exif", _saved(_RGB, "TIFF", exif=_exif())
    yield "pages", _saved(_RGB, "TIFF", save_all=True, append_images=_frames())
    yield "big", _saved(_RGB, "TIFF", big_tiff=True)


def _jpeg2000s() -> Iterator[tuple[str, bytes]]:
    for name, image in {"gray": _GRAY, "la": _LA, "rgb": _RGB, "rgba": _RGBA, "deep": _DEEP}.items():
        yield name, _saved(image, "JPEG2000")
    yield "codestream", _saved(_RGB, "JPEG2000", no_jp2=True, tile_size=(16, 16), progression="RPCL")
    yield "lossy", _saved(_RGB, "JPEG2000", irreversible=True, quality_mode="dB", quality_layers=[30, 40])


def _avifs() -> Iterator[tuple[str, bytes]]:
    yield "rgb", _saved(_RGB, "AVIF", speed=10)
    yield "rgba", _saved(_RGBA, "AVIF", speed=10)
    yield "described", _saved(_RGB, "AVIF", speed=10, xmp=_XMP, **_described())


def _psds() -> Iterator[tuple[str, bytes]]:
    for name, mode, samples in (
        ("gray", 1, _noise(12, 17, 1)),
        ("rgb", 3, _noise(12, 17, 3)),
        ("cmyk", 4, _noise(12, 17, 4)),
    ):
        yield name, photoshop(mode, samples, packed=False)
        yield f"{name}-packed", photoshop(mode, samples, packed=True)
