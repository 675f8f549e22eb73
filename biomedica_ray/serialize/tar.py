"""Files as members of a tar: their headers, and what pads and ends it, as `tarfile` writes them in PAX format."""

from __future__ import annotations

import tarfile

_NAME, _SIZE, _SUM = slice(0, 100), slice(124, 135), slice(148, 156)
"""Where a header has the name, the size in octal digits, and the sum of its bytes (POSIX.1-2001, ustar)."""
_EMPTY = tarfile.TarInfo().tobuf(tarfile.PAX_FORMAT)
_EMPTY_SUM = sum(_EMPTY[: _SUM.start]) + sum(_EMPTY[_SUM.stop :]) + 8 * ord(" ") - sum(_EMPTY[_SIZE])
"""The sum of a header's bytes but for name and size; those of the sum itself count as spaces."""
_BEFORE_SIZE = _EMPTY[_NAME.stop : _SIZE.start]
_BEFORE_SUM = _EMPTY[_SIZE.stop : _SUM.start]
_REST = _EMPTY[_SUM.stop :]
_MOST = 8**11
"""A size from here on has no room in a header."""


def header(name: str, size: int) -> bytes:
    """What stands before a file's bytes: no times, owners or anything that varies.

    The same as of `tarfile`, which takes twenty times as long over the name and the size of a file.
    """
    if not name.isascii() or len(name) > _NAME.stop or size >= _MOST:
        member = tarfile.TarInfo(name)
        member.size = size
        return member.tobuf(tarfile.PAX_FORMAT)
    title, digits = name.encode(), b"%011o" % size
    total = b"%06o\0 " % (_EMPTY_SUM + sum(title) + sum(digits))
    return b"".join((title.ljust(_NAME.stop, b"\0"), _BEFORE_SIZE, digits, _BEFORE_SUM, total, _REST))


def padding(size: int) -> bytes:
    """What stands behind the bytes of a file of this size."""
    return bytes(-size % tarfile.BLOCKSIZE)


def end(size: int) -> bytes:
    """What stands at the end of a tar whose members have this size with their headers and paddings."""
    least = 2 * tarfile.BLOCKSIZE
    return bytes(least + -(size + least) % tarfile.RECORDSIZE)
