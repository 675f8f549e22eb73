"""The colours that a file's ICC profile gives its pixels, as sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

MODES = ("RGB", "L", "CMYK")
"""Pixel modes that profiles are for: colours of light, grey, inks."""

UNMOVED = 2
"""Most that a colour may move, of 255, for a profile to count as sRGB.

The variants of sRGB that cameras and programs write differ from each other by as much, and no eye sees it.
"""

MAX_PROFILE_BYTES = 4 * 2**20
"""Largest profile that is read. Those of printing inks, with tables for each way of printing, take up to 2 MiB."""

_STEPS = np.linspace(0, 255, 9).round().astype(np.uint8)


def to_srgb(image: Image.Image) -> Image.Image:
    """An image of one of :data:`MODES` as RGB in sRGB, by the profile in its ``info``; itself where it is that.

    Relative colorimetric with black point compensation, as browsers and Photoshop convert: white stays white. A profile
    that counts as sRGB (:data:`UNMOVED`), is broken, or is for other kinds of colours changes nothing.
    """
    transform = _transform_of(image)
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return _applied(transform, image)


def is_srgb(image: Image.Image) -> bool:
    """Whether :func:`to_srgb` would leave the colours of an image of one of :data:`MODES` as they are."""
    return _transform_of(image) is None


def _transform_of(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return None
    return _transform(profile, image.mode)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What turns pixels of a mode into sRGB; None where a profile changes nothing or cannot be used."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    colours = _colours(mode)
    moved = _pixels(_applied(transform, colours)) - _pixels(colours.convert("RGB"))
    return transform if np.abs(moved).max() > UNMOVED else None


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = transform.apply(image)
    converted.info.clear()  # Pillow leaves sRGB's profile there
    return converted


def _colours(mode: str) -> Image.Image:
    """A line of colours from all over a mode's space."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.stack(np.meshgrid(*[_STEPS] * bands), axis=-1).reshape(1, -1, bands)
    return Image.frombytes(mode, (values.shape[1], 1), values.tobytes())


def _pixels(image: Image.Image) -> npt.NDArray[np.int16]:
    return np.asarray(image, np.int16)
