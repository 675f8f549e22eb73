"""What layouts yield as RGB images: files of all formats that are decoded elsewhere, arrays, and DICOM."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

from biomedica_ray.evaluate.layouts.base import Pixels
from biomedica_ray.images import ImageError, decode
from biomedica_ray.messages import one_line

_PREAMBLE, _MAGIC = 128, b"DICM"
"""Where a DICOM file says that it is one (DICOM PS3.10, 7.1)."""


def to_rgb(image: bytes | Pixels, window: tuple[float, float]) -> Pillow.Image:
    """An RGB image.

    Args:
        image: A file's bytes, or pixels of shape (H, W) or (H, W, 3).
        window: Percentiles of a DICOM image's values that become black and white.

    Raises:
        ImageError: The bytes give no image.
    """
    if not isinstance(image, bytes):
        return Pillow.fromarray(image).convert("RGB")
    if image[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC:
        return Pillow.fromarray(_dicom(image, window)).convert("RGB")
    return decode(image)


def _dicom(data: bytes, window: tuple[float, float]) -> Pixels:
    """The first frame, (H, W) or (H, W, 3); light and dark as MONOCHROME2 has them (DICOM PS3.3, C.7.6.3.1.2)."""
    try:
        import pydicom  # noqa: PLC0415
        from pydicom.pixels.utils import pixel_array  # noqa: PLC0415
    except ImportError:
        raise ImageError(
            "no-decoder", "DICOM needs the package pydicom: pip install 'biomedica_ray[evaluate]'"
        ) from None
    try:
        document = pydicom.dcmread(io.BytesIO(data))
        pixels = pixel_array(document)
    except Exception as error:  # damaged files make pydicom and its decoders raise almost anything
        raise ImageError("truncated-image", f"DICOM does not decode: {one_line(error)}") from error
    if int(getattr(document, "NumberOfFrames", 1) or 1) > 1:
        pixels = pixels[0]
    if pixels.ndim == 3 and pixels.dtype == np.uint8:
        colour: Pixels = pixels
        return colour
    low, high = np.percentile(pixels, window)
    scaled = (pixels.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    grey: Pixels = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    inverted = str(getattr(document, "PhotometricInterpretation", "")) == "MONOCHROME1"
    return np.uint8(255) - grey if inverted else grey
