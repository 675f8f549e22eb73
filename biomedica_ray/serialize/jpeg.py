"""Images as the JPEG of a sample: the published pixels where they are a plain one already."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

from PIL import Image

from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.colours import is_srgb
from biomedica_ray.images.crop import Edges, crop
from biomedica_ray.images.decode import open_image
from biomedica_ray.images.strip import strip_jpeg
from biomedica_ray.serialize.profiles import Profile

MAX_SIDE = 65535
"""Most pixels that the header of a JPEG can name (ITU-T T.81, B.2.2)."""


class Picture(NamedTuple):
    """A picture as it goes into a sample.

    Attributes:
        jpg: The JPEG.
        size: Its width and height.
        of: Width and height of the upright figure, or of the part of it, that it was made of.
        converted: Whether its pixels are others than the published ones; where they are a part of them, they are.
    """

    jpg: bytes
    size: tuple[int, int]
    of: tuple[int, int]
    converted: bool


def as_jpeg(figure: dict[str, Any], profile: Profile) -> Picture:
    """The figure as an RGB JPEG in sRGB.

    A plain RGB JPEG keeps its pixels to the bit: what it carries beside them is cut off. Anything else is decoded and
    encoded once, with colours in full resolution (4:4:4), as thin coloured lines and letters are common in figures. So
    is a JPEG whose EXIF orientation says that its pixels are not upright, or whose ICC profile that its colours are not
    sRGB's, as few readers of datasets heed either; one whose segments cannot be followed; and one that is too large.

    Args:
        figure: image, format, mode, width, height and orientation of a row of the figures table.
        profile: How large the picture may be, the quality of what is encoded, and whether metadata stay.

    Raises:
        ImageError: The image does not decode, or is too large for a JPEG (kind too-large).
    """
    data = figure["image"]
    is_plain = (figure["format"], figure["mode"], figure["orientation"]) == ("JPEG", "RGB", 1)
    if is_plain and _fits((figure["width"], figure["height"]), profile) and is_srgb(open_image(data)):
        plain = data if profile.keep_metadata else strip_jpeg(data)
        if plain is not None:
            size = figure["width"], figure["height"]
            return Picture(plain, size, size, converted=False)
    return _made(decode(data), profile)


def crop_as_jpeg(image: Image.Image, box: Edges, profile: Profile) -> Picture:
    """A part of a decoded figure as an RGB JPEG with colours in full resolution.

    Args:
        image: The figure, upright, RGB, in sRGB.
        box: Left, top, right and bottom of the part in its pixels.
        profile: How large the picture may be, and the quality.

    Raises:
        ImageError: The box is not within the image (kind bad-box), or too large for a JPEG (kind too-large).
    """
    return _made(crop(image, box), profile)


def _fits(size: tuple[int, int], profile: Profile) -> bool:
    return profile.longest_side is None or max(size) <= profile.longest_side


def _made(image: Image.Image, profile: Profile) -> Picture:
    """An image as it is encoded, smaller where it has to be (Lanczos); raises ImageError where it is too large."""
    of = image.size
    if profile.longest_side is not None and not _fits(of, profile):
        factor = profile.longest_side / max(of)
        width, height = (max(1, round(side * factor)) for side in of)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    if max(image.size) > MAX_SIDE:
        raise ImageError("too-large", f"{image.width}x{image.height} pixels; a JPEG has at most {MAX_SIDE} a side")
    image.info.clear()  # of which Pillow would write the comment
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=profile.quality, subsampling="4:4:4")
    return Picture(buffer.getvalue(), image.size, of, converted=True)
