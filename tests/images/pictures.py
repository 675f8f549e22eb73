"""Pictures made here, and files of them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
from PIL import Image


def picture(width: int = 48, height: int = 32) -> Image.Image:
    """Colours that no two pixels of a small picture share."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 5, y * 7, (x + y) * 3], axis=-1).astype(np.uint8), "RGB")


def encode(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    """A file of an image; ``options`` are Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def oriented(value: int) -> Image.Exif:
    """EXIF that names an orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def tiff(*pages: Sequence[tuple[int, int, int]], pixels: bytes = b"") -> bytes:
    """A little-endian TIFF written tag by tag: each page is (tag, type 3 or 4, value); the pixels lie at offset 8."""
    data = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    for number, page in enumerate(pages, 1):
        body = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in sorted(page))
        following = len(data) + 2 + len(body) + 4 if number < len(pages) else 0
        data += struct.pack("<H", len(page)) + body + struct.pack("<I", following)
    return data


def tiff_page(width: int, height: int, bits: int, photometric: int = 1) -> list[tuple[int, int, int]]:
    """Tags of a page of uncompressed grey values in one strip at offset 8."""
    size = (width * bits + 7) // 8 * height
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: size}
    return [(tag, 4, value) for tag, value in fields.items()]
