"""Bytes that give no image: whatever they are, an ImageError that says so, and soon."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from biomedica_ray.images import ImageError, decode, read_image
from biomedica_ray.images.decode import MAX_FRAMES, MAX_PIXELS, MAX_SCANS
from tests.images.pictures import encode, oriented, picture, tiff, tiff_page

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes what the module says of Pillow's warnings

SMALL = picture()
FILES = {
    "baseline JPEG": encode(SMALL, "JPEG", exif=oriented(6), dpi=(300, 300)),
    "progressive JPEG": encode(SMALL, "JPEG", progressive=True),
    "CMYK JPEG": encode(SMALL.convert("CMYK"), "JPEG"),
    "MPO": encode(SMALL, "MPO", save_all=True, append_images=[SMALL.rotate(90)]),
    "PNG": encode(SMALL, dpi=(72, 72), exif=oriented(3)),
    "palette PNG": encode(SMALL.convert("P"), transparency=3),
    "animated PNG": encode(SMALL, save_all=True, append_images=[SMALL.rotate(90)]),
    "GIF": encode(SMALL.convert("P"), "GIF"),
    "animated GIF": encode(SMALL, "GIF", save_all=True, append_images=[SMALL.rotate(90), SMALL.rotate(180)]),
    "TIFF": encode(SMALL, "TIFF", exif=oriented(8)),
    "LZW TIFF": encode(SMALL, "TIFF", compression="tiff_lzw"),
    "deflate TIFF": encode(SMALL, "TIFF", compression="tiff_adobe_deflate"),
    "JPEG TIFF": encode(SMALL, "TIFF", compression="jpeg"),
    "fax TIFF": encode(SMALL.convert("1"), "TIFF", compression="group4"),
    "16-bit TIFF": encode(SMALL.convert("L").convert("I;16"), "TIFF"),
    "float TIFF": encode(SMALL.convert("F"), "TIFF"),
    "paged TIFF": encode(SMALL, "TIFF", save_all=True, append_images=[SMALL, SMALL]),
    "BMP": encode(SMALL, "BMP"),
    "WebP": encode(SMALL, "WEBP"),
    "lossless WebP": encode(SMALL, "WEBP", lossless=True),
}


def outcome(read: Callable[[bytes], Any], data: bytes) -> str:
    """What becomes of some bytes: an ImageError's kind, or ``image``; any other exception fails the test."""
    try:
        read(data)
    except ImageError as error:
        assert str(error)
        return error.kind
    return "image"


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_images(name: str) -> None:
    assert outcome(read_image, FILES[name]) == outcome(decode, FILES[name]) == "image"


@pytest.mark.parametrize("name", FILES)
def test_any_prefix_is_an_image_or_an_error(name: str) -> None:
    data = FILES[name]
    step = max(1, len(data) // 100)
    outcomes = [outcome(read_image, data[:length]) for length in range(0, len(data), step)]
    assert outcomes[0] == "empty-image"
    assert set(outcomes) <= {"empty-image", "not-an-image", "truncated-image", "image"}
    if name not in ("MPO", "animated PNG", "animated GIF"):  # those have their first frame in the first half
        assert outcome(read_image, data[: len(data) // 2]) == "truncated-image"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 6))):
        # Headers come first; damage behind them mostly meets pixels.
        at = draw(st.integers(0, min(len(data), draw(st.sampled_from([64, 400, 10**6])))))
        data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(data)


@settings(max_examples=300, deadline=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damaged_files_are_images_or_errors(data: bytes) -> None:
    for read in (read_image, decode):
        assert outcome(read, data) in {"image", "empty-image", "not-an-image", "truncated-image", "image-bomb"}


@settings(max_examples=200)
@given(st.sampled_from([b"", *(data[:16] for data in FILES.values())]), st.binary(max_size=400))
def test_any_bytes_are_images_or_errors(start: bytes, rest: bytes) -> None:
    assert outcome(read_image, start + rest) == outcome(decode, start + rest) != "image"


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * height) if width * height < 1000 else b"\0")
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encode(picture(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * count + data[-2:]


def many_frames(count: int) -> bytes:
    """A GIF that shows one pixel again and again."""
    first = encode(Image.new("P", (1, 1)), "GIF")
    frame = first[first.index(b"\x2c") : -1]
    return first[:-1] + frame * (count - 1) + first[-1:]


BOMBS = {
    "PNG of many pixels": png(40_000, 40_000),
    "PNG of one row over the limit": png(13_378, 13_378),
    "PNG of much text": png(1, 1, (b"zTXt", b"k\0\0" + zlib.compress(bytes(2**21)))),
    "PNG of much text in pieces": png(1, 1, *[(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**20)))] * 65),
    "GIF of a huge screen": b"GIF89a" + struct.pack("<HH", 65535, 65535) + encode(picture(), "GIF")[10:],
    "TIFF of many pixels": tiff(tiff_page(2**18, 2**15, 1), pixels=b"\0"),
    "JPEG of many scans": many_scans(MAX_SCANS),
    "GIF of many frames": many_frames(MAX_FRAMES + 1),
    "TIFF of many pages": tiff(*[tiff_page(1, 1, 8)] * (MAX_FRAMES + 1), pixels=b"\0"),
    "BMP of many pixels": encode(picture(), "BMP")[:18]
    + struct.pack("<ii", 2**20, 2**20)
    + encode(picture(), "BMP")[26:],
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    start = time.process_time()
    # Only read_image counts frames; that many are no danger to decode, which looks at the first.
    expected = "image" if "frames" in name or "pages" in name else "image-bomb"
    assert (outcome(read_image, BOMBS[name]), outcome(decode, BOMBS[name])) == ("image-bomb", expected)
    assert time.process_time() - start < 30


def test_the_limit_of_pixels_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert outcome(decode, BOMBS["PNG of one row over the limit"]) == "image-bomb"


def test_limits_are_still_images() -> None:
    assert outcome(decode, many_scans(100)) == "image"
    assert read_image(many_frames(MAX_FRAMES)).n_frames == MAX_FRAMES
    assert 13_377**2 < MAX_PIXELS < 13_378**2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"II*\0" + struct.pack("<IH", 8, 65535), id="more tags than bytes"),
        pytest.param(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60), id="BigTIFF of 2**60 tags"),
        pytest.param(tiff([*tiff_page(4, 1, 8), (270, 2, 2**31)], pixels=b"1234"), id="a tag's text out of bounds"),
        pytest.param(tiff([*tiff_page(4, 1, 8)[:-3], (278, 4, 2**32 - 1)], pixels=b"1234"), id="no strip"),
        pytest.param(b"II*\0" + struct.pack("<I", 2**31) + bytes(50), id="a directory out of bounds"),
    ],
)
def test_absurd_tags(data: bytes) -> None:
    for read in (read_image, decode):
        assert outcome(read, data) in {"truncated-image", "image"}


def test_a_tiff_whose_pages_are_a_ring_ends() -> None:
    data = bytearray(tiff(tiff_page(4, 1, 8), tiff_page(4, 1, 8), pixels=b"1234"))
    first = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, len(data) - 4, first)
    assert read_image(bytes(data)).n_frames == 2


SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='4' height='4'/>"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty-image"),
        (b"\0" * 1000, "not-an-image"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not-an-image"),
        (b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "not-an-image"),
        (SVG, "not-an-image"),
        (b"%PDF-1.4\n", "not-an-image"),
        (b"%PDF-1.4\nstream\n" + encode(SMALL, "JPEG"), "not-an-image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-an-image"),
        (encode(SMALL, "EPS"), "not-an-image"),
        (b"\xc5\xd0\xd3\xc6" + bytes(26) + encode(SMALL, "TIFF"), "not-an-image"),  # EPS with a preview
        (encode(SMALL, "PPM"), "not-an-image"),
        (encode(SMALL, "JPEG2000"), "not-an-image"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "not-an-image"),
        (b"BMC Genomics is a journal, and no bitmap", "not-an-image"),
        (b"\n" + encode(SMALL), "not-an-image"),
        (b"\xff\xd8\xff", "truncated-image"),
        (b"\x89PNG\r\n\x1a\n", "truncated-image"),
        (b"GIF89a", "truncated-image"),
        (b"GIF89a=1;alert(document.domain)//", "truncated-image"),
        (png(0, 5), "truncated-image"),
        (encode(picture(400, 300), "JPEG")[:2000], "truncated-image"),
        (encode(picture(400, 300), "JPEG", progressive=True)[:2000], "truncated-image"),
        (encode(picture(400, 300), "PNG")[:500], "truncated-image"),
        (encode(picture(400, 300), "TIFF")[:-5000], "truncated-image"),
    ],
)
@pytest.mark.parametrize("read", [read_image, decode])
def test_bad_bytes_say_what_they_are(read: Callable[[bytes], Any], data: bytes, kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(data)
    assert caught.value.kind == kind
    assert len(str(caught.value)) > 10


def test_what_follows_an_image_is_no_part_of_it() -> None:
    archive = io.BytesIO(b"PK\x03\x04 an archive behind a picture").getvalue()
    for name in ("baseline JPEG", "PNG", "GIF"):
        whole, polyglot = read_image(FILES[name]), read_image(FILES[name] + archive)
        assert polyglot.pixel_sha256 == whole.pixel_sha256
        assert polyglot.sha256 != whole.sha256
