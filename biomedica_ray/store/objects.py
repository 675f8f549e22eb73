"""Objects in object storage, read by range requests, each of which is tried again where it fails.

Arrow's own reader asks for an object's size before it reads it, sends one request at a time, takes a range that came
out shorter than asked for as whole, and does not repeat a request for a few bytes when the error it got is longer than
they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, TypeVar

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.backoff import wait_after
from biomedica_ray.messages import one_line
from biomedica_ray.store.azure_client import BUSY, AzureBlobs, AzureError
from biomedica_ray.store.filesystem import StoreError, azure_account, open_filesystem
from biomedica_ray.store.s3_client import s3_client

RANGE_BYTES = 8 * 2**20
"""Most bytes of one request: so many that its latency is small beside its transfer."""
AHEAD = 8
"""Requests that a stream has under way, or whose bytes wait; with those being read, 72 MiB in all."""
ATTEMPTS = 8
"""How often a range is asked for, over about 35 s on average, before the reader gives up."""

GAP_BYTES = 2**18
"""Bytes between two ranges that are read with them, as a further request takes as long: 250 KB at 10 ms."""

_LOST = (HTTPClientError, ConnectionError, IncompleteReadError)

T = TypeVar("T")


class _ShortReadError(Exception):
    """An answer that holds less than the server says."""


class ObjectChangedError(StoreError):
    """An object was replaced between two requests for it."""


class StoredObject(ABC):
    """An object, of which all that is read belongs to the same version.

    Attributes:
        uri: ``s3://bucket/key``, ``gs://bucket/key`` or ``az://container/blob``.
        size: Bytes of it; known after the first request.
        abandoned: Set it when nobody waits for an answer any more: then nothing is tried again.
    """

    passing: tuple[type[Exception], ...]
    """What requests raise; :meth:`_check` tells which of them trying again would not mend."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.size = 0
        self.abandoned = False

    def describe(self) -> None:
        """Learn the size; raises as :meth:`get`."""
        self._persist(self._describe)

    def read(self) -> bytes:
        """All of it: one request, where it is no longer than :data:`RANGE_BYTES`; raises as :meth:`get`."""
        first = self.get(0, RANGE_BYTES)
        starts = range(RANGE_BYTES, self.size, RANGE_BYTES)
        return b"".join([first, *map_in_threads(lambda start: self.get(start, start + RANGE_BYTES), starts, AHEAD)])

    def get(self, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop`` (exclusive), or to the end of the object.

        May be called by several threads, once one of them has had an answer.

        Raises:
            FileNotFoundError: There is no such object.
            PermissionError: The server refuses access.
            ObjectChangedError: It is no longer the one that was asked for first.
            StoreError: It cannot be read, however often it is tried; one line that names it.
        """

        def whole() -> bytes:
            data = self._get(start, stop)
            _check_length(data, start, max(0, min(stop, self.size) - start))
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

    def end(self, n_bytes: int) -> bytes:
        """The last ``n_bytes``, or all there are; raises as :meth:`get`."""

        def whole() -> bytes:
            data = self._ask(f"bytes=-{n_bytes}", may_be_empty=True)
            expected = min(n_bytes, self.size)
            _check_length(data, self.size - expected, expected)
            return data

        return self._persist(whole)

    def _get(self, start: int, stop: int) -> bytes:
        return self._ask(f"bytes={start}-{stop - 1}", may_be_empty=start == 0)

    def _ask(self, range_: str, *, may_be_empty: bool) -> bytes:
        pinned: Any = {"IfMatch": self._etag} if self._etag else {}
        try:
            answer = self._client.get_object(**self._where, Range=range_, **pinned)
        except ClientError as error:
            if may_be_empty and _status(error) == 416:  # an empty object has neither a first nor a last byte
                return b""
            raise
        with closing(answer["Body"]) as body:
            data = body.read()
        if "ContentRange" not in answer:
            raise StoreError(f"{self.uri}: the server does not answer requests for a part of an object (Range)")
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
            raise ObjectChangedError(f"{self.uri}: the object changed while it was read") from None
        if status not in BUSY and error.response["Error"].get("Code") != "RequestTimeout":
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


class AzureObject(StoredObject):
    """A blob in Azure, pinned to its version by its ETag."""

    passing = (AzureError, _ShortReadError)

    def __init__(self, uri: str, endpoint_url: str | None) -> None:
        super().__init__(uri)
        self._etag: str | None = None
        self._path = uri.removeprefix("az://")
        self._blobs = AzureBlobs(azure_account(uri), endpoint_url)

    def _describe(self) -> None:
        try:
            answer = self._blobs.head(self._path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.uri}: no such object") from None
        self.size, self._etag = int(answer.headers["Content-Length"]), answer.headers["ETag"]

    def _get(self, start: int, stop: int) -> bytes:
        try:
            answer = self._blobs.get(self._path, start, stop, self._etag)
        except AzureError as error:
            if start == 0 and error.status == 416:  # an empty object has no first byte
                return b""
            raise
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.uri}: no such object") from None
        self.size, self._etag = int(answer.headers["Content-Range"].rpartition("/")[2]), answer.headers["ETag"]
        data: bytes = answer.data
        return data

    def _check(self, error: Exception) -> None:
        if isinstance(error, AzureError):
            if error.status == 412:
                raise ObjectChangedError(f"{self.uri}: the object changed while it was read") from None
            if error.status and error.status not in BUSY:
                raise StoreError(str(error)) from None


_KINDS: dict[str, type[S3Object | GoogleObject | AzureObject]] = {"s3": S3Object, "gs": GoogleObject, "az": AzureObject}


def stored_object(uri: str, endpoint_url: str | None) -> StoredObject:
    """The object that a URI names."""
    return _KINDS[uri.partition("://")[0]](uri, endpoint_url)


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _check_length(data: bytes, start: int, expected: int) -> None:
    if len(data) != expected:
        raise _ShortReadError(f"{len(data):,} bytes from byte {start:,} on, expected {expected:,}")


def read_object(uri: str, endpoint_url: str | None) -> bytes:
    """All of an object in S3 or Azure, read again if it is replaced meanwhile; raises as :meth:`StoredObject.get`."""
    while True:
        try:
            return stored_object(uri, endpoint_url).read()
        except ObjectChangedError:
            continue


class RangedFile:
    """An object in S3 as a file for Arrow, which finds there the ranges that were fetched before.

    Args:
        uri: Its URI.
        endpoint_url: A server other than AWS.
        end_bytes: The end of it that is fetched at once, with its size, by one request; small objects come whole so.
    """

    closed = False

    def __init__(self, uri: str, endpoint_url: str | None, end_bytes: int) -> None:
        self._item = S3Object(uri, endpoint_url)
        end = self._item.end(end_bytes)
        self.size = self._item.size
        self._end = self.size - len(end), memoryview(end)
        self._fetched: list[tuple[int, memoryview]] = []
        self._at = 0

    def fetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Get ranges (start, stop; ascending) that lie close together by one request, and keep no earlier ones."""
        parts = [
            (start, min(start + RANGE_BYTES, stop))
            for first, stop in _joined(ranges, self._end[0])
            for start in range(first, stop, RANGE_BYTES)
        ]
        self._fetched = []
        for (start, _), piece in zip(parts, map_in_threads(self._get, parts, AHEAD), strict=True):
            self._fetched.append((start, memoryview(piece)))

    def _get(self, part: tuple[int, int]) -> bytes:
        return self._item.get(*part)

    def read(self, size: int = -1) -> bytes | memoryview:
        """So many bytes from where :meth:`seek` went; what was not fetched is asked for now."""
        start = self._at
        stop = self.size if size < 0 else min(start + size, self.size)
        self._at = max(start, stop)
        found: list[memoryview] = []
        for first, piece in (*self._fetched, self._end):
            if first <= start < min(stop, first + len(piece)):
                found.append(piece[start - first : stop - first])
                start += len(found[-1])
        if start < stop:
            found.append(memoryview(self._item.get(start, stop)))
        return found[0] if len(found) == 1 else b"".join(found)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of files."""
        self._at = (0, self._at, self.size)[whence] + offset
        return self._at

    def tell(self) -> int:
        """As of files."""
        return self._at

    def close(self) -> None:
        """Nothing is open."""


def _joined(ranges: Iterable[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """Ranges as far as they lie before ``end``; those with less than :data:`GAP_BYTES` between them become one."""
    joined: list[tuple[int, int]] = []
    for start, stop in ranges:
        if joined and start - joined[-1][1] < GAP_BYTES:
            joined[-1] = joined[-1][0], min(max(stop, joined[-1][1]), end)
        elif start < end:
            joined.append((start, min(stop, end)))
    return joined
