"""Safe decoding: bytes of a figure to RGB pixels, or an error that says why not."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, UnidentifiedImageError

from biomedica_ray.images.rgb import to_rgb

FORMATS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"(II|MM)(\*\0|\0\*|\+\0|\0\+)",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "WEBP": rb"RIFF.{4}WEBP",
}
"""The formats that are decoded, and a pattern of the bytes that a file of each begins with.

PMC publishes its figures as JPEG, PNG and GIF; packages of authors and preprint servers hold TIFF. BMP and WebP cost
nothing: Pillow itself and one small library decode them. Whatever else a package may hold either needs an interpreter
(PDF, EPS, SVG: PMC has an image beside them) or is none of PMC's formats (JPEG 2000, AVIF, DICOM), and each further
decoder is one more that the bytes of strangers can reach.
"""

MAX_PIXELS = 178_956_970
"""Largest image that is decoded, in pixels, about 13,377 x 13,377: where Pillow itself refuses by default.

That is twice its ``MAX_IMAGE_PIXELS``, half a gigabyte as RGB. No figure needs more; a file beyond is taken for a
decompression bomb.
"""

MAX_SCANS = 500
"""Most scans of a JPEG. A progressive one has about ten, but may ask for any number of passes over all its pixels.

The bound of libjpeg-turbo's own fuzzers (fuzz/decompress.cc).
"""

_SCAN = rb"\xff\xda\0[\x06\x08\x0a\x0c][\x01-\x04]"
"""The marker that begins a scan, its length, and its number of components (ITU-T T.81, B.2.3)."""

MAX_FRAMES = 10_000
"""Most frames or pages of a file. To walk a TIFF's takes Pillow time that grows with the square of their number."""

# Of what Pillow warns (large images, odd metadata), a row or an ImageError tells. Said once for the process, since
# warnings.catch_warnings is not safe where several threads decode.
warnings.filterwarnings("ignore", module=r"PIL\.")

# How an image stored with an EXIF orientation is turned upright (Exif 3.0, 4.6.5.1.6, tag 0x0112).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """Bytes that give no image.

    Attributes:
        kind: ``empty-image`` (no bytes), ``not-an-image`` (none of :data:`FORMATS`), ``truncated-image``
            (begins as an image but does not decode) or ``image-bomb`` (over one of the limits here, or of Pillow's).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def decode(data: bytes) -> Image.Image:
    """Bytes of an image to its first frame in RGB, upright: the EXIF orientation is applied.

    Raises:
        ImageError: The bytes give no image; see its kinds.
    """
    rgb, _ = upright_rgb(open_image(data))
    return rgb


def open_image(data: bytes) -> Image.Image:
    """The image in some bytes, its header read and its pixels not yet.

    The format is told from the first bytes, never from a name.

    Raises:
        ImageError: The bytes give no image; see its kinds.
    """
    if not data:
        raise ImageError("empty-image", "the file has no bytes")
    begun = next((name for name, magic in FORMATS.items() if re.match(magic, data, re.DOTALL)), None)
    if begun is None:
        raise ImageError("not-an-image", f"none of {', '.join(FORMATS)}: begins with {data[:8]!r}")
    with _as_image_error(f"{begun} header in {len(data)} bytes"):
        image = Image.open(io.BytesIO(data), formats=[begun])
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError("image-bomb", f"{width} x {height} pixels are over the limit of {MAX_PIXELS}")
    if begun == "JPEG" and (scans := len(re.findall(_SCAN, data))) > MAX_SCANS:
        raise ImageError("image-bomb", f"JPEG of {scans} scans; at most {MAX_SCANS} are decoded")
    return image


def upright_rgb(image: Image.Image) -> tuple[Image.Image, int]:
    """The first frame of an image of :func:`open_image`, decoded, RGB and upright; and its EXIF orientation as stored.

    Raises:
        ImageError: The pixels do not decode.
    """
    with _as_image_error(f"{image.format} of {image.width} x {image.height} pixels"):
        if image.format == "TIFF":
            orientation = _orientation(image)
            image.load()  # turns it, and forgets the orientation
            return to_rgb(image), orientation
        image.load()  # before the metadata, which a PNG may have behind its pixels
        rgb, orientation = to_rgb(image), _orientation(image)
    if orientation == 1:
        return rgb, orientation
    upright = rgb.transpose(_TURNS[orientation])
    upright.info.clear()  # otherwise a reader that looks for an orientation would turn it again
    return upright, orientation


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation from 1 to 8; 1, upright, where an image has none."""
    try:
        value = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - whatever Pillow makes of damaged metadata, the pixels are whole
        return 1
    return value if value in _TURNS else 1


def count_frames(image: Image.Image) -> int:
    """Frames or pages of an image of :func:`open_image`, one in most formats; moves it off its first frame.

    Raises:
        ImageError: A later frame is broken, or there are more than :data:`MAX_FRAMES`.
    """
    with _as_image_error(f"{image.format}: a frame behind the first"):
        frames = _count_pages(image) if image.format == "TIFF" else int(getattr(image, "n_frames", 1))
    if frames > MAX_FRAMES:
        raise ImageError("image-bomb", f"{image.format} of more than {MAX_FRAMES} frames")
    return frames


def _count_pages(tiff: Image.Image) -> int:
    """Pages of a TIFF; one more than :data:`MAX_FRAMES` where there are more."""
    for page in range(1, MAX_FRAMES + 1):
        try:
            tiff.seek(page)
        except EOFError:
            return page
    return MAX_FRAMES + 1


@contextmanager
def _as_image_error(what: str) -> Iterator[None]:
    """Whatever Pillow raises in the block, as an ImageError; damaged bytes make its decoders raise almost anything."""
    try:
        yield
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("truncated-image", f"{what} does not decode") from error
    except Exception as error:
        # The limits on a PNG's compressed text are ValueErrors that name PngImagePlugin.MAX_TEXT_CHUNK or _MEMORY.
        bomb = isinstance(error, Image.DecompressionBombError) or "MAX_TEXT_" in str(error)
        kind = "image-bomb" if bomb else "truncated-image"
        raise ImageError(kind, f"{what} does not decode: {error or type(error).__name__}") from error
