"""PMC's Cloud Service: the public bucket that holds PubMed Central's open-access articles.

The newest inventory lists ``metadata/PMC<id>.<version>.json``; each of these names the XML and the media files of one
article version with their MD5 (https://pmc.ncbi.nlm.nih.gov/tools/pmcaws/).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from biomedica_ray.schema import LISTING
from biomedica_ray.sources.base import MAX_FILE_BYTES, File, Listed, SourceError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 5
"""How often a body is fetched anew when it comes truncated or damaged; botocore itself retries 503s and timeouts."""

_KEY = re.compile(r"metadata/(?P<pmcid>[^/]+)\.(?P<version>\d+)\.json")
_SNAPSHOT = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\dZ")
_MISSING = {"NoSuchKey", "404", "NotFound"}
_FORBIDDEN = {"AccessDenied", "403", "Forbidden"}


@dataclass(frozen=True)
class PmcSource:
    """The bucket.

    Attributes:
        bucket: Its name.
        endpoint_url: Another S3 server than AWS.
        anonymous: Send unsigned requests, as the public bucket wants.
    """

    bucket: str = "pmc-oa-opendata"
    endpoint_url: str | None = None
    anonymous: bool = True

    @cached_property
    def _client(self) -> S3Client:
        return boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint_url,
            config=Config(
                signature_version=UNSIGNED if self.anonymous else None,
                retries={"mode": "adaptive", "total_max_attempts": 8},
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=32,
            ),
        )

    def list(self) -> pa.Table:
        """Every article version in the newest complete inventory.

        Raises:
            SourceError: There is no inventory, or it cannot be read.
        """
        manifest = self._newest_manifest()
        rows = pa.concat_tables([self._inventory_part(entry) for entry in manifest["files"]])
        keys = pa.array([unquote_plus(key) for key in rows["key"].to_pylist()], pa.string())
        names = pc.extract_regex(keys, pattern=f"^{_KEY.pattern}$")
        pmcids, versions = pc.struct_field(names, "pmcid"), pc.struct_field(names, "version")
        article_ids = pc.binary_join_element_wise(pmcids, versions, ".")
        uris = pc.binary_join_element_wise(f"s3://{self.bucket}/", article_ids, "/", "")
        columns = [article_ids, pmcids, versions.cast(pa.int32()), uris, rows["etag"], rows["last_modified"]]
        return pa.table(columns, names=LISTING.names).filter(pc.is_valid(pmcids)).cast(LISTING)

    def _newest_manifest(self) -> dict[str, Any]:
        """The manifest of the newest snapshot that has one; the very newest may still be in the making."""
        prefix = f"inventory-reports/{self.bucket}/metadata/"
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        try:
            folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        except (ClientError, BotoCoreError) as error:
            raise SourceError("unavailable", f"s3://{self.bucket}/{prefix}: {error}", passing=True) from error
        snapshots = [folder for folder in folders if _SNAPSHOT.fullmatch(folder.removeprefix(prefix).strip("/"))]
        for folder in sorted(snapshots, reverse=True):
            try:
                manifest: dict[str, Any] = json.loads(self.get(f"{folder}manifest.json"))
            except SourceError as error:
                if error.kind != "missing-file":
                    raise
            else:
                return manifest
        raise SourceError("missing-source", f"s3://{self.bucket}/{prefix}: no inventory snapshot with a manifest")

    def _inventory_part(self, entry: dict[str, Any]) -> pa.Table:
        body = gzip.decompress(self.get(entry["key"], entry["MD5checksum"]))
        return pacsv.read_csv(
            io.BytesIO(body),
            read_options=pacsv.ReadOptions(column_names=["bucket", "key", "last_modified", "etag"]),
            convert_options=pacsv.ConvertOptions(
                column_types={"key": pa.string(), "last_modified": pa.timestamp("us", "UTC"), "etag": pa.string()},
                include_columns=["key", "last_modified", "etag"],
            ),
        )

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
            SourceError: It is missing or too large, or it came damaged or not at all, ``ATTEMPTS`` times.
        """
        uri = f"s3://{self.bucket}/{key}"
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, min(30.0, 0.5 * 2**attempt)))
            try:
                response = self._client.get_object(Bucket=self.bucket, Key=key)
                if response["ContentLength"] > MAX_FILE_BYTES:
                    raise SourceError("file-too-large", f"{uri}: {response['ContentLength']:,} bytes")
                body = response["Body"].read()
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _MISSING:
                    raise SourceError("missing-file", f"{uri}: no such object", attempt + 1) from error
                if code in _FORBIDDEN:
                    raise SourceError("forbidden", f"{uri}: access denied", attempt + 1) from error
                reason = str(error)
                continue
            except (BotoCoreError, HTTPClientError) as error:
                reason = str(error)
                continue
            found = hashlib.md5(body, usedforsecurity=False).hexdigest()
            if md5 is None or found == md5:
                return body
            reason = f"md5 {found}, expected {md5}"
        damaged = reason.startswith("md5")
        raise SourceError(
            "checksum-mismatch" if damaged else "unavailable", f"{uri}: {reason}", attempts=ATTEMPTS, passing=True
        )


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
            metadata.get("license_code"),
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
