"""A PNG written row by row, so that a picture of any size needs the memory of one band. PNG specification, 2nd edition."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import IO

from PIL import Image, ImageChops

_MAGIC = b"\x89PNG\r\n\x1a\n"
_EIGHT_BIT_RGB = (8, 2, 0, 0, 0)
_SUB = b"\x01"
"""Filter 1: each pixel as its difference to the one on its left."""


def write(stream: IO[bytes], size: tuple[int, int], bands: Iterable[Image.Image], text: str = "") -> None:
    """Write `bands` (RGB, all as wide as `size`, from the top) as one PNG; `text` becomes its `parameters`.

    Raises ValueError when the bands are not as high together as `size` says.
    """
    width, height = size
    stream.write(_MAGIC + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *_EIGHT_BIT_RGB)))
    if text:
        stream.write(_chunk(b"iTXt", b"parameters\0\0\0\0\0" + text.encode("utf-8")))
    packer = zlib.compressobj(6)
    rows = 0
    for band in bands:
        if band.width != width:
            raise ValueError(f"a band of {band.width} pixels in a picture of {width}")
        rows += band.height
        packed = packer.compress(_filtered(band))
        if packed:
            stream.write(_chunk(b"IDAT", packed))
    if rows != height:
        raise ValueError(f"{rows} rows in a picture of {height}")
    stream.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def _filtered(band: Image.Image) -> bytes:
    left = Image.new("RGB", band.size)
    left.paste(band, (1, 0))
    data = ImageChops.subtract_modulo(band, left).tobytes()
    step = 3 * band.width
    return b"".join(_SUB + data[start : start + step] for start in range(0, len(data), step))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
