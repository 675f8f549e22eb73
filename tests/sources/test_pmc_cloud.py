from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from biomedica_ray.sample import PACKAGES
from biomedica_ray.sources.base import Listed, SourceError
from biomedica_ray.sources.packages import PackagesSource
from biomedica_ray.sources.pmc_cloud import PmcSource, split_url
from biomedica_ray.sources.retries import ATTEMPTS
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.pmc_bucket import BUCKET, lay_out, make_public_bucket, write_inventory
from tests.fakes.s3 import client, s3_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        lay_out(client(url), str(PACKAGES))
        yield url


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def first_with_images(source: PmcSource) -> tuple[Listed, str]:
    for listed in sorted(Listed.from_table(source.list()), key=lambda row: row.article_id):
        with source.open(listed) as package:
            for file in package.files:
                if file.name.endswith(".jpg"):
                    return listed, file.name
    raise AssertionError("no article with a .jpg")


def test_the_newest_complete_inventory_is_listed(endpoint: str) -> None:
    listing = PmcSource(endpoint_url=endpoint).list()
    assert listing.schema.metadata == {b"date": b"2026-11-22"}
    rows = Listed.from_table(listing)
    packages = Listed.from_table(PackagesSource(str(PACKAGES)).list())
    assert {row.article_id for row in rows} == {row.article_id for row in packages}
    assert len(rows) == len(packages)
    one = rows[0]
    assert one.source_uri == f"s3://{BUCKET}/{one.article_id}/"
    assert one.last_modified is not None
    assert len(one.etag) == 32


def test_files_are_those_of_the_packages(endpoint: str) -> None:
    source, packages = PmcSource(endpoint_url=endpoint), PackagesSource(str(PACKAGES))
    there = {row.article_id: row for row in Listed.from_table(packages.list())}
    for row in Listed.from_table(source.list()):
        with source.open(row) as ours, packages.open(there[row.article_id]) as theirs:
            assert [file.name for file in ours.files] == [file.name for file in theirs.files]
            assert all(file.md5 for file in ours.files)
            assert (ours.xml is None) == (theirs.xml is None)
            for file in ours.files[:2]:
                assert ours.read(file.name) == theirs.read(file.name)


@pytest.mark.parametrize("how", ["503", "truncate", "alter"])
def test_a_passing_fault_is_tried_again(endpoint: str, how: str) -> None:
    listed, name = first_with_images(PmcSource(endpoint_url=endpoint))
    path = f"/{BUCKET}/{listed.article_id}/{name}"
    with flaky_proxy(endpoint, lambda p, n: how if p == path and n < 2 else None) as (url, seen):
        with PmcSource(endpoint_url=url).open(listed) as package:
            body = package.read(name)
        assert seen.asked[path] == 3
    with PmcSource(endpoint_url=endpoint).open(listed) as package:
        assert body == package.read(name)


@pytest.mark.parametrize(("how", "kind"), [("alter", "checksum-mismatch"), ("truncate", "unavailable")])
def test_a_lasting_fault_names_the_object_and_how_often_it_was_tried(endpoint: str, how: str, kind: str) -> None:
    listed, name = first_with_images(PmcSource(endpoint_url=endpoint))
    path = f"/{BUCKET}/{listed.article_id}/{name}"
    with (
        flaky_proxy(endpoint, lambda p, _: how if p == path else None) as (url, _),
        PmcSource(endpoint_url=url).open(listed) as package,
        pytest.raises(SourceError, match=listed.article_id) as raised,
    ):
        package.read(name)
    assert (raised.value.kind, raised.value.attempts, raised.value.retryable) == (kind, ATTEMPTS, True)


def test_what_is_not_there_is_not_tried_again(endpoint: str) -> None:
    with pytest.raises(SourceError, match="no such object") as raised:
        PmcSource(endpoint_url=endpoint).get("PMC0.1/PMC0.1.xml")
    assert (raised.value.kind, raised.value.attempts, raised.value.retryable) == ("missing-file", 1, False)


def test_a_closed_bucket_is_not_tried_again() -> None:
    with s3_server() as url:
        client(url).create_bucket(Bucket="closed")
        client(url).put_object(Bucket="closed", Key="x", Body=b"")
        with pytest.raises(SourceError, match="access denied") as raised:
            PmcSource("closed", endpoint_url=url).get("x")
    assert (raised.value.kind, raised.value.attempts) == ("forbidden", 1)


def test_wrong_metadata_is_an_error_that_names_the_document() -> None:
    with s3_server() as url:
        s3 = client(url)
        make_public_bucket(s3)
        s3.put_object(Bucket=BUCKET, Key="metadata/PMC1.1.json", Body=b'{"pmcid": "PMC1"}')
        s3.put_object(Bucket=BUCKET, Key="metadata/PMC2.1.json", Body=b"not JSON")
        s3.put_object(Bucket=BUCKET, Key="metadata/notes.txt", Body=b"")
        s3.put_object(
            Bucket=BUCKET, Key="metadata/a%20b+c.1.json", Body=json.dumps({"pmcid": "x", "version": 1}).encode()
        )
        write_inventory(s3)
        source = PmcSource(endpoint_url=url)
        rows = {row.article_id: row for row in Listed.from_table(source.list())}
        assert {"PMC1.1", "PMC2.1"} < set(rows)
        assert "notes" not in " ".join(rows)
        for article_id in ("PMC1.1", "PMC2.1"):
            with pytest.raises(SourceError, match=f"metadata/{article_id}.json") as raised:
                source.open(rows[article_id]).__enter__()
            assert raised.value.kind == "bad-metadata"


def test_a_bucket_without_inventory_is_named() -> None:
    with s3_server() as url:
        make_public_bucket(client(url))
        with pytest.raises(SourceError, match="no inventory snapshot with a manifest"):
            PmcSource(endpoint_url=url).list()


def test_urls_give_key_and_md5() -> None:
    assert split_url("s3://pmc-oa-opendata/PMC1.1/a%20b.jpg?md5=00ff") == ("PMC1.1/a b.jpg", "00ff")
    assert split_url("s3://pmc-oa-opendata/PMC1.1/gr1.jpg") == ("PMC1.1/gr1.jpg", None)
