"""Good files that the libraries here do not write, byte by byte after their specifications."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column and steps down and across of the passes of an interlaced PNG (ISO 15948)."""


def interlaced_png(samples: NDArray[np.uint8]) -> bytes:
    """(height, width) gray or (height, width, 3) RGB."""
    height, width = samples.shape[:2]
    passes = [samples[row::down, column::across] for row, column, down, across in _ADAM7]
    lines = b"".join(b"\0" + line.tobytes() for part in passes if part.size for line in part)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if samples.ndim == 2 else 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def ascii_pixmap(magic: bytes, samples: NDArray[np.uint8]) -> bytes:
    """(height, width, 3) as P1, P2 (of the first band) or P3."""
    height, width = samples.shape[:2]
    values = samples if magic == b"P3" else samples[..., 0]
    levels = (values > 127).astype(np.uint8) if magic == b"P1" else values
    largest = b"" if magic == b"P1" else b"255\n"
    lines = (b" ".join(b"%d" % value for value in line.reshape(-1)) for line in levels)
    return b"%s\n# a comment\n%d %d\n%s" % (magic, width, height, largest) + b"\n".join(lines) + b"\n"


def photoshop(mode: int, samples: NDArray[np.uint8], packed: bool) -> bytes:
    """(height, width, bands) as a PSD without layers; `mode` 1 is gray, 3 RGB, 4 CMYK; `packed` in runs of bytes."""
    height, width, bands = samples.shape
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, bands, height, width, 8, mode)
    resolution = b"8BIM" + struct.pack(">HHI", 1005, 0, 16) + struct.pack(">IHHIHH", 300 << 16, 1, 1, 300 << 16, 1, 1)
    sections = struct.pack(">I", 0) + struct.pack(">I", len(resolution)) + resolution + struct.pack(">I", 0)
    planes = samples.transpose(2, 0, 1).reshape(-1, width)
    if not packed:
        return header + sections + struct.pack(">H", 0) + planes.tobytes()
    lines = [_packed(line.tobytes()) for line in planes]
    lengths = struct.pack(f">{len(lines)}H", *map(len, lines))
    return header + sections + struct.pack(">H", 1) + lengths + b"".join(lines)


def _packed(line: bytes) -> bytes:
    """PackBits of at most 128 bytes a run, all of them literal."""
    runs = (line[start : start + 128] for start in range(0, len(line), 128))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)
