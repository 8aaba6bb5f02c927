"""Names of files that mean something else to a shell, to a table, to GDAL or to a file system."""

import re
from random import Random

_ODD = (
    "with space",
    " first a space",
    "two\nlines",
    "a\rreturn",
    "a\ttab",
    "-o",
    "--output=elsewhere",
    "'quoted'",
    '"quoted"',
    "comma,in it",
    "semicolon; rm -rf x",
    "$(echo x) `x` $HOME",
    "back\\slash",
    "star*and?and[a-z]",
    "percent%2F%s%n%00",
    "hash#and?query=1",
    "colon:and|pipe<and>",
    "..",
    "...dots..inside..",
    "..%2F..%2Fetc",
    "grüße-日本-\U0001f600",
    "right\u202eto left",
    "cafe\u0301",
    "bell\x07and\x1b[31m",
    "CON",
    "~",
    "http:..",
    "https:example.org",
    "s3:bucket",
    "file:x",
    "NETCDF:x.nc:y",
    "GTIFF_DIR:1:x.tif",
    "vrt:x.tif",
    "<VRTDataset rasterXSize='1'>",
    "r0000_c0000",
    "mosaic.vrt",
    "_commit",
)

_FOLDERS = ("vsicurl", "vsizip", "vsimem", "http:", "tiles", "images", "a b", "-r", "..a", "sub/sub", "%2e%2e")
"""That with what follows make a path like an address or one of ours."""

_LONG = 200
"""Letters of a name that has still room for what is added to it."""

_TOO_LONG = 251

_SUFFIXES = (".png", ".jpg", ".tif", ".TIFF", ".webp", ".bmp", ".gif", ".jp2", ".ppm", ".tga", ".avif", ".jpeg")


def name(number: int, random: Random, in_text: bool) -> str:
    """A relative path, of its own for each number, half of them odd; it ends as a picture's does.

    Args:
        in_text: it is to stand in a table, so all of it must be letters, and it must not begin or end with a space.
            Otherwise a folder is to be read, so no part of it begins with a dot: such files are hidden.
    """
    suffix = random.choice(_SUFFIXES)
    stem = random.choice(_ODD) if random.random() < 0.5 else "plain"
    if stem == "plain" and random.random() < 0.1:
        stem = random.choice(("x" * (_LONG - len(str(number))), "x" * (_TOO_LONG - len(str(number)) - len(suffix))))
    if not in_text and random.random() < 0.03:
        stem = f"{stem}\udcff"  # a byte that is no UTF-8
    whole = f"{stem}{number}{suffix}"
    if random.random() < 0.15:
        whole = f"{random.choice(_FOLDERS)}/{whole}"
    return whole.strip() if in_text else re.sub(r"(^|/)\.", r"\1a.", whole)
