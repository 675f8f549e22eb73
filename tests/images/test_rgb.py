"""Every pixel mode to RGB, by value."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from biomedica_ray.images import decode, read_image
from tests.images.pictures import encode, picture, tiff, tiff_page


def grey(data: bytes) -> list[int]:
    """Grey values of the first row of what ``decode`` gives, which must be grey."""
    pixels = np.asarray(decode(data))
    assert (pixels == pixels[..., :1]).all()
    return [int(value) for value in pixels[0, :, 0]]


def tiff_of(values: npt.NDArray[np.generic], **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_become_rgb(mode: str) -> None:
    data = encode(picture().convert(mode))
    assert read_image(data).mode == mode
    assert decode(data).mode == "RGB"
    assert decode(data).tobytes() == picture().convert(mode).convert("RGB").tobytes()


def test_cmyk_is_of_inks() -> None:
    data = encode(Image.new("CMYK", (4, 4), (255, 0, 51, 51)), "TIFF")
    assert read_image(data).mode == "CMYK"
    assert decode(data).getpixel((0, 0)) == (0, 204, 163)


def test_cmyk_jpeg_is_inverted_as_adobe_does() -> None:
    data = encode(Image.new("CMYK", (16, 16), (200, 100, 0, 0)), "JPEG", quality=100)
    assert read_image(data).mode == "CMYK"
    assert decode(data).getpixel((8, 8)) == pytest.approx((55, 155, 255), abs=1)


def test_ycck_jpeg() -> None:
    # The same scans, declared as YCCK in Adobe's APP14: Y 155, Cb 128 + 40, Cr 128, K 255 (no black) as stored.
    data = bytearray(encode(Image.new("CMYK", (16, 16), (100, 87, 127, 0)), "JPEG", quality=100))
    data[data.index(b"Adobe") + 11] = 2
    expected = (155, 155 - 0.344136 * 40, 155 + 1.772 * 40)
    red, green, blue = decode(bytes(data)).getpixel((8, 8))
    # libjpeg gives C = 255 - R, and Pillow takes the stored values for inverted ones.
    assert (255 - red, 255 - green, 255 - blue) == pytest.approx(expected, abs=1.5)


def test_lab_becomes_srgb() -> None:
    # CIELAB (D50) of sRGB's white, black and red, from Bruce Lindbloom's calculator.
    colours = {(100, 0, 0): (255, 255, 255), (0, 0, 0): (0, 0, 0), (54.29, 80.81, 69.89): (255, 0, 0)}
    for (lightness, a, b), rgb in colours.items():
        stored = np.array([[[round(lightness * 2.55), round(a) % 256, round(b) % 256]]], np.uint8)
        data = tiff_of(stored, photometric="cielab")
        assert read_image(data).mode == "LAB"
        assert decode(data).getpixel((0, 0)) == pytest.approx(rgb, abs=6)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ([0, 257, 32896, 65535], [0, 1, 128, 255]),
        ([0, 16, 2056, 4095], [0, 1, 128, 255]),
        ([0, 1, 512, 1023], [0, 0, 128, 255]),
        ([0, 1, 128, 255], [0, 1, 128, 255]),
        ([0, 0, 0, 3000], [0, 0, 0, 187]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_sixteen_bits_are_scaled_from_the_depth_that_holds_them(
    stored: list[int], shown: list[int], byteorder: str
) -> None:
    values = np.array([stored], np.uint16)
    data = tiff_of(values, byteorder=byteorder, photometric="minisblack")
    assert read_image(data).mode.startswith("I;16")
    assert grey(data) == shown
    assert grey(encode(Image.fromarray(values))) == shown


def test_low_values_are_bright_where_white_is_zero() -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert grey(tiff(tiff_page(4, 1, 16, photometric=0), pixels=values.tobytes())) == [255, 254, 127, 0]
    assert grey(tiff(tiff_page(4, 1, 8, photometric=0), pixels=bytes([0, 1, 128, 255]))) == [255, 254, 127, 0]
    assert grey(tiff(tiff_page(4, 1, 1, photometric=0), pixels=b"\x30")) == [255, 255, 0, 0]
    assert grey(tiff(tiff_page(4, 1, 1, photometric=1), pixels=b"\x30")) == [0, 0, 255, 255]


def test_signed_and_wide_integers_are_scaled_over_their_range() -> None:
    assert grey(tiff_of(np.array([[-1024, 0, 1024, 3076]], np.int16))) == [0, 64, 127, 255]
    assert grey(tiff_of(np.array([[-(2**31), 0, 2**31 - 1]], np.int32))) == [0, 128, 255]
    assert grey(tiff_of(np.array([[7, 7]], np.int32))) == [7, 7]


def test_floats_are_scaled_over_their_range() -> None:
    values = np.array([[-1.0, 0.0, 1.0, np.nan, np.inf, -np.inf]], np.float32)
    assert grey(tiff_of(values)) == [0, 128, 255, 0, 255, 0]
    assert grey(tiff_of(np.array([[np.nan, np.inf]], np.float32))) == [0, 0]
    assert grey(tiff_of(np.array([[3.5, 3.5]], np.float32))) == [0, 0]


def test_large_images_are_scaled_in_pieces() -> None:
    values = np.arange(65536, dtype=np.uint16).repeat(10).reshape(640, 1024)
    shown = np.asarray(decode(encode(Image.fromarray(values))))[..., 0]
    assert (shown == np.round(values / 257)).all()


def test_colours_of_sixteen_bits_keep_the_upper_eight() -> None:
    values = np.array([[[0x12FF, 0x8000, 0xFFFF]]], np.uint16)
    assert decode(tiff_of(values, photometric="rgb")).getpixel((0, 0)) == (0x12, 0x80, 0xFF)


@pytest.mark.parametrize(
    ("mode", "colour", "shown"),
    [
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("RGBA", (200, 100, 0, 51), (244, 224, 204)),
        ("LA", (0, 51), (204, 204, 204)),
        ("LA", (7, 255), (7, 7, 7)),
    ],
)
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_alpha_lies_over_white(mode: str, colour: tuple[int, ...], shown: tuple[int, ...], format_: str) -> None:
    assert decode(encode(Image.new(mode, (2, 2), colour), format_)).getpixel((0, 0)) == shown


@pytest.mark.parametrize("format_", ["PNG", "GIF"])
def test_a_palette_may_be_transparent(format_: str) -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    clear, solid = decode(encode(palette, format_, transparency=0)), decode(encode(palette, format_))
    assert [clear.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (40, 50, 60)]
    assert [solid.getpixel((x, 0)) for x in range(2)] == [(10, 20, 30), (40, 50, 60)]


def test_a_palette_may_be_partly_transparent() -> None:
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([200, 100, 0])
    assert decode(encode(palette, transparency=bytes([51]))).getpixel((0, 0)) == (244, 224, 204)


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (1, 2, 3)), ("L", 5)])
def test_one_colour_may_be_transparent(mode: str, colour: tuple[int, ...] | int) -> None:
    assert decode(encode(Image.new(mode, (1, 1), colour), transparency=colour)).getpixel((0, 0)) == (255, 255, 255)
