"""PMC's Cloud Service: the public bucket that holds PubMed Central's open-access articles.

The newest inventory lists ``metadata/PMC<id>.<version>.json``; each of these names the XML and the media files of one
article version with their MD5 (https://pmc.ncbi.nlm.nih.gov/tools/pmcaws/).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import socket
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, unquote_plus, urlsplit

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import get_environ_proxies
from urllib3.connection import HTTPConnection

from biomedica_ray import usage
from biomedica_ray.jats.licenses import OTHER
from biomedica_ray.schema import LISTING
from biomedica_ray.sources.base import MAX_FILE_BYTES, File, Listed, SourceError
from biomedica_ray.sources.retries import retried

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_TIMEOUT_S = 60.0
"""A server that sends nothing for this long is asked again."""
_CONNECT_TIMEOUT_S = 10.0

_KEY = re.compile(r"metadata/(?P<pmcid>[^/]+)\.(?P<version>\d+)\.json")
_SNAPSHOT = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\dZ")
_MAKING_CLIENT = threading.RLock()
"""boto3 makes clients in one thread at a time only; all threads then share one and its connections."""
_MISSING = {"NoSuchKey", "NoSuchBucket", "404", "NotFound"}
_PASSING = {"RequestTimeout", "408", "429"}
"""What passes though its status is not one of a server in trouble; all others below 500 come again every time."""
_FORBIDDEN = {"AccessDenied", "403", "Forbidden"}
_ERROR_CODE = re.compile(rb"<Code>\s*(\w+)\s*</Code>")


@dataclass(frozen=True)
class PmcSource:
    """The bucket.

    Attributes:
        bucket: Its name.
        endpoint_url: Another S3 server than AWS.
        anonymous: Send unsigned requests, as the public bucket wants.
        connections: Most requests at a time; their connections are kept for the next ones.
    """

    bucket: str = "pmc-oa-opendata"
    endpoint_url: str | None = None
    anonymous: bool = True
    connections: int = 16

    @cached_property
    def _client(self) -> S3Client:
        with _MAKING_CLIENT:
            return self.__dict__.get("_client") or self._make_client()

    def _make_client(self) -> S3Client:
        return boto3.client(
            "s3",
            region_name="us-east-1" if self.anonymous else None,  # a signature is for the bucket's own region
            endpoint_url=self.endpoint_url,
            config=Config(
                signature_version=UNSIGNED if self.anonymous else "s3v4",
                retries={"total_max_attempts": 1},  # the caller tries again, and counts
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
            ),
        )

    @cached_property
    def _http(self) -> urllib3.PoolManager:
        with _MAKING_CLIENT:
            return self.__dict__.get("_http") or self._make_http()

    def _make_http(self) -> urllib3.PoolManager:
        """What objects are fetched by: boto3 takes three times the processor time for each."""
        options: dict[str, Any] = {
            "maxsize": self.connections,
            "block": True,
            "retries": False,
            "timeout": urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            "socket_options": [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        }
        url = self._signed_url("key")
        proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)

    @cached_property
    def _prefix(self) -> str:
        """What the URL of each object begins with."""
        return self._signed_url("key").removesuffix("key")

    def _url(self, key: str) -> str:
        return f"{self._prefix}{quote(key, safe='/~')}" if self.anonymous else self._signed_url(key)

    def _signed_url(self, key: str) -> str:
        """The URL of an object, with a signature that is good for an hour unless requests are anonymous."""
        return self._client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": key})

    def list(self) -> pa.Table:
        """Every article version in the newest complete inventory, whose date is in the schema's metadata.

        Raises:
            SourceError: There is no inventory, or it cannot be read.
        """
        manifest = self._newest_manifest()
        try:
            parts = [self._inventory_part(entry) for entry in manifest["files"]]
        except (KeyError, TypeError, OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
            raise SourceError("bad-inventory", f"s3://{self.bucket}/inventory-reports/: {error!r}") from error
        listing = pa.concat_tables([LISTING.empty_table(), *parts])
        return listing.replace_schema_metadata({"date": manifest["date"]})

    def _newest_manifest(self) -> dict[str, Any]:
        """The manifest of the newest snapshot that has one; the very newest may still be in the making."""
        prefix = f"inventory-reports/{self.bucket}/metadata/"
        folders = retried(lambda: self._folders(prefix))
        snapshots = [folder for folder in folders if _SNAPSHOT.fullmatch(folder.removeprefix(prefix).strip("/"))]
        for folder in sorted(snapshots, reverse=True):
            try:
                body = self.get(f"{folder}manifest.json")
            except SourceError as error:
                if error.kind != "missing-file":
                    raise
                continue
            try:
                manifest: dict[str, Any] = json.loads(body)
            except ValueError as error:
                raise SourceError("bad-inventory", f"s3://{self.bucket}/{folder}manifest.json: {error}") from error
            return manifest | {"date": folder.removeprefix(prefix)[: len("2026-01-31")]}
        raise SourceError("missing-source", f"s3://{self.bucket}/{prefix}: no inventory snapshot with a manifest")

    def _folders(self, prefix: str) -> Sequence[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        try:
            return [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        except ClientError as error:
            status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
            raise _refused(f"s3://{self.bucket}/{prefix}", status, code) from error
        except BotoCoreError as error:
            raise SourceError("unavailable", f"s3://{self.bucket}/{prefix}: {error}", retryable=True) from error

    def _inventory_part(self, entry: dict[str, Any]) -> pa.Table:
        """The article versions that one file of the inventory names; other keys are passed over."""
        body = gzip.decompress(self.get(entry["key"], entry["MD5checksum"]))
        rows = pacsv.read_csv(
            io.BytesIO(body),
            read_options=pacsv.ReadOptions(column_names=["bucket", "key", "last_modified", "etag"]),
            convert_options=pacsv.ConvertOptions(
                column_types={"key": pa.string(), "last_modified": pa.timestamp("us", "UTC"), "etag": pa.string()},
                include_columns=["key", "last_modified", "etag"],
            ),
        )
        keys = rows["key"]
        if pc.any(pc.match_substring_regex(keys, "[%+]")).as_py():  # hardly ever, and Python strings are slow
            keys = pa.array([unquote_plus(key) for key in keys.to_pylist()], pa.string())
        names = pc.extract_regex(keys, pattern=f"^{_KEY.pattern}$")
        pmcids, versions = pc.struct_field(names, "pmcid"), pc.struct_field(names, "version")
        article_ids = pc.binary_join_element_wise(pmcids, versions, ".")
        uris = pc.binary_join_element_wise(f"s3://{self.bucket}/", article_ids, "/", "")
        columns = [article_ids, pmcids, versions.cast(pa.int32()), uris, rows["etag"], rows["last_modified"]]
        unknown = [pa.nulls(rows.num_rows, field.type) for field in list(LISTING)[len(columns) :]]
        return pa.table([*columns, *unknown], names=LISTING.names).filter(pc.is_valid(pmcids)).cast(LISTING)

    @contextmanager
    def open(self, listed: Listed) -> Iterator[PmcPackage]:
        """The package, from its metadata document.

        Raises:
            SourceError: There is no such document, or it is not what the service describes.
        """
        key = f"metadata/{listed.article_id}.json"
        body = self.get(key)
        try:
            package = PmcPackage.from_metadata(self, json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceError("bad-metadata", f"s3://{self.bucket}/{key}: {error!r}") from error
        yield package

    def get(self, key: str, md5: str | None = None) -> bytes:
        """The body of an object, verified against ``md5`` (hex) if given.

        Raises:
            SourceError: It is missing or too large, or it came damaged or not at all however often it was asked for.
        """
        return retried(lambda: self._get_once(key, md5))

    def _get_once(self, key: str, md5: str | None) -> bytes:
        uri = f"s3://{self.bucket}/{key}"
        usage.count("requests", "source")
        try:
            response = self._http.urlopen("GET", self._url(key), preload_content=False, redirect=False)
            try:
                size = int(response.headers.get("Content-Length", 0))
                if size > MAX_FILE_BYTES:
                    response.close()
                    raise SourceError("file-too-large", f"{uri}: {size:,} bytes")
                body = response.read()
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, BotoCoreError) as error:
            raise SourceError("unavailable", f"{uri}: {error}", retryable=True) from error
        if response.status != 200:
            code = _ERROR_CODE.search(body)
            raise _refused(uri, response.status, code[1].decode() if code else str(response.status))
        found = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if md5 is not None and found != md5:
            raise SourceError("checksum-mismatch", f"{uri}: md5 {found}, expected {md5}", retryable=True)
        return body


def _refused(uri: str, status: int, code: str) -> SourceError:
    """What another answer than the wanted one means: whether it is there for us, or the server is in trouble."""
    if code in _MISSING:
        return SourceError("missing-file", f"{uri}: no such object")
    if code in _FORBIDDEN:
        return SourceError("forbidden", f"{uri}: access denied")
    return SourceError("unavailable", f"{uri}: {status} {code}", retryable=status >= 500 or code in _PASSING)


@dataclass
class PmcPackage:
    """One article version in the bucket."""

    source: PmcSource
    license_code: str | None
    is_retracted: bool | None
    is_open_access: bool | None
    xml: str | None
    files: list[File]
    objects: dict[str, tuple[str, str | None]] = field(repr=False)
    """File name -> object key and md5."""

    @classmethod
    def from_metadata(cls, source: PmcSource, metadata: dict[str, Any]) -> PmcPackage:
        """The package that a metadata document describes; raises as reading a wrong document does."""
        prefix = f"{metadata['pmcid']}.{metadata['version']}/"
        urls = [url for url in [metadata.get("xml_url"), *(metadata.get("media_urls") or [])] if url]
        objects = {key.removeprefix(prefix): (key, md5) for key, md5 in map(split_url, urls)}
        xml = split_url(metadata["xml_url"])[0].removeprefix(prefix) if metadata.get("xml_url") else None
        return cls(
            source,
            metadata.get("license_code")
            or OTHER,  # the service knows every article's licence, so none is none of these
            metadata.get("is_retracted"),
            metadata.get("is_pmc_openaccess"),
            xml,
            [File(name, md5) for name, (_, md5) in sorted(objects.items()) if name != xml],
            objects,
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file; raises SourceError as :meth:`PmcSource.get` does."""
        if name not in self.objects:
            raise SourceError("missing-file", f"{name}: not among the files that the metadata names")
        return self.source.get(*self.objects[name])


def split_url(url: str) -> tuple[str, str | None]:
    """Object key and md5 of ``s3://bucket/key?md5=...``."""
    parts = urlsplit(url)
    return unquote(parts.path.lstrip("/")), parse_qs(parts.query).get("md5", [None])[0]
