"""Objects in object storage as streams and files, read by several range requests at a time."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import IO, Any

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store.objects import AHEAD, RANGE_BYTES, StoredObject, stored_object
from biomedica_ray.store.root import Root

_BUFFER_BYTES = 2**20
"""What small reads of a stream are served from."""


def open_ahead(data: Root, path: str) -> IO[bytes]:
    """The file at ``path`` below a store's root as a stream, whose next ranges are read ahead in object storage.

    What is wrong with the file may show only when it is read.

    Raises:
        FileNotFoundError: There is no such file.
        PermissionError: The server refuses access.
        StoreError: It cannot be read, however often it is tried; one line that names it.
    """
    if data.is_local:
        stream: IO[bytes] = data.open(path, RANGE_BYTES)
        return stream
    return as_stream(stored_object(data.uri(path), data.endpoint_url))


def as_stream(item: StoredObject) -> io.BufferedReader:
    """An object as a stream; raises as :func:`open_ahead` when it is read."""
    return io.BufferedReader(_Stream(item), _BUFFER_BYTES)


def open_random(data: Root, path: str) -> io.RawIOBase:
    """The same as a file to read anywhere in; a read of many bytes becomes several requests at a time."""
    if data.is_local:
        file: io.RawIOBase = data.filesystem.open_input_file(data.path(path))
        return file
    return as_file(stored_object(data.uri(path), data.endpoint_url))


def as_file(item: StoredObject) -> io.RawIOBase:
    """An object as a file to read anywhere in; asks for its size, and raises as :func:`open_ahead`."""
    item.describe()
    return _RandomAccess(item)


class _Stream(io.RawIOBase):
    """An object from its beginning to its end."""

    def __init__(self, item: StoredObject) -> None:
        self._ranges = _ranges(item)
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            self._piece = memoryview(b"")  # let go of the last one before the next comes
            self._piece = memoryview(next(self._ranges, b""))
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def readall(self) -> bytes:
        return b"".join([self._piece, *self._ranges])

    def close(self) -> None:
        self._ranges.close()
        super().close()


class _RandomAccess(io.RawIOBase):
    """An object that is read anywhere in, by one thread."""

    def __init__(self, item: StoredObject) -> None:
        self._item, self._at = item, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = (0, self._at, self._item.size)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        first, stop = self._at, min(self._at + len(buffer), self._item.size)
        starts = range(first, stop, RANGE_BYTES)

        def get(start: int) -> bytes:
            return self._item.get(start, min(start + RANGE_BYTES, stop))

        pieces = map_in_threads(get, starts, AHEAD) if len(starts) > 1 else map(get, starts)
        for start, piece in zip(starts, pieces, strict=True):
            buffer[start - first : start - first + len(piece)] = piece
        self._at = max(first, stop)
        return self._at - first


def _ranges(item: StoredObject) -> Generator[bytes, None, None]:
    """The object in pieces of :data:`RANGE_BYTES`, the next :data:`AHEAD` of which are always under way or there."""
    first = item.get(0, RANGE_BYTES)  # by itself, as it tells the size and the version
    starts = iter(range(RANGE_BYTES, item.size, RANGE_BYTES))
    if item.size <= RANGE_BYTES:
        yield first
        return
    pool = ThreadPoolExecutor(AHEAD)
    try:
        pending = deque(pool.submit(item.get, start, start + RANGE_BYTES) for start in islice(starts, AHEAD))

        def following() -> bytes:
            piece = pending.popleft().result()
            pending.extend(pool.submit(item.get, start, start + RANGE_BYTES) for start in islice(starts, 1))
            return piece

        yield first
        del first
        while pending:
            yield following()  # kept nowhere here, or a piece that has been read would stay until the next is there
    finally:
        item.abandoned = True
        pool.shutdown(wait=False, cancel_futures=True)
