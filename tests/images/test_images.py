"""Decoding and hashing, with images made here."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageFile

from biomedica_ray.images import ImageError, decode, read_image


def picture(width: int = 48, height: int = 32) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 5, y * 7, (x + y) * 3], axis=-1).astype(np.uint8), "RGB")


def encode(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_formats_are_told_from_the_bytes(format_: str) -> None:
    info = read_image(encode(picture(), format_))
    assert (info.format, info.width, info.height, info.n_frames) == (format_, 48, 32, 1)


def test_hashes_are_those_of_their_definitions() -> None:
    data = encode(picture())
    info = read_image(data)
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert info.pixel_sha256 == hashlib.sha256(b"P6\n48 32\n255\n" + picture().tobytes()).hexdigest()
    assert info.phash == int(str(imagehash.phash(picture())), 16)
    assert 0 <= info.phash < 2**64


def test_equal_pixels_hash_equally_in_every_lossless_format() -> None:
    infos = [read_image(encode(picture(), format_)) for format_ in ("PNG", "TIFF", "BMP")]
    assert len({info.pixel_sha256 for info in infos}) == 1
    assert len({info.sha256 for info in infos}) == 3
    turned = Image.frombytes("RGB", (32, 48), picture().tobytes())
    assert read_image(encode(turned)).pixel_sha256 != infos[0].pixel_sha256


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_become_rgb(mode: str) -> None:
    data = encode(picture().convert(mode))
    assert read_image(data).mode == mode
    assert (decode(data).mode, decode(data).size) == ("RGB", (48, 32))


def test_cmyk_becomes_rgb() -> None:
    data = encode(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "TIFF")
    assert read_image(data).mode == "CMYK"
    assert decode(data).getpixel((0, 0)) == (0, 255, 255)


def test_lab_becomes_rgb() -> None:
    red, green, blue = decode(encode(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF")).getpixel((0, 0))
    assert min(red, green, blue) > 240


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    data = encode(Image.fromarray(values))
    assert read_image(data).mode.startswith("I;16")
    assert [decode(data).getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 1, 128, 255)]


def test_floats_are_scaled_over_their_range() -> None:
    data = encode(Image.fromarray(np.array([[-1.0, 0.0, 1.0, np.nan]], dtype=np.float32)), "TIFF")
    assert [decode(data).getpixel((x, 0))[0] for x in range(4)] == [0, 128, 255, 0]


def test_transparency_lies_over_white() -> None:
    assert decode(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30])
    assert decode(encode(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encode(palette)).getpixel((0, 0)) == (10, 20, 30)


def test_decode_turns_upright_and_read_image_keeps_what_is_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(), "JPEG", exif=exif)
    assert decode(data).size == (32, 48)
    assert (read_image(data).width, read_image(data).height) == (48, 32)


def test_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for format_ in ("TIFF", "GIF"):
        data = encode(frames[0], format_, save_all=True, append_images=frames[1:])
        assert read_image(data).n_frames == 3
        assert decode(data).getpixel((0, 0)) == (255, 0, 0)
        assert read_image(data).pixel_sha256 == read_image(encode(frames[0])).pixel_sha256


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty-image"),
        (b"<html>404</html>", "not-an-image"),
        (b"%PDF-1.4", "not-an-image"),
        (encode(picture(), "PPM"), "not-an-image"),
        (encode(picture(400, 300), "JPEG")[:2000], "truncated-image"),
        (encode(picture(400, 300), "PNG")[:500], "truncated-image"),
        (encode(picture(400, 300), "TIFF")[:-5000], "truncated-image"),
        (bomb(), "image-bomb"),
    ],
)
@pytest.mark.parametrize("read", [read_image, decode])
def test_bad_bytes_say_what_they_are(read: object, data: bytes, kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(data)  # type: ignore[operator]
    assert caught.value.kind == kind
    assert len(str(caught.value)) > 10


def test_pillow_is_left_as_it_was() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
