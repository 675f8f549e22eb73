"""What is read of an image file: format, size, orientation, resolution, frames and hashes."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from biomedica_ray.images import ImageError, decode, read_image
from biomedica_ray.images.colours import is_srgb
from biomedica_ray.images.thumbnails import thumbnail
from tests.images.pictures import encode, oriented, picture, tiff, tiff_page


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


# Pixels as stored of an upright picture (height, width, 3): the sides at which row 0 and column 0 lie (Exif 3.0).
STORED = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright.swapaxes(0, 1)[::-1],  # right, top
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],  # left, bottom
}
EXACTLY = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("value", STORED)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_all_orientations_are_turned_upright(format_: str, value: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[value](np.asarray(picture()))))
    data = encode(stored, format_, exif=oriented(value), **EXACTLY.get(format_, {}))
    info = read_image(data)
    assert (info.orientation, info.width, info.height) == (value, *stored.size)
    upright = decode(data)
    assert upright.size == (48, 32)
    assert np.abs(np.asarray(upright, int) - np.asarray(picture(), int)).max() <= (8 if format_ == "JPEG" else 0)
    assert ImageOps.exif_transpose(upright).size == (48, 32)
    assert info.pixel_sha256 == ppm_sha256(upright)
    assert info.phash == int(str(imagehash.phash(upright)), 16)


def ppm_sha256(image: Image.Image) -> str:
    width, height = image.size
    return hashlib.sha256(f"P6\n{width} {height}\n255\n".encode() + image.tobytes()).hexdigest()


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_absurd_orientations_are_upright(value: int) -> None:
    data = encode(picture(), "PNG", exif=oriented(value))
    assert read_image(data).orientation == 1
    assert decode(data).tobytes() == picture().tobytes()


def test_damaged_metadata_leave_the_pixels() -> None:
    data = encode(picture(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(40))
    info = read_image(data)
    assert (info.orientation, info.dpi_x, info.pixel_sha256) == (1, None, ppm_sha256(picture()))


def test_orientation_behind_the_pixels_of_a_png() -> None:
    data = encode(picture(), exif=oriented(6))
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + struct.unpack(">I", data[at : at + 4])[0]]
    moved = data.replace(chunk, b"")[:-12] + chunk + data[-12:]
    assert decode(moved).size == decode(data).size == (32, 48)
    assert read_image(moved).orientation == 6


@pytest.mark.parametrize(
    ("format_", "options", "dpi"),
    [
        ("JPEG", {"dpi": (300, 150)}, (300, 150)),
        ("JPEG", {}, (None, None)),
        ("PNG", {"dpi": (300, 150)}, (299.9994, 150.0124)),
        ("PNG", {}, (None, None)),
        ("TIFF", {"dpi": (300, 150)}, (300, 150)),
        ("TIFF", {"x_resolution": 100, "y_resolution": 50, "resolution_unit": 3}, (254, 127)),
        ("TIFF", {"x_resolution": 4, "y_resolution": 3, "resolution_unit": 1}, (None, None)),
        ("TIFF", {}, (None, None)),
        ("BMP", {"dpi": (300, 150)}, (300, 150)),
        ("GIF", {}, (None, None)),
        ("WEBP", {}, (None, None)),
    ],
)
def test_resolution(format_: str, options: dict[str, object], dpi: tuple[float | None, float | None]) -> None:
    info = read_image(encode(picture(), format_, **options))
    assert (info.dpi_x, info.dpi_y) == tuple(value and pytest.approx(value, abs=0.02) for value in dpi)


def test_resolution_of_exif() -> None:
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 200.0, 100.0, 3
    info = read_image(encode(picture(), "JPEG", exif=exif))
    assert (info.dpi_x, info.dpi_y) == (508, 254)
    # Pillow itself says 72 where EXIF has none.
    info = read_image(encode(picture(), "JPEG", exif=oriented(1)))
    assert (info.dpi_x, info.dpi_y) == (None, None)


def test_a_density_without_a_unit_is_no_resolution() -> None:
    data = bytearray(encode(picture(), "JPEG", dpi=(300, 300)))
    data[data.index(b"JFIF") + 7] = 0
    assert read_image(bytes(data)).dpi_x is None
    data[data.index(b"JFIF") + 7] = 2
    assert read_image(bytes(data)).dpi_x == pytest.approx(762)


@pytest.mark.parametrize("format_", ["TIFF", "GIF", "PNG", "WEBP", "MPO"])
def test_the_first_frame_counts(format_: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    data = encode(frames[0], format_, save_all=True, append_images=frames[1:], **EXACTLY.get(format_, {}))
    info = read_image(data)
    assert (info.format, info.n_frames) == ("JPEG" if format_ == "MPO" else format_, 3)
    assert decode(data).getpixel((0, 0)) == pytest.approx((255, 0, 0), abs=2)
    assert info.pixel_sha256 == ppm_sha256(decode(data))
    assert info.thumbnail == thumbnail(decode(data)).tobytes()


def test_pages_may_differ_in_size_and_kind() -> None:
    data = tiff(tiff_page(4, 1, 8), tiff_page(2, 1, 16), tiff_page(8, 1, 1), pixels=b"\1\2\3\4")
    info = read_image(data)
    assert (info.n_frames, info.width, info.mode) == (3, 4, "L")
    assert decode(data).tobytes() == bytes([1] * 3 + [2] * 3 + [3] * 3 + [4] * 3)


def random_pictures() -> list[Image.Image]:
    """Noise, plain colours, ramps and stripes of many sizes: among them many whose frequencies are equal or zero."""
    generator = np.random.default_rng(0)
    pictures = [picture(), picture(32, 32), picture(1, 1), picture(7, 90), Image.new("RGB", (50, 20), "white")]
    for _ in range(60):
        height, width = generator.integers(1, 150, 2)
        noise = generator.integers(0, 256, (height, width, 3))
        sparse = np.where(noise[..., :1] > 250, 0, 255).repeat(3, axis=2)
        stripes = np.broadcast_to((np.arange(width) // 8 % 2 * 255)[None, :, None], (height, width, 3))
        pictures += [Image.fromarray(pixels.astype(np.uint8)) for pixels in (noise, sparse, stripes)]
    return pictures


def test_phash_is_imagehash_s_bit_for_bit() -> None:
    for image in random_pictures():
        for mode in ("RGB", "L", "1", "P"):
            data = encode(image.convert(mode))
            assert read_image(data).phash == int(str(imagehash.phash(Image.open(io.BytesIO(data)))), 16)


@pytest.mark.corpus
def test_real_figures_are_hashed_as_by_imagehash(corpus: Path) -> None:
    count = 0
    for path in sorted((corpus / "packages").rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        try:
            info = read_image(data)
        except ImageError as error:
            assert error.kind == "not-an-image", path  # XML
            continue
        count += 1
        assert info.sha256 == hashlib.sha256(data).hexdigest()
        with Image.open(io.BytesIO(data)) as image:
            assert (info.width, info.height, info.n_frames) == (*image.size, getattr(image, "n_frames", 1)), path
            if not image.has_transparency_data and is_srgb(image):
                assert info.phash == int(str(imagehash.phash(image)), 16), path
        assert info.pixel_sha256 == ppm_sha256(decode(data)), path
    assert count == 372


def test_a_reduced_decode_would_hash_otherwise() -> None:
    """Why ``perceptual_hash`` takes the full image: JPEG's reduced and grey-only decodes give other bits."""
    differing = {"reduced": 0, "grey": 0}
    generator = np.random.default_rng(0)
    for _ in range(40):
        data = encode(Image.fromarray(generator.integers(0, 256, (120, 160, 3), dtype=np.uint8)), "JPEG")
        for way, (mode, size) in {"reduced": ("RGB", (20, 15)), "grey": ("L", (160, 120))}.items():
            drafted = Image.open(io.BytesIO(data))
            drafted.draft(mode, size)
            differing[way] += int(str(imagehash.phash(drafted)), 16) != read_image(data).phash
    assert min(differing.values()) > 0


def test_pillow_and_warnings_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # so that Pillow warns of this picture
    data, before = encode(picture()), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        assert {image.size for image in pool.map(decode, [data] * 200)} == {(48, 32)}
    assert warnings.filters == before
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
