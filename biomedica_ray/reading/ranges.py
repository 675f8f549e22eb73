"""Objects in object storage, read by several range requests at a time; each is tried again where it fails.

Arrow's own reader sends one request at a time, takes a range that came out shorter than asked for as whole, and does
not repeat a request for a few bytes when the error it got is longer than they are.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import IO, Any, TypeVar

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.backoff import wait_after
from biomedica_ray.messages import one_line
from biomedica_ray.store import Store, StoreError, open_filesystem
from biomedica_ray.store.s3_client import s3_client

RANGE_BYTES = 8 * 2**20
"""Most bytes of one request: so many that its latency is small beside its transfer."""
AHEAD = 8
"""Requests that a stream has under way, or whose bytes wait; with those being read, 72 MiB in all."""
ATTEMPTS = 8
"""How often a range is asked for, over about 35 s on average, before the reader gives up."""

_LOST = (HTTPClientError, ConnectionError, IncompleteReadError)
_BUSY = {408, 429, 500, 502, 503, 504}
_BUFFER_BYTES = 2**20
"""What small reads of a stream are served from."""

T = TypeVar("T")


def open_ahead(data: Store, path: str) -> IO[bytes]:
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
    return stored_object(data.uri(path), data.endpoint_url).stream()


def open_random(data: Store, path: str) -> io.RawIOBase:
    """The same as a file to read anywhere in; a read of many bytes becomes several requests at a time."""
    if data.is_local:
        file: io.RawIOBase = data.filesystem.open_input_file(data.path(path))
        return file
    return _RandomAccess(stored_object(data.uri(path), data.endpoint_url))


class _ShortReadError(Exception):
    """An answer that holds less than the server says."""


class StoredObject(ABC):
    """An object, of which all that is read belongs to the same version.

    Attributes:
        uri: ``s3://bucket/key`` or ``gs://bucket/key``.
        size: Bytes of it; known after the first request.
        abandoned: Set it when nobody waits for an answer any more: then nothing is tried again.
    """

    passing: tuple[type[Exception], ...]
    """What requests raise; :meth:`_check` tells which of them trying again would not mend."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.size = 0
        self.abandoned = False

    def stream(self) -> io.BufferedReader:
        """The object as a stream; raises as :func:`open_ahead` when it is read."""
        return io.BufferedReader(_Stream(self), _BUFFER_BYTES)

    def describe(self) -> None:
        """Learn the size; raises as :func:`open_ahead`."""
        self._persist(self._describe)

    def get(self, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop`` (exclusive), or to the end of the object; raises as :func:`open_ahead`.

        May be called by several threads, once one of them has had an answer.
        """

        def whole() -> bytes:
            data = self._get(start, stop)
            expected = max(0, min(stop, self.size) - start)
            if len(data) != expected:
                raise _ShortReadError(f"{len(data):,} bytes from byte {start:,} on, expected {expected:,}")
            return data

        return self._persist(whole)

    @abstractmethod
    def _describe(self) -> None:
        """Learn the size, and which version it is."""

    @abstractmethod
    def _get(self, start: int, stop: int) -> bytes:
        """The bytes of that version, after which the size is known."""

    @abstractmethod
    def _check(self, error: Exception) -> None:
        """Raise what trying again would not mend."""

    def _persist(self, request: Callable[[], T]) -> T:
        attempt = 1
        while True:
            try:
                return request()
            except self.passing as error:
                self._check(error)
                if attempt == ATTEMPTS or self.abandoned:
                    raise StoreError(f"{self.uri}: {one_line(error)}; after {attempt} attempts") from None
            wait_after(attempt)
            attempt += 1


class S3Object(StoredObject):
    """An object in S3, pinned to its version by its ETag."""

    passing = (ClientError, BotoCoreError, _ShortReadError)

    def __init__(self, uri: str, endpoint_url: str | None) -> None:
        super().__init__(uri)
        self._etag: str | None = None
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._where: Any = {"Bucket": bucket, "Key": key}
        self._client = s3_client(endpoint_url)

    def _describe(self) -> None:
        answer = self._client.head_object(**self._where)
        self.size, self._etag = answer["ContentLength"], answer["ETag"]

    def _get(self, start: int, stop: int) -> bytes:
        pinned: Any = {"IfMatch": self._etag} if self._etag else {}
        try:
            answer = self._client.get_object(**self._where, Range=f"bytes={start}-{stop - 1}", **pinned)
        except ClientError as error:
            if start == 0 and _status(error) == 416:  # an empty object has no first byte
                return b""
            raise
        with closing(answer["Body"]) as body:
            data = body.read()
        self.size, self._etag = int(answer["ContentRange"].rpartition("/")[2]), answer["ETag"]
        return data

    def _check(self, error: Exception) -> None:
        if isinstance(error, ClientError):
            self._check_answer(error)
        elif isinstance(error, BotoCoreError) and not isinstance(error, _LOST):  # no credentials, for example
            raise StoreError(f"{self.uri}: {one_line(error)}") from None

    def _check_answer(self, error: ClientError) -> None:
        status = _status(error)
        if status == 404:
            raise FileNotFoundError(f"{self.uri}: no such object") from None
        if status == 403:
            raise PermissionError(f"{self.uri}: {one_line(error)}") from None
        if status == 412:
            raise StoreError(f"{self.uri}: the object changed while it was read") from None
        if status not in _BUSY and error.response["Error"].get("Code") != "RequestTimeout":
            raise StoreError(f"{self.uri}: {one_line(error)}") from None


class GoogleObject(StoredObject):
    """An object in Google Cloud Storage; Arrow pins what it has opened to its generation."""

    passing = (OSError, _ShortReadError)

    def __init__(self, uri: str, endpoint_url: str | None) -> None:
        super().__init__(uri)
        self._filesystem, self._path = open_filesystem(uri, endpoint_url)
        self._file: pa.NativeFile | None = None

    def _describe(self) -> None:
        file = self._filesystem.open_input_file(self._path)
        self.size, self._file = file.size(), file

    def _get(self, start: int, stop: int) -> bytes:
        if self._file is None:
            self._describe()
        assert self._file is not None
        size = min(stop, self.size) - start
        data: bytes = self._file.read_at(size, start) if size > 0 else b""
        return data

    def _check(self, error: Exception) -> None:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{self.uri}: no such object") from None
        if isinstance(error, PermissionError):
            raise PermissionError(f"{self.uri}: {one_line(error)}") from None


def stored_object(uri: str, endpoint_url: str | None) -> StoredObject:
    """The object that a URI names."""
    return (GoogleObject if uri.startswith("gs://") else S3Object)(uri, endpoint_url)


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
        item.describe()
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


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
