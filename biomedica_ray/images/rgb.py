"""Any of Pillow's pixel modes to 8-bit RGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from biomedica_ray.images.colours import MODES, to_srgb

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits per value of cameras and scanners, which are stored in the low bits of 16."""

_PIECE = 2**18
"""Values that are scaled at a time, as float64 in 2 MiB."""

_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO = 262, 0
"""Tag of a TIFF, and the value of it for images whose low values are bright (TIFF 6.0, section 8)."""


def to_rgb(image: Image.Image) -> Image.Image:
    """The current frame as 8-bit RGB in sRGB, the pixels as stored; the image itself where it is that.

    - Transparency is laid over white, the colour of a journal's page.
    - Grey values of more than 8 bits are scaled linearly. Integers that are not negative and fit into 16 bits are
      scaled from the fewest of 8, 10, 12, 14 or 16 bits that hold them all, so that 12-bit data in 16 bits are not
      black; others, and floats, from the least to the greatest finite value. Colours of 16 bits keep the upper 8.
    - An ICC profile is followed (:func:`biomedica_ray.images.colours.to_srgb`).
    - CMYK without one is converted as inks that only darken (R = 255 - C - K, in proportion). A JPEG's CMYK and YCCK
      are stored inverted, as Adobe does.
    - Lab is converted to sRGB.
    """
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        return image.convert("RGB") if converted is None else converted
    if image.mode.startswith("I") or image.mode == "F":
        return _in_srgb(Image.fromarray(_to_grey(image)), image)
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        alpha = layer.getchannel("A")
        colours = _in_srgb(image.convert("L") if grey else layer.convert("RGB"), image)
        if alpha.getextrema() == (255, 255):
            return colours
        colours.putalpha(alpha)
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    if image.mode in MODES:
        return to_srgb(image)
    return _in_srgb(image.convert("L" if grey else "RGB"), image)


def _in_srgb(colours: Image.Image, source: Image.Image) -> Image.Image:
    """Colours made from an image, in sRGB by the profile of that one."""
    colours.info = {name: value for name, value in source.info.items() if name == "icc_profile"}
    rgb = to_srgb(colours)
    rgb.info.clear()
    return rgb


def _to_grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Integers or floats, scaled as :func:`to_rgb` says, (height, width)."""
    values = np.asarray(image)
    known = values[np.isfinite(values)] if image.mode == "F" else values
    # Python's numbers, since the difference of two int32 need not be one.
    low, high = (known.min().item(), known.max().item()) if known.size else (0, 0)
    if image.mode != "F" and low >= 0 and high < 2**16:
        low, high = 0, 2 ** next(depth for depth in _DEPTHS if high < 2**depth) - 1
    grey = np.empty(values.size, np.uint8)
    for start in range(0, values.size, _PIECE):
        with np.errstate(invalid="ignore"):  # signalling NaN
            piece = values.reshape(-1)[start : start + _PIECE].astype(np.float64)
        np.nan_to_num(piece, copy=False, nan=low, posinf=high, neginf=low)
        grey[start : start + _PIECE] = ((piece - low) * (255 / ((high - low) or 1))).round()
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:  # Pillow inverts only images of up to 8 bits
        np.subtract(255, grey, out=grey)
    return grey.reshape(values.shape)
