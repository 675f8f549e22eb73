"""ICC profiles made here (ICC.1:2001-04, of version 2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

D50 = (0.9642, 1.0, 0.8249)
ADOBE_RGB = ((0.6097559, 0.3111242, 0.0194811), (0.2052401, 0.6256560, 0.0608902), (0.1492240, 0.0632197, 0.7448387))
"""XYZ of its red, green and blue, adapted to D50 (Bruce Lindbloom's matrices)."""
SRGB = ((0.4360747, 0.2225045, 0.0139322), (0.3850649, 0.7168786, 0.0971045), (0.1430804, 0.0606169, 0.7141733))


def rgb_profile(primaries: Sequence[Sequence[float]], gamma: float) -> bytes:
    """Of a space with three primaries, XYZ each, and one curve."""
    colours = {name: _xyz(xyz) for name, xyz in zip(("rXYZ", "gXYZ", "bXYZ"), primaries, strict=True)}
    curves = dict.fromkeys(("rTRC", "gTRC", "bTRC"), _curve(gamma))
    return _profile(b"RGB ", b"XYZ ", {"wtpt": _xyz(D50), **colours, **curves})


def grey_profile(gamma: float) -> bytes:
    """Of grey values on a curve."""
    return _profile(b"GRAY", b"XYZ ", {"wtpt": _xyz(D50), "kTRC": _curve(gamma)}, device=b"mntr")


def cmyk_profile(cyan: tuple[int, int, int]) -> bytes:
    """Of inks of which cyan has a colour in 8-bit Lab, and every other one is black where it is full."""
    corners = [(255, 128, 128) if n == 0 else cyan if n == 8 else (0, 128, 128) for n in range(16)]
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(sum(corners, ())) + ramp * 3
    return _profile(b"CMYK", b"Lab ", {"wtpt": _xyz(D50), "A2B0": table}, device=b"prtr")


def _profile(space: bytes, connection: bytes, tags: dict[str, bytes], device: bytes = b"mntr") -> bytes:
    text = b"made here\0"
    tags = {
        "cprt": b"text\0\0\0\0" + text,
        "desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        **tags,
    }
    at = 128 + 4 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name.encode() + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x02400000, device, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += b"".join(struct.pack(">i", round(each * 65536)) for each in D50)
    return header.ljust(128, b"\0") + directory + body


def _xyz(xyz: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(each * 65536)) for each in xyz)


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
