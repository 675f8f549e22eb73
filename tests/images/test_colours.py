"""Colours by ICC profiles, by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from biomedica_ray.images import decode
from biomedica_ray.images.colours import is_srgb, to_srgb
from tests.images.icc import ADOBE_RGB, SRGB, cmyk_profile, grey_profile, rgb_profile
from tests.images.pictures import encode, picture

ADOBE = rgb_profile(ADOBE_RGB, 563 / 256)
COLOUR = (200, 120, 60)


def encoded_srgb(linear: Any) -> tuple[int, ...]:
    """Linear light to sRGB (IEC 61966-2-1), 0 to 255."""
    light = np.clip(linear, 0, 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return tuple(int(value) for value in (values * 255).round().ravel())


def from_adobe_rgb(colour: tuple[int, ...]) -> tuple[int, ...]:
    xyz = (np.array(colour) / 255) ** (563 / 256) @ np.array(ADOBE_RGB)
    return encoded_srgb(xyz @ np.linalg.inv(np.array(SRGB)))


def with_profile(image: Image.Image, profile: bytes, format_: str = "PNG", **options: Any) -> bytes:
    return encode(image, format_, icc_profile=profile, **options)


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "JPEG"])
def test_colours_of_another_space(format_: str) -> None:
    assert from_adobe_rgb(COLOUR) != pytest.approx(COLOUR, abs=15)
    options = {"quality": 100, "subsampling": 0} if format_ == "JPEG" else {}
    rgb = decode(with_profile(Image.new("RGB", (8, 8), COLOUR), ADOBE, format_, **options))
    assert rgb.getpixel((4, 4)) == pytest.approx(from_adobe_rgb(COLOUR), abs=2)
    assert "icc_profile" not in rgb.info
    white = decode(with_profile(Image.new("RGB", (8, 8), "white"), ADOBE, format_))
    assert white.getpixel((4, 4)) == pytest.approx((255, 255, 255), abs=1)


def test_what_is_transparent_lies_over_white_in_srgb() -> None:
    layer = Image.new("RGBA", (2, 1), (*COLOUR, 255))
    layer.putpixel((1, 0), (*COLOUR, 51))
    solid, faint = (decode(with_profile(layer, ADOBE)).getpixel((x, 0)) for x in (0, 1))
    assert solid == pytest.approx(from_adobe_rgb(COLOUR), abs=2)
    assert faint == pytest.approx([0.8 * 255 + 0.2 * each for each in from_adobe_rgb(COLOUR)], abs=2)


def test_a_palette() -> None:
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette(COLOUR)
    assert decode(with_profile(palette, ADOBE)).getpixel((0, 0)) == pytest.approx(from_adobe_rgb(COLOUR), abs=2)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_values(mode: str) -> None:
    value = 128 * 257 if mode == "I;16" else 128
    image = Image.new(mode, (2, 2), (value, 255) if mode == "LA" else value)
    if mode == "I;16":
        image.putpixel((1, 1), 65535)
    shown = decode(with_profile(image, grey_profile(1.0))).getpixel((0, 0))
    assert shown == pytest.approx(encoded_srgb([128 / 255] * 3), abs=1)


@pytest.mark.parametrize("format_", ["TIFF", "JPEG"])
def test_inks(format_: str) -> None:
    profile = cmyk_profile((128, 128, 128))  # cyan is a mid grey, L* 50
    for ink, shown in (((255, 0, 0, 0), 119), ((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0)):
        rgb = decode(with_profile(Image.new("CMYK", (8, 8), ink), profile, format_))
        assert rgb.getpixel((4, 4)) == pytest.approx([shown] * 3, abs=2)


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(SRGB, 2.2)[:200],
        b"no profile",
        b"",
        grey_profile(1.0),
        cmyk_profile((128, 128, 128)),
        ADOBE + bytes(5 * 2**20),
    ],
    ids=["srgb", "cut", "text", "empty", "grey", "inks", "huge"],
)
def test_profiles_that_change_nothing(profile: bytes) -> None:
    image = picture()
    image.info["icc_profile"] = profile
    assert is_srgb(image)
    assert to_srgb(image) is image
