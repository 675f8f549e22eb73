"""A part of a decoded picture: a panel is cut out here for all who look at it, so that they see the same pixels."""

from __future__ import annotations

from PIL import Image

from biomedica_ray.images.decode import ImageError

Edges = tuple[int, int, int, int]
"""Left, top, right and bottom of a box, in pixels: it has the columns from left to before right."""


def crop(image: Image.Image, box: Edges) -> Image.Image:
    """The pixels of an image within a box.

    Raises:
        ImageError: The box is not within the image (kind bad-box).
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise ImageError("bad-box", f"box {box} is not within {image.width}x{image.height} pixels")
    return image.crop(box)
