"""A folder of a bucket as a place to publish in: each object carries the SHA-256 of its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from biomedica_ray.ahead import READS, map_in_threads
from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.publish.contents import File
from biomedica_ray.store import StoreError
from biomedica_ray.store.filesystem import ATTEMPTS
from biomedica_ray.store.s3_client import s3_client

_SHA256 = "sha256"
"""Name of the hash among an object's metadata; S3 keeps none of its own for objects that come in parts."""
_UPLOADS = 4
"""Files that are uploaded at a time, each in up to ten parts at a time."""
_CODE = re.compile(r"An error occurred \((\w+)\)")
_REFUSED = {"403", "401", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"}

T = TypeVar("T")


class Bucket:
    """A folder of a bucket.

    Args:
        uri: ``s3://BUCKET/FOLDER``.
        endpoint_url: S3 server, if it is not AWS.
    """

    def __init__(self, uri: str, endpoint_url: str | None) -> None:
        bucket, _, folder = uri.removeprefix("s3://").strip("/").partition("/")
        if not bucket or not folder:
            raise ConfigError(f"to: {uri}: expected s3://BUCKET/FOLDER")
        self._uri, self._bucket, self._prefix = uri, bucket, f"{folder}/"
        self._client = s3_client(endpoint_url, attempts=ATTEMPTS)
        self._sizes: dict[str, int] = {}

    def listing(self) -> dict[str, int]:
        """Path and size of every object that is there."""
        self._sizes = {key.removeprefix(self._prefix): size for key, size in self._ask(lambda: list(self._objects()))}
        return self._sizes

    def _objects(self) -> Iterator[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["Size"]

    def holds(self, file: File) -> bool:
        """Whether the file is there with the same content; after :meth:`listing`."""
        if self._sizes.get(file.path) != file.size:
            return False
        head = self._ask(lambda: self._client.head_object(Bucket=self._bucket, Key=self._key(file.path)))
        return bool(head["Metadata"].get(_SHA256) == file.sha256)

    def prepare(self) -> None:
        """Nothing: a bucket is there, or the listing has failed."""

    def put(self, files: Sequence[tuple[File, Path]], gone: Sequence[str] = ()) -> None:
        """Upload files, the last one when the others are there, then remove others."""
        for part in (files[:-1], files[-1:]):
            list(map_in_threads(self._upload, part, _UPLOADS))
        list(map_in_threads(self._delete, gone, READS))

    def _upload(self, given: tuple[File, Path]) -> None:
        file, path = given
        extra = {"Metadata": {_SHA256: file.sha256}}
        self._ask(lambda: self._client.upload_file(str(path), self._bucket, self._key(file.path), ExtraArgs=extra))
        head = self._ask(lambda: self._client.head_object(Bucket=self._bucket, Key=self._key(file.path)))
        if head["ContentLength"] != file.size:
            raise StoreError(f"{self._uri}/{file.path}: {head['ContentLength']} of {file.size} bytes have been stored")

    def _delete(self, path: str) -> None:
        self._ask(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._key(path)))

    def _key(self, path: str) -> str:
        return self._prefix + path

    def _ask(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except (ClientError, BotoCoreError, Boto3Error, OSError) as error:
            # An upload's error has that of the server in its text alone.
            code = _CODE.search(str(error))
            kind = ConfigError if code and code[1] in _REFUSED else StoreError
            raise kind(f"to: {self._uri}: {one_line(error)}") from None
