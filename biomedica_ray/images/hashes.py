"""What is known of an image file from its bytes: size, format and three hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import imagehash
from PIL import Image

from biomedica_ray.images.decode import count_frames, open_image, to_rgb


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image file; the columns of the figures table that come from its bytes.

    Attributes:
        format: Pillow's name of the format: JPEG, PNG, GIF, TIFF, BMP, WEBP.
        mode: Pillow's pixel mode: RGB, L, P, CMYK, I;16.
        n_frames: Frames or pages; the first is used.
        width: Pixels, as stored.
        height: Pixels, as stored.
        sha256: SHA-256 of the bytes, hex.
        pixel_sha256: SHA-256 of the size and RGB pixels of the first frame, hex.
        phash: 64-bit perceptual hash of the first frame.
    """

    format: str
    mode: str
    n_frames: int
    width: int
    height: int
    sha256: str
    pixel_sha256: str
    phash: int


def read_image(data: bytes) -> ImageInfo:
    """Decode the first frame of an image and hash it.

    Raises:
        ImageError: The bytes give no image; see :class:`biomedica_ray.images.decode.ImageError`.
    """
    with open_image(data) as image:
        # A JPEG that carries further pictures (MPO) is a JPEG by its first bytes.
        format_ = "JPEG" if image.format == "MPO" else str(image.format)
        mode, (width, height) = image.mode, image.size
        pixels = to_rgb(image)
        pixel_sha256, phash = pixel_hash(pixels), perceptual_hash(pixels)
        n_frames = count_frames(image)
    return ImageInfo(
        format=format_,
        mode=mode,
        n_frames=n_frames,
        width=width,
        height=height,
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256,
        phash=phash,
    )


def pixel_hash(rgb: Image.Image) -> str:
    """SHA-256 of ``WIDTHxHEIGHT``, a line feed and the RGB bytes row by row, hex: equal for equal pixels."""
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}\n".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()


def perceptual_hash(image: Image.Image) -> int:
    """ImageHash's 64-bit ``phash`` (signs of the 8 x 8 lowest DCT frequencies against their median) as one integer."""
    return int(str(imagehash.phash(image)), 16)
