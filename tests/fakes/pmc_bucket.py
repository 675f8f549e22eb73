"""PMC's bucket on a local S3 API server, laid out from any set of packages.

``python -m tests.fakes.pmc_bucket --packages DIR --port 5000`` serves one until it is stopped.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mypy_boto3_s3 import S3Client

from biomedica_ray.jats import Article, JatsError, parse_article
from biomedica_ray.sources.base import Listed
from biomedica_ray.sources.packages import PackagesSource
from tests.fakes.s3 import CREDENTIALS, client, s3_server

BUCKET = "pmc-oa-opendata"
SNAPSHOTS = ("2026-11-21T01-00Z", "2026-11-22T01-00Z", "2026-11-23T01-00Z")
"""The first lists nothing any more, the second is the newest complete one, the third has no manifest yet."""


def lay_out(s3: S3Client, packages: str, bucket: str = BUCKET) -> list[str]:
    """Fill ``bucket`` with the packages below a directory; returns the article ids."""
    make_public_bucket(s3, bucket)
    source = PackagesSource(packages)
    listing = Listed.from_table(source.list())
    for listed in listing:
        _put_package(s3, bucket, source, listed)
    write_inventory(s3, bucket)
    return [listed.article_id for listed in listing]


def make_public_bucket(s3: S3Client, bucket: str = BUCKET) -> None:
    """A bucket that everyone may read without signing requests."""
    s3.create_bucket(Bucket=bucket)
    everyone = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everyone]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def write_inventory(s3: S3Client, bucket: str = BUCKET, days: Mapping[str, str] | None = None) -> None:
    """The daily inventory of ``metadata/`` as S3 Inventory writes it, in two parts, and older and unfinished ones.

    ``days`` gives dates of last_modified for article ids, instead of the one that the server says.
    """
    prefix = f"inventory-reports/{bucket}/metadata"
    dates = {f"metadata/{article_id}.json": day for article_id, day in (days or {}).items()}
    rows = [
        [
            bucket,
            entry["Key"],
            f"{dates.get(entry['Key']) or entry['LastModified'].date()}T00:00:00.000Z",
            entry["ETag"].strip('"'),
        ]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="metadata/")
        for entry in page.get("Contents", [])
    ]
    files = []
    for number, part in enumerate((rows[::2], rows[1::2])):
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(part)
        body = gzip.compress(text.getvalue().encode(), mtime=0)
        key = f"{prefix}/data/{number}.csv.gz"
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        files.append({"key": key, "size": len(body), "MD5checksum": _md5(body)})
    for snapshot, listed in zip(SNAPSHOTS[:2], ([], files), strict=True):
        manifest = {"sourceBucket": bucket, "fileFormat": "CSV", "files": listed}
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{snapshot}/manifest.json", Body=json.dumps(manifest).encode())
    s3.put_object(Bucket=bucket, Key=f"{prefix}/{SNAPSHOTS[2]}/manifest.checksum", Body=b"")
    s3.put_object(Bucket=bucket, Key=f"{prefix}/hive/dt={SNAPSHOTS[2]}/symlink.txt", Body=b"")


def edit_metadata(s3: S3Client, bucket: str, article_id: str, **facts: Any) -> None:
    """Replace fields of an article version's metadata document."""
    key = f"metadata/{article_id}.json"
    document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps({**document, **facts}).encode())


def _put_package(s3: S3Client, bucket: str, source: PackagesSource, listed: Listed) -> None:
    prefix = f"{listed.article_id}/"
    with source.open(listed) as package:
        urls = []
        for file in package.files:
            urls.append(_put(s3, bucket, prefix + file.name, package.read(file.name)))
        xml = package.read(package.xml) if package.xml else None
    xml_url = _put(s3, bucket, f"{prefix}{listed.article_id}.xml", xml) if xml is not None else None
    metadata = {
        "pmcid": listed.pmcid,
        "version": listed.version,
        **_described(xml),
        "is_pmc_openaccess": True,
        "is_manuscript": False,
        "is_historical_ocr": False,
        "xml_url": xml_url,
        "pdf_url": None,
        "media_urls": urls,
    }
    body = json.dumps(metadata).encode()
    for key in (f"metadata/{listed.article_id}.json", f"{prefix}{listed.article_id}.json"):
        s3.put_object(Bucket=bucket, Key=key, Body=body)


def _described(xml: bytes | None) -> dict[str, Any]:
    """What the service's metadata says of an article; the service knows even articles whose XML is broken."""
    try:
        article: Article | None = parse_article(xml) if xml else None
    except JatsError:
        article = None
    if article is None:
        return {"pmid": None, "doi": None, "title": None, "license_code": None, "is_retracted": False}
    return {
        "pmid": int(article.pmid) if article.pmid else None,
        "doi": article.doi,
        "title": article.title,
        "license_code": None if article.license_code == "other" else article.license_code,
        "is_retracted": article.is_retracted,
    }


def _put(s3: S3Client, bucket: str, key: str, body: bytes) -> str:
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}?md5={_md5(body)}"


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def main() -> None:
    """Serve a bucket until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packages", required=True, help="directory of PMCnnn folders and tar.gz")
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    with s3_server(options.port) as url:
        started = datetime.now(UTC)
        articles = lay_out(client(url), options.packages)
        seconds = (datetime.now(UTC) - started).total_seconds()
        print(f"{url} serves s3://{BUCKET} with {len(articles)} article versions ({seconds:.1f} s)", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
