"""What is known of an image file from its bytes: size, format, resolution, three hashes and a thumbnail."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import IO, Any, cast

import imagehash
from PIL import ExifTags, Image

from biomedica_ray.images.decode import count_frames, open_image, upright_rgb
from biomedica_ray.images.thumbnails import thumbnail

_INCHES = {2: 1.0, 3: 2.54}
"""Units per inch, by the tag ResolutionUnit of TIFF and EXIF: inch and centimetre (TIFF 6.0, section 8)."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image file; the columns of the figures table that come from its bytes.

    Attributes:
        format: Pillow's name of the format: JPEG, PNG, GIF, TIFF, BMP, WEBP.
        mode: Pillow's pixel mode: RGB, L, P, CMYK, I;16.
        n_frames: Frames or pages; the first is used.
        width: Pixels, as stored.
        height: Pixels, as stored.
        orientation: EXIF orientation from 1, upright as stored; from 5 on, upright is ``height`` wide.
        dpi_x: Pixels per inch across as stored, None where the file does not say.
        dpi_y: Pixels per inch down as stored.
        sha256: SHA-256 of the bytes, hex.
        pixel_sha256: SHA-256 of the first frame, RGB and upright, hex; see :func:`pixel_hash`.
        phash: 64-bit perceptual hash of the first frame, RGB and upright; see :func:`perceptual_hash`.
        thumbnail: 1024 bytes, grey values of the same; see :func:`biomedica_ray.images.thumbnails.thumbnail`.
    """

    format: str
    mode: str
    n_frames: int
    width: int
    height: int
    orientation: int
    dpi_x: float | None
    dpi_y: float | None
    sha256: str
    pixel_sha256: str
    phash: int
    thumbnail: bytes


def read_image(data: bytes) -> ImageInfo:
    """Decode the first frame of an image once, hash it and make its thumbnail.

    Raises:
        ImageError: The bytes give no image; see :class:`biomedica_ray.images.decode.ImageError`.
    """
    image = open_image(data)
    rgb, orientation = upright_rgb(image)
    width, height = image.size
    if image.format == "TIFF" and orientation > 4:
        # Pillow gives the size that a TIFF has when turned.
        width, height = height, width
    dpi_x, dpi_y = resolution(image)
    pixel_sha256, phash, small = pixel_hash(rgb), perceptual_hash(rgb), thumbnail(rgb).tobytes()
    return ImageInfo(
        # A JPEG that carries further pictures (MPO) is a JPEG by its first bytes.
        format="JPEG" if image.format == "MPO" else str(image.format),
        mode=image.mode,
        n_frames=count_frames(image),  # last of what asks the image, which moves off its first frame
        width=width,
        height=height,
        orientation=orientation,
        dpi_x=dpi_x,
        dpi_y=dpi_y,
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256,
        phash=phash,
        thumbnail=small,
    )


def resolution(image: Image.Image) -> tuple[float | None, float | None]:
    """Pixels per inch across and down of an image that :func:`upright_rgb` has decoded, None where the file has none.

    From JFIF's density, PNG's pHYs, BMP's header, or the tags of TIFF and EXIF. Pillow's ``info["dpi"]`` has 72 for a
    JPEG whose EXIF is incomplete, and 1 for a TIFF without the tags; neither is taken.
    """
    if image.format in ("PNG", "BMP") or image.info.get("jfif_unit") in (1, 2):
        x, y = image.info.get("dpi", (None, None))
        return _positive(x), _positive(y)
    try:
        exif = image.getexif()
    except Exception:  # noqa: BLE001 - whatever Pillow makes of damaged metadata, the pixels are whole
        return None, None
    unit = _INCHES.get(exif.get(ExifTags.Base.ResolutionUnit, 2))
    x, y = _positive(exif.get(ExifTags.Base.XResolution)), _positive(exif.get(ExifTags.Base.YResolution))
    return (x * unit if x and unit else None), (y * unit if y and unit else None)


def _positive(value: Any) -> float | None:
    """A number read from a file, None where it cannot be a resolution."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if 0 < number < math.inf else None


class _Digest:
    """A file to write to, of which only the SHA-256 is kept."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.write = self.sha256.update


def pixel_hash(rgb: Image.Image) -> str:
    """SHA-256 of an RGB image as a binary PPM file, hex: equal for equal pixels.

    The file is ``P6``, width and height, ``255``, and the RGB bytes row by row (netpbm's ppm(5)); it is hashed in
    pieces as it is made, so that no second copy of the pixels is.
    """
    digest = _Digest()
    rgb.save(cast("IO[bytes]", digest), "PPM")
    return digest.sha256.hexdigest()


def perceptual_hash(image: Image.Image) -> int:
    """ImageHash's 64-bit ``phash`` (signs of the 8 x 8 lowest DCT frequencies against their median) as one integer.

    It is taken of the full image. No reduced decode is equal bit for bit: of 185 JPEG figures of real articles, 103
    hash otherwise when libjpeg shrinks them towards 64 x 64 as it decodes, 23 when it decodes their luma alone, and 61
    when Pillow shrinks by boxes first (``reducing_gap=3``).
    """
    return int(str(imagehash.phash(image)), 16)
