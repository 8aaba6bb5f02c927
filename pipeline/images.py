"""Pixels in and out: 8-bit gray and RGB pictures to tensors and back to PNG. What would not survive is refused."""

import io
import re
import struct
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from .errors import ErrorType, ImageError

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM", "TGA", "AVIF")

_MODES = ("L", "RGB")

_CONVERT = "convert it to 8-bit gray or RGB first"

_PILLOW_ERRORS = (
    *(OSError, ValueError, TypeError, KeyError, IndexError),
    *(SyntaxError, EOFError, RuntimeError, struct.error),
)
"""What Pillow's decoders answer broken files with."""

_PNG_LEVEL = 4
"""Twice as fast as zlib's usual 6 for 1 to 4 % larger files; 1 is twice as fast again, but 10 % larger."""

LEVELS = 255.0
"""The full range of 8 bits."""


@dataclass(frozen=True)
class Picture:
    """A decoded image, turned upright."""

    levels: Tensor
    """(C, H, W) uint8, C = 1 or 3."""
    icc_profile: bytes | None
    """What the numbers mean as colours; goes into the output as it came."""

    @property
    def height(self) -> int:
        return self.levels.shape[1]

    @property
    def width(self) -> int:
        return self.levels.shape[2]

    @property
    def lr(self) -> Tensor:
        """(C, H, W) float32 in [0, 1]."""
        return from_levels(self.levels)


def decode(data: bytes) -> Picture:
    """Decode an 8-bit gray or RGB picture; its EXIF orientation is applied.

    Raises:
        ImageError: corrupt, too_large, or unsupported: of another depth, with transparency, or of several frames.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of half the pixel limit
        try:
            return _decode(data)
        except Image.DecompressionBombError as error:
            message = f"the picture claims more than {_max_pixels()} pixels; cut it into parts first"
            raise ImageError(ErrorType.TOO_LARGE, message) from error
        except UnidentifiedImageError as error:
            layout = _tiff_layout(data)
            if layout is not None:
                raise ImageError(ErrorType.UNSUPPORTED, f"the picture has {layout}; {_CONVERT}") from error
            message = f"these {len(data)} bytes are no picture that can be read; replace the file"
            raise ImageError(ErrorType.CORRUPT, message) from error
        except _PILLOW_ERRORS as error:
            raise ImageError(ErrorType.CORRUPT, f"the file is damaged ({error}); replace it") from error


def from_levels(levels: Tensor) -> Tensor:
    """Grey levels to float32 in [0, 1]."""
    return levels.float() / LEVELS


def to_levels(sr: Tensor) -> Tensor:
    """[0, 1] to grey levels rounded half up, as float32: what `encode_png` will store."""
    return (sr * LEVELS + 0.5).floor_().clamp_(0, LEVELS)


def encode_png(levels: Tensor, icc_profile: bytes | None) -> bytes:
    """(C, H, W) of whole grey levels, C = 1 or 3, as an 8-bit PNG."""
    pixels = levels.to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if len(levels) == 1 else pixels))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=icc_profile, compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _decode(data: bytes) -> Picture:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        problem = _unsupported(image, data)
        if problem:
            raise ImageError(ErrorType.UNSUPPORTED, problem)
        image.load()
        upright = ImageOps.exif_transpose(image)
        pixels = np.array(upright, dtype=np.uint8)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return Picture(torch.from_numpy(np.ascontiguousarray(pixels)), image.info.get("icc_profile"))


def _unsupported(image: ImageFile.ImageFile, data: bytes) -> str | None:
    """Why a picture would not come out as it went in, and what to do; None for 8-bit gray and RGB.

    Looks at the header only.
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        return f"the file holds {frames} pictures and only single ones are read; split it first"
    if image.mode not in _MODES:
        return f"the picture is of mode {image.mode}, not 8-bit gray or RGB; {_CONVERT}"
    if "transparency" in image.info:
        return f"the picture has a transparent colour; {_CONVERT}"
    if image.format == "TIFF" and isinstance(image, TiffImagePlugin.TiffImageFile):
        samples, kinds = image.tag_v2.get(277, 1), set(np.ravel(image.tag_v2.get(339, 1)).tolist())
        if samples != len(image.getbands()) or kinds != {1}:
            return f"the picture has {samples} samples a pixel of TIFF formats {sorted(kinds)}; {_CONVERT}"
    if image.format == "PPM" and isinstance(image.tile[0].args, tuple):
        largest = image.tile[0].args[-1]
        return f"the picture's values go up to {largest}, not 255; {_CONVERT}" if largest != LEVELS else None
    depth = _depth(image, data)
    return f"the picture has {depth} bits a sample, not 8; {_CONVERT}" if depth != 8 else None


def _depth(image: ImageFile.ImageFile, data: bytes) -> int:
    """Bits a sample as the file has them: Pillow opens 16-bit RGB, 10-bit AVIF and others as if they had 8."""
    if image.format == "JPEG2000":
        header = data.index(b"\xff\x4f\xff\x51") + 2  # the codestream's SIZ marker (ISO 15444-1, A.5.1)
        (components,) = struct.unpack_from(">H", data, header + 38)
        return max(data[header + 40 + 3 * component] for component in range(components)) + 1
    if image.format == "AVIF":
        flags = data[data.index(b"av1C") + 6]  # AV1CodecConfigurationRecord: tier, high_bitdepth, twelve_bit, ...
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    if not image.tile:
        return 8  # WebP, whose decoder needs no description of the samples
    _, _, _, arguments = image.tile[0]
    raw_mode = arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else image.mode
    bits = re.search(r";(\d+)", raw_mode)
    return int(bits[1]) if bits else 8


def _max_pixels() -> int:
    """Where Pillow refuses: at twice the number from which on it warns."""
    assert Image.MAX_IMAGE_PIXELS is not None
    return 2 * Image.MAX_IMAGE_PIXELS


def _tiff_layout(data: bytes) -> str | None:
    """How a TIFF that Pillow does not open keeps its samples; None for what is no TIFF, or no whole one."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:3] == b"+" or data[3:4] == b"+" else 8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        samples, bits = directory[277], sorted(set(directory[258]))
    except _PILLOW_ERRORS:
        return None
    return f"{samples} samples a pixel of {' and '.join(map(str, bits))} bits"
