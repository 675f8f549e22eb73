"""Safe decoding: bytes of a figure to RGB pixels, or an error that says why not."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 178_956_970
"""Largest image that is decoded, in pixels, about 13,377 x 13,377: where Pillow itself refuses by default.

That is twice its ``MAX_IMAGE_PIXELS``, half a gigabyte as RGB. No figure needs more; a file beyond is taken for a
decompression bomb.
"""

# What Pillow's decoders raise on damaged files of the formats above.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
)


class ImageError(ValueError):
    """Bytes that give no image.

    Attributes:
        kind: ``empty-image`` (no bytes or no pixels), ``not-an-image`` (none of :data:`FORMATS`), ``truncated-image``
            (begins as an image but does not decode) or ``image-bomb`` (over :data:`MAX_PIXELS`).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@contextmanager
def open_image(data: bytes) -> Iterator[Image.Image]:
    """The image in some bytes, its first frame decoded, closed at the end of the block.

    The format is told from the first bytes, never from a name.

    Raises:
        ImageError: The bytes give no image; see its kinds.
    """
    if not data:
        raise ImageError("empty-image", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            # Pillow warns from half its limit on; between that and the limit an image is just large.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("image-bomb", str(error)) from error
    except UnidentifiedImageError as error:
        raise ImageError("not-an-image", f"none of {', '.join(FORMATS)}: begins with {data[:8]!r}") from error
    except _DECODER_ERRORS as error:
        raise ImageError("truncated-image", f"header of {len(data)} bytes does not decode: {error}") from error
    with image:
        width, height = image.size
        if width * height == 0:
            raise ImageError("empty-image", f"{image.format} of {width} x {height} pixels")
        if width * height > MAX_PIXELS:
            raise ImageError("image-bomb", f"{width} x {height} pixels are over the limit of {MAX_PIXELS}")
        try:
            image.load()
        except _DECODER_ERRORS as error:
            message = f"{image.format} of {width} x {height} pixels in {len(data)} bytes does not decode: {error}"
            raise ImageError("truncated-image", message) from error
        yield image


def to_rgb(image: Image.Image) -> Image.Image:
    """The current frame as 8-bit RGB, the pixels as stored.

    Transparency is laid over white. Integers and floats of more than 8 bits are scaled linearly: unsigned 16-bit
    numbers from their full range, others from the range that they fill.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        return image.convert("RGB") if converted is None else converted
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def decode(data: bytes) -> Image.Image:
    """Bytes of an image to its first frame in RGB, upright: the EXIF orientation is applied.

    Raises:
        ImageError: The bytes give no image; see its kinds.
    """
    with open_image(data) as image:
        try:
            upright = ImageOps.exif_transpose(image)
        except _DECODER_ERRORS:
            # Damaged metadata says nothing of the orientation; the pixels are whole.
            upright = image
        rgb = to_rgb(upright)
        return rgb.copy() if rgb is image else rgb


def count_frames(image: Image.Image) -> int:
    """Frames or pages of an open image; moves it off its first frame.

    Raises:
        ImageError: A later frame is broken.
    """
    try:
        return int(getattr(image, "n_frames", 1))
    except _DECODER_ERRORS as error:
        raise ImageError("truncated-image", f"{image.format} has a broken frame behind the first: {error}") from error


def _scaled(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    else:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if low >= 0 and high <= 255 and image.mode != "F":
            low, high = 0.0, 255.0
        elif low >= 0 and 255 < high <= 65535 and image.mode != "F":
            low, high = 0.0, 65535.0
    span = high - low or 1.0
    scaled = np.clip((np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / span, 0.0, 1.0)
    return Image.fromarray((scaled * 255.0).round().astype(np.uint8), "L")
