from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from biomedica_ray.images import ImageError, decode, read_image
from biomedica_ray.images.strip import strip_jpeg
from tests.images.pictures import encode, picture

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8))


def exif() -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Artist] = "Dr Secret"
    found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (1.0, 2.0, 3.0)
    return found


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize("image", [picture(), NOISE], ids=["smooth", "noise"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 0, "quality": 100},
        {"restart_marker_rows": 1},
        {"keep_rgb": True},
        {"optimize": True, "dpi": (300, 300)},
    ],
    ids=str,
)
def test_pixels_stay_and_the_rest_goes(image: Image.Image, options: dict[str, Any]) -> None:
    plain = encode(image, "JPEG", **options)
    full = encode(image, "JPEG", exif=exif(), comment="Secret comment", icc_profile=b"Secret profile", **options)
    full += b"Secret behind the end"
    stripped = strip_jpeg(full)
    assert stripped is not None
    assert pixels(stripped) == pixels(full)
    assert b"Secret" not in stripped
    assert len(stripped) <= len(plain)
    assert read_image(stripped).dpi_x == read_image(plain).dpi_x
    assert strip_jpeg(stripped) == stripped


def test_inks_and_their_adobe_segment() -> None:
    full = encode(Image.new("CMYK", (16, 16), (200, 100, 0, 0)), "JPEG", comment="Secret")
    stripped = strip_jpeg(full)
    assert stripped is not None
    assert pixels(stripped) == pixels(full)
    assert b"Secret" not in stripped


def test_a_second_picture_goes() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "MPO", save_all=True, append_images=[NOISE])
    assert read_image(buffer.getvalue()).n_frames == 2
    stripped = strip_jpeg(buffer.getvalue())
    assert stripped is not None
    assert read_image(stripped).n_frames == 1
    assert pixels(stripped) == pixels(buffer.getvalue())


def test_a_thumbnail_in_the_jfif_segment_goes() -> None:
    data = encode(picture(), "JPEG")
    assert data[2:6] == b"\xff\xe0\x00\x10"
    thumbnail = b"\x01\x02" + b"PREVIEW" * 6
    large = data[:2] + b"\xff\xe0" + (16 + 42).to_bytes(2) + data[6:18] + thumbnail[:2] + thumbnail[2:] + data[20:]
    stripped = strip_jpeg(large)
    assert stripped == strip_jpeg(data) == data


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\x89PNG", b"\xff\xd8\xff\xe0\x00\x01", b"\xff\xd8\xff\xd8"])
def test_damaged(data: bytes) -> None:
    assert strip_jpeg(data) is None


@given(st.data())
def test_whatever_is_damaged_decodes_the_same_or_is_refused(data: st.DataObject) -> None:
    jpeg = bytearray(encode(picture(), "JPEG", exif=exif(), progressive=True))
    for _ in range(data.draw(st.integers(1, 3))):
        jpeg[data.draw(st.integers(2, len(jpeg) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(jpeg[: data.draw(st.integers(len(jpeg) // 2, len(jpeg)))])
    stripped = strip_jpeg(damaged)
    if stripped is None:
        return
    try:
        before = decode(damaged)
    except ImageError:
        return
    if read_image(damaged).orientation == 1:
        assert decode(stripped).tobytes() == before.tobytes()
