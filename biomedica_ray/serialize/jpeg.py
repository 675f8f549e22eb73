"""Images as the JPEG of a sample: the published pixels where they are a plain one already."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.colours import is_srgb
from biomedica_ray.images.decode import open_image
from biomedica_ray.images.strip import strip_jpeg

MAX_SIDE = 65535
"""Most pixels that the header of a JPEG can name (ITU-T T.81, B.2.2)."""


def as_jpeg(figure: dict[str, Any], quality: int, *, keep_metadata: bool = False) -> tuple[bytes, tuple[int, int]]:
    """The figure as an RGB JPEG in sRGB, and its width and height.

    A plain RGB JPEG keeps its pixels to the bit: what it carries beside them is cut off. Anything else is decoded and
    encoded once, with colours in full resolution (4:4:4), as thin coloured lines and letters are common in figures. So
    is a JPEG whose EXIF orientation says that its pixels are not upright, or whose ICC profile that its colours are not
    sRGB's, as few readers of datasets heed either; and one whose segments cannot be followed.

    Args:
        figure: image, format, mode, width, height and orientation of a row of the figures table.
        quality: Quality of the JPEG, from 1 to 100.
        keep_metadata: Leave a plain RGB JPEG as it is, byte by byte.

    Raises:
        ImageError: The image does not decode, or is too large for a JPEG (kind too-large).
    """
    data = figure["image"]
    if (figure["format"], figure["mode"], figure["orientation"]) == ("JPEG", "RGB", 1) and is_srgb(open_image(data)):
        plain = data if keep_metadata else strip_jpeg(data)
        if plain is not None:
            return plain, (figure["width"], figure["height"])
    image = decode(data)
    _check_side(image)
    return _encoded(image, quality), image.size


def crop_as_jpeg(image: Image.Image, box: tuple[int, int, int, int], quality: int) -> tuple[bytes, tuple[int, int]]:
    """A part of a decoded figure as an RGB JPEG with colours in full resolution, and its width and height.

    Args:
        image: The figure, upright, RGB, in sRGB.
        box: Left, top, right and bottom of the part in its pixels.
        quality: Quality of the JPEG, from 1 to 100.

    Raises:
        ImageError: The box is not within the image (kind bad-box), or too large for a JPEG (kind too-large).
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise ImageError("bad-box", f"box {box} is not within {image.width}x{image.height} pixels")
    part = image.crop(box)
    _check_side(part)
    return _encoded(part, quality), part.size


def _check_side(image: Image.Image) -> None:
    if max(image.size) > MAX_SIDE:
        raise ImageError("too-large", f"{image.width}x{image.height} pixels; a JPEG has at most {MAX_SIDE} a side")


def _encoded(image: Image.Image, quality: int) -> bytes:
    image.info.clear()  # of which Pillow would write the comment
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:4:4")
    return buffer.getvalue()
