"""Which format a picture goes into, and what of its header."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from pipeline.config import Format
from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.exif import as_bytes
from pipeline.imagery.header import CMYK, RGB, Band, Georef, GroundPoint, Header, Transform
from pipeline.imagery.writing.formats import choose, held


def _header(*colours: str, dtype: str = "uint8", mask: bool = False) -> Header:
    return Header("GTiff", 4, 5, dtype, tuple(Band(colour) for colour in colours), mask=mask)


def _name(value: object) -> str | None:
    return f"{value.dtype} {' '.join(value.colours)}" if isinstance(value, Header) else None


IN_PNG = [
    _header("gray"),
    _header("undefined", dtype="uint16"),
    _header("nir"),
    _header("gray", "alpha", dtype="uint16"),
    _header(*RGB),
    _header(*RGB, dtype="uint16"),
    _header(*RGB, "alpha"),
    _header("gray", mask=True),
    _header(*RGB, mask=True),
]

NOT_IN_PNG = [
    (_header("gray", dtype="float32"), "float32"),
    (_header("gray", dtype="int16"), "int16"),
    (_header("gray", dtype="int8"), "int8"),
    (_header(*CMYK), "4 bands that are cyan, magenta, yellow, black"),
    (_header("gray", "undefined", "undefined", dtype="uint16"), "3 bands that are gray, undefined, undefined"),
    (_header("blue", "green", "red"), "3 bands that are blue, green, red"),
    (_header("undefined", "undefined"), "2 bands that are undefined, undefined"),
    (_header(*RGB, "nir"), "4 bands that are red, green, blue, nir"),
    (_header("palette"), "1 bands that are palette"),
    (_header(*RGB, "alpha", mask=True), "a mask beside an alpha band"),
    (replace(_header(*RGB, mask=True), nodata=0.0), "a mask beside a nodata value"),
    (replace(_header(*RGB, "alpha", dtype="uint16"), bits=12), "an alpha of 12 bits"),
]


@pytest.mark.parametrize("header", IN_PNG, ids=_name)
def test_what_png_holds_goes_into_png(header: Header) -> None:
    """Left to choose, and asked for PNG, it is PNG where no number and no meaning of the pixels is lost."""
    assert choose(header, Format.AUTO) is choose(header, Format.PNG) is Format.PNG


@pytest.mark.parametrize(("header", "reason"), NOT_IN_PNG, ids=_name)
def test_what_png_does_not_hold_is_never_forced_into_it(header: Header, reason: str) -> None:
    """Left to choose, it is GeoTIFF; asked for PNG, the image is refused with the reason and the remedy."""
    assert choose(header, Format.AUTO) is Format.TIF
    with pytest.raises(ImageError, match=f"{reason}; use --format tif or auto") as caught:
        choose(header, Format.PNG)
    assert caught.value.error_type is ErrorType.UNSUPPORTED


@pytest.mark.parametrize("header", [*IN_PNG, *(header for header, _ in NOT_IN_PNG)], ids=_name)
def test_geotiff_is_given_to_who_asks_for_it(header: Header) -> None:
    """GeoTIFF holds every picture, and so does a COG but for CMYK, which it is refused for."""
    assert choose(header, Format.TIF) is Format.TIF
    if header.colours == CMYK:
        with pytest.raises(ImageError, match="CMYK; use --format tif or auto"):
            choose(header, Format.COG)
    else:
        assert choose(header, Format.COG) is Format.COG


def test_a_mask_becomes_the_alpha_of_a_png() -> None:
    """In PNG the mask is a further band, in GeoTIFF it stays a mask."""
    header = _header(*RGB, mask=True)
    in_png = held(header, Format.PNG)
    assert (in_png.colours, in_png.mask) == ((*RGB, "alpha"), False)
    assert held(header, Format.TIF) == header
    assert held(_header(*RGB), Format.PNG) == _header(*RGB)


@pytest.mark.parametrize("xmp", [b"ns=1", b"bidx=1", b"self=1", b"no attribute"])
def test_xmp_that_is_none_costs_no_image(xmp: bytes) -> None:
    """Least of all where it begins like an argument of the library that writes it."""
    in_tif = held(replace(_header("gray"), xmp=xmp), Format.TIF)
    assert (in_tif.xmp, in_tif.notes) == (None, ("XMP that is not XML in UTF-8: not in a GeoTIFF",))


def _exif(tags: Mapping[int, Any]) -> bytes:
    exif = Image.Exif()
    exif.update({274: 1, **tags})
    return as_bytes(exif)


@pytest.mark.parametrize("chosen", [Format.TIF, Format.COG])
@pytest.mark.parametrize("artist", ["me", "Müller", "大"])
def test_texts_of_exif_that_a_tiff_has_tags_for(chosen: Format, artist: str) -> None:
    """They come into a GeoTIFF; a note is left for what does not, and what the file says in its tags wins."""
    said = {270: "a barn", 315: artist.encode().decode("latin-1"), 33432: "nobody"}
    header = replace(_header("gray"), exif=_exif(said), tags={"TIFFTAG_COPYRIGHT": "me", "a": "b"})
    texts = {"TIFFTAG_IMAGEDESCRIPTION": "a barn", "TIFFTAG_ARTIST": artist, "TIFFTAG_COPYRIGHT": "me", "a": "b"}
    assert held(header, chosen) == replace(header, exif=None, tags=texts)
    for further in ({271: "maker"}, {34665: {34850: 2}}):
        more = held(replace(header, exif=_exif({**said, **further})), chosen)
        assert (more.tags, more.notes) == (texts, ("EXIF: not in a GeoTIFF",))


@pytest.mark.parametrize("chosen", [Format.TIF, Format.COG])
def test_what_a_geotiff_cannot_say_is_noted(chosen: Format) -> None:
    """What is left out of a GeoTIFF is named in the notes, after those that were there, and the rest stays."""
    gcp = GroundPoint(1.0, 2.0, 3.0, 4.0, None, "a", "b")
    header = replace(_header("gray"), exif=b"MM", xmp=b"\xff\xfe", notes=("before",), icc_profile=b"icc")
    assert held(header, chosen) == replace(
        header,
        exif=None,
        xmp=None,
        notes=("before", "EXIF: not in a GeoTIFF", "XMP that is not XML in UTF-8: not in a GeoTIFF"),
    )
    both = replace(_header("gray"), georef=Georef(transform=Transform(1, 0, 0, 0, 1, 0), gcps=(gcp,), point=True))
    assert held(both, chosen) == replace(
        both,
        georef=Georef(transform=Transform(1, 0, 0, 0, 1, 0), point=True),
        notes=("ground control points beside a transform: not in a GeoTIFF",),
    )
    named = replace(_header("gray"), georef=Georef(gcps=(gcp,)))
    assert held(named, chosen) == replace(
        named,
        georef=Georef(gcps=(replace(gcp, id="1", info=""),)),
        notes=("names of ground control points: not in a GeoTIFF",),
    )
    centres = replace(_header("gray"), georef=Georef(gcps=(replace(gcp, id="1", info=""),), point=True))
    assert held(centres, chosen).notes == (
        "that the coordinates of ground control points are of pixel centres: not in a GeoTIFF",
    )
    tagged = replace(_header("gray"), tags={"ns": "a", "a": "b"}, png_colour={"gAMA": b"1234", "sRGB": b"0"})
    assert held(tagged, chosen).notes == (
        "what a PNG says of its colours (gAMA, sRGB): not in a GeoTIFF",
        "tags named ns: not in a GeoTIFF",
    )
    assert held(tagged, chosen).png_colour is None
    plain = replace(_header("gray"), georef=Georef(transform=Transform(1, 0, 0, 0, 1, 0)), xmp=b'<x a="b"/>')
    assert held(plain, chosen) == plain
