"""What a JPEG file carries beside its picture, taken off without touching a pixel.

EXIF and XMP may hold names, serial numbers and the place where a picture was taken; comments, previews of what was cut
off, a second picture (MPO) or anything at all behind the end travel along too.
"""

from __future__ import annotations

import re

_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker among the data of a scan: neither a stuffed 0xff nor a restart (ITU-T T.81, B.1.1)."""

_EOI, _SOS, _APP0, _APP14, _APP15, _COM = 0xD9, 0xDA, 0xE0, 0xEE, 0xEF, 0xFE
_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a segment, none of which is outside of a scan, but for the first, SOI."""


def strip_jpeg(data: bytes) -> bytes | None:
    """The JPEG with nothing but what decoding takes, so that it decodes to the same pixels; None where it is damaged.

    Kept are tables, frames and scans up to the end of the first picture, JFIF's header with the resolution but without
    its thumbnail, and Adobe's segment, which says what the components are. ICC profiles and EXIF orientations go, so
    this is for files that are upright and in sRGB.
    """
    if data[:2] != b"\xff\xd8":
        return None
    kept = [b"\xff\xd8"]
    at = 2
    while marker := _MARKER.match(data, at):
        code, start = marker[1][0], marker.end()
        if code == _EOI:
            kept.append(b"\xff\xd9")
            return b"".join(kept)
        stop = start + int.from_bytes(data[start : start + 2])
        if code in _ALONE or not start + 2 <= stop <= len(data):
            return None
        at = stop
        if code == _SOS:
            end = _END_OF_SCAN.search(data, stop)
            if end is None:
                return None
            at = end.start()
        segment = _reduced(code, data[start + 2 : stop])
        if segment is not None:
            size = (len(segment) + 2).to_bytes(2)
            kept.append(bytes((0xFF, code)) + size + segment + data[stop:at])
    return None


def _reduced(code: int, segment: bytes) -> bytes | None:
    """What is kept of a segment; None for nothing."""
    if code == _APP0 and segment.startswith(b"JFIF\0") and len(segment) >= 14:
        return segment[:12] + b"\0\0"  # a thumbnail of 0 x 0
    if code == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
        return segment[:12]
    return None if _APP0 <= code <= _APP15 or code == _COM else segment
