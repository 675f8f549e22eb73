"""Images as the JPEG of a sample: as published where that is one already."""

from __future__ import annotations

import io
from typing import Any

from biomedica_ray.images import ImageError, decode

MAX_SIDE = 65535
"""Most pixels that the header of a JPEG can name (ITU-T T.81, B.2.2)."""


def as_jpeg(figure: dict[str, Any], quality: int) -> tuple[bytes, tuple[int, int]]:
    """The figure as an RGB JPEG, and its width and height.

    A plain RGB JPEG stays as it is, byte by byte; anything else is decoded and encoded once. So is a JPEG whose EXIF
    orientation says that its pixels are not upright, as few readers of datasets turn them.

    Args:
        figure: image, format, mode, width, height and orientation of a row of the figures table.
        quality: Quality of the JPEG, from 1 to 100.

    Raises:
        ImageError: The image does not decode, or is too large for a JPEG (kind too-large).
    """
    if (figure["format"], figure["mode"], figure["orientation"]) == ("JPEG", "RGB", 1):
        return figure["image"], (figure["width"], figure["height"])
    image = decode(figure["image"])
    if max(image.size) > MAX_SIDE:
        raise ImageError("too-large", f"{image.width}x{image.height} pixels; a JPEG has at most {MAX_SIDE} a side")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), image.size
