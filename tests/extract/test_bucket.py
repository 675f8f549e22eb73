"""Extraction from the bucket: what is asked of the server, what its faults do, and how errors are tried again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from biomedica_ray import backoff
from biomedica_ray.config import ConfigError
from biomedica_ray.extract.reasons import reasons_of_tables
from biomedica_ray.runs import Run
from biomedica_ray.sources import pmc_cloud
from biomedica_ray.sources.retries import ATTEMPTS
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.extract.extracting import extract_here, ids, jpeg, table, write_folder
from tests.fakes.flaky_proxy import Seen, Spoil, flaky_proxy
from tests.fakes.pmc_bucket import edit_metadata, lay_out, write_inventory
from tests.fakes.s3 import client, s3_server

ARTICLES = {"PMC1": "CC BY", "PMC2": "CC BY-NC", "PMC3": "CC BY", "PMC4": "CC BY", "PMC5": "CC BY", "PMC5.2": "CC BY"}
DAYS = {f"PMC{n}.1": f"2026-11-0{n}" for n in range(1, 6)} | {"PMC5.2": "2026-11-06"}
FILES = {"PMC5.2": 3} | {f"PMC{n}": 2 for n in range(1, 6)}
"""Figures of each."""


@dataclass
class Bucket:
    """A bucket of the server that a test may change."""

    s3: S3Client
    name: str
    endpoint: str

    def extract(self, store: Store | Path, spoil: Spoil = lambda _, __: None, **keys: Any) -> tuple[Run, Seen]:
        """Extract through a proxy; returns the run, and what the proxy has seen."""
        with flaky_proxy(self.endpoint, spoil) as (url, seen):
            run = extract_here(store, **{"bucket": self.name, "source_endpoint_url": url, "fetches": 4, **keys})
        return run, seen

    def path(self, key: str) -> str:
        return f"/{self.name}/{key}"

    def objects(self, *article_ids: str) -> dict[str, int]:
        """Every object that those article versions are read from, each once."""
        keys = {f"metadata/{article_id}.json": 1 for article_id in article_ids}
        for article_id in article_ids:
            figures = FILES[article_id.removesuffix(".1")]
            keys |= {f"{article_id}/{article_id}.xml": 1}
            keys |= {f"{article_id}/f{n}.jpg": 1 for n in range(1, figures + 1)}
        return keys

    def asked(self, seen: Seen) -> dict[str, int]:
        """Key -> how often it was asked for, but for the inventory and its listing."""
        return {key: n for key, n in seen.below(self.path("")).items() if key and not key.startswith("inventory-")}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, request: pytest.FixtureRequest) -> Bucket:
    """Six versions of five articles: PMC2 is not for commercial use, PMC3 retracted, PMC4 not open access."""
    name = "b" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    for article, license_code in ARTICLES.items():
        write_folder(tmp_path / "packages", article, license_code, FILES[article])
    s3 = client(endpoint)
    lay_out(s3, str(tmp_path / "packages"), name)
    edit_metadata(s3, name, "PMC3.1", is_retracted=True)
    edit_metadata(s3, name, "PMC4.1", is_pmc_openaccess=False)
    write_inventory(s3, name, DAYS)
    return Bucket(s3, name, endpoint)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.01)


ALL = ("PMC1.1", "PMC2.1", "PMC3.1", "PMC5.2")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (ALL, {"older-version": 1}, {"PMC4.1": "not-open-access"})),
        (
            {"licenses": ["commercial"], "keep_retracted": False},
            (
                ("PMC1.1", "PMC5.2"),
                {"older-version": 1},
                {"PMC2.1": "license", "PMC3.1": "retracted", "PMC4.1": "not-open-access"},
            ),
        ),
        ({"versions": "all", "open_access_only": False}, ((*ALL, "PMC4.1", "PMC5.1"), {}, {})),
        ({"pmcids": "PMC1\nPMC4\n9\n"}, (("PMC1.1",), {"not-in-pmcids": 4}, {"PMC4.1": "not-open-access"})),
        (
            {"since": "2026-11-03"},
            (("PMC3.1", "PMC5.2"), {"older-version": 1, "before-since": 2}, {"PMC4.1": "not-open-access"}),
        ),
    ],
)
def test_nothing_is_fetched_of_what_is_left_out(
    bucket: Bucket, tmp_path: Path, keys: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    taken, left_out, skipped = expected
    if "pmcids" in keys:
        (tmp_path / "pmcids.txt").write_text(keys["pmcids"])
        keys = {"pmcids": str(tmp_path / "pmcids.txt")}
    run, seen = bucket.extract(tmp_path / "store", **keys)
    assert ids(tmp_path / "store") == set(taken)
    assert bucket.asked(seen) == {
        **bucket.objects(*taken),
        **{f"metadata/{article_id}.json": 1 for article_id in skipped},
    }
    assert run.results["left_out"] == left_out
    catalog = {row["article_id"]: row["skipped"] for row in table(tmp_path / "store", "catalog")}
    assert catalog == {**dict.fromkeys(taken), **skipped}
    assert run.counts["articles"] == Flow(len(catalog), len(taken), 0, len(skipped))


def test_a_limit_fetches_no_more(bucket: Bucket, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run, seen = bucket.extract(store, limit=2)
    first = {row["article_id"] for row in table(store, "catalog")}
    assert len(first) == 2
    assert {key.split("/")[1].removesuffix(".json") for key in bucket.asked(seen) if key[0] == "m"} == first
    assert run.results["left_out"] == {"older-version": 1, "over-limit": 3}
    _, seen = bucket.extract(store, limit=4)
    new = {row["article_id"] for row in table(store, "catalog")} - first
    assert len(new) == 2
    assert bucket.asked(seen) == bucket.objects(*new & set(ALL)) | {f"metadata/{one}.json": 1 for one in new}


def test_a_second_run_fetches_only_what_changed(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    bucket.extract(store)
    before = table(store, "figures")
    _, seen = bucket.extract(store)
    assert bucket.asked(seen) == {}
    assert seen.asked, "the inventory"
    bucket.s3.put_object(Bucket=bucket.name, Key="PMC1.1/f2.jpg", Body=(new := jpeg("new")))
    urls = [
        f"s3://{bucket.name}/PMC1.1/f1.jpg",
        f"s3://{bucket.name}/PMC1.1/f2.jpg?md5={hashlib.md5(new, usedforsecurity=False).hexdigest()}",
    ]
    edit_metadata(bucket.s3, bucket.name, "PMC1.1", media_urls=urls)
    write_inventory(bucket.s3, bucket.name, DAYS)
    _, seen = bucket.extract(store)
    assert bucket.asked(seen) == bucket.objects("PMC1.1")
    after = table(store, "figures")
    changed = [row["figure_id"] for row in after if row not in before]
    assert (changed, len(after)) == (["PMC1.1_002"], len(before))
    assert next(row["image"] for row in table(store, "images") if row["figure_id"] == "PMC1.1_002") == new
    write_inventory(bucket.s3, bucket.name)  # other dates, the same etags
    _, seen = bucket.extract(store)
    assert bucket.asked(seen) == {}


def test_other_filters_fetch_only_what_they_treat_otherwise(bucket: Bucket, tmp_path: Path) -> None:
    store = tmp_path / "store"
    bucket.extract(store, licenses=["commercial"])
    assert ids(store) == {"PMC1.1", "PMC3.1", "PMC5.2"}
    run, seen = bucket.extract(store)
    assert bucket.asked(seen) == bucket.objects("PMC2.1")
    assert ids(store) == set(ALL)
    assert run.counts["articles"] == Flow(5, 4, 0, 1)
    run, seen = bucket.extract(store, keep_retracted=False, allow_drop=True)
    assert bucket.asked(seen) == {"metadata/PMC3.1.json": 1}
    assert ids(store) == set(ALL) - {"PMC3.1"}
    clean = tmp_path / "clean"
    bucket.extract(clean, keep_retracted=False)
    for name in ("catalog", "articles", "figures", "errors"):
        assert table(store, name) == table(clean, name)


def test_the_rows_after_a_storm_are_those_of_a_calm_run(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pmc_cloud, "READ_TIMEOUT_S", 1.0)

    def storm(path: str, times: int) -> str | None:
        """Up to three faults of any kind before each answer."""
        digest = hashlib.sha256(path.encode()).digest()
        if times >= digest[0] % 4:
            return None
        return ("503", "truncate", "alter" if path.endswith((".jpg", ".xml", ".gz")) else "503", "hang")[
            digest[times + 1] % 4
        ]

    bucket.extract(tmp_path / "calm", versions="all")
    _, seen = bucket.extract(tmp_path / "store", storm, versions="all")
    assert seen.asked.total() > 1.5 * len(seen.asked), "there was no storm"
    for name in ("catalog", "articles", "figures", "errors"):
        assert table(tmp_path / "store", name) == table(tmp_path / "calm", name)


def test_lasting_faults_are_errors_and_only_the_retryable_ones_are_tried_again(bucket: Bucket, tmp_path: Path) -> None:
    store, clean = Store(str(tmp_path / "store")), Store(str(tmp_path / "clean"))
    bucket.s3.delete_object(Bucket=bucket.name, Key="PMC2.1/f1.jpg")
    bucket.s3.put_object(Bucket=bucket.name, Key="PMC5.1/PMC5.1.xml", Body=b"<article>")
    edit_metadata(bucket.s3, bucket.name, "PMC5.1", xml_url=f"s3://{bucket.name}/PMC5.1/PMC5.1.xml")
    write_inventory(bucket.s3, bucket.name, DAYS)
    bucket.extract(clean, versions="all")
    faults = {
        "PMC1.1/PMC1.1.xml": "503",
        "PMC2.1/f2.jpg": "alter",
        "metadata/PMC3.1.json": "truncate",
        "PMC5.2/f3.jpg": "503",
    }
    by_path = {bucket.path(key): how for key, how in faults.items()}
    run, seen = bucket.extract(store, lambda path, _: by_path.get(path), versions="all")
    assert {key: n for key, n in bucket.asked(seen).items() if n > 1} == dict.fromkeys(faults, ATTEMPTS)
    columns = ("article_id", "what", "file", "kind", "retryable", "attempts")
    found = [tuple(row[column] for column in columns) for row in table(store, "errors")]
    assert sorted(found, key=str) == [
        ("PMC1.1", "PMC1.1", "PMC1.1.xml", "unavailable", True, ATTEMPTS),
        ("PMC2.1", "PMC2.1_001", "f1.jpg", "missing-file", False, 1),
        ("PMC2.1", "PMC2.1_002", "f2.jpg", "checksum-mismatch", True, ATTEMPTS),
        ("PMC3.1", "PMC3.1", None, "unavailable", True, ATTEMPTS),
        ("PMC5.1", "PMC5.1", "PMC5.1.xml", "bad-xml", False, 1),
        ("PMC5.2", "PMC5.2_003", "f3.jpg", "unavailable", True, ATTEMPTS),
    ]
    assert run.counts == {"articles": Flow(6, 2, 3, 1), "figures": Flow(5, 2, 3)}
    assert run.results["reasons"] == {
        "article errors": {"unavailable": 2, "bad-xml": 1},
        "articles skipped": {"not-open-access": 1},
        "figure errors": {"missing-file": 1, "checksum-mismatch": 1, "unavailable": 1},
        "retryable article errors": {"unavailable": 2},
        "retryable figure errors": {"checksum-mismatch": 1, "unavailable": 1},
    }
    lost = {"PMC2.1_002", "PMC5.2_003"}
    kept = [
        r for r in table(clean, "figures") if r["article_id"] in {"PMC2.1", "PMC5.2"} and r["figure_id"] not in lost
    ]
    assert table(store, "figures") == kept

    _, seen = bucket.extract(store, lambda path, _: by_path.get(path), retry_errors=True)
    assert len(table(store, "errors")) == 6, "the server is still in trouble"
    assert not any("PMC5.1" in key for key in bucket.asked(seen)), "it failed for good"
    run, seen = bucket.extract(store, retry_errors=True)
    assert bucket.asked(seen) == bucket.objects("PMC1.1", "PMC2.1", "PMC3.1", "PMC5.2")
    for name in ("catalog", "articles", "figures", "errors"):
        assert table(store, name) == table(clean, name)
    assert run.counts == {"articles": Flow(6, 4, 1, 1), "figures": Flow(9, 8, 1)}
    _, seen = bucket.extract(store, retry_errors=True)
    assert not seen.asked, "what failed for good is not asked for again"
    _, seen = bucket.extract(store, versions="all")
    assert bucket.asked(seen) == {}


def test_requests_at_a_time_and_connections_are_as_many_as_fetches(bucket: Bucket, tmp_path: Path) -> None:
    def slow(path: str, _: int) -> None:
        time.sleep(0.02)

    _, seen = bucket.extract(tmp_path / "store", slow, versions="all", units=1, fetches=3)
    assert 1 < seen.peak <= 3
    assert seen.asked.total() > 25
    assert seen.connections <= 3 + 2, "and one that listed the snapshots and one that read the inventory"


def test_retrying_wants_the_filters_of_the_store(bucket: Bucket, tmp_path: Path) -> None:
    bucket.extract(tmp_path / "store")
    with pytest.raises(ConfigError, match="retry_errors: the store was extracted with other filters"):
        bucket.extract(tmp_path / "store", retry_errors=True, keep_retracted=False)


def test_retrying_wants_the_listing(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    bucket.extract(store)
    unit = min(store.extracted())
    store.delete(store.commit("listing", unit).record)
    with pytest.raises(ConfigError, match=f"retry_errors: the listing of unit {unit} is gone; run extract without it"):
        bucket.extract(store, retry_errors=True)


def test_reasons_are_counted_where_rows_are_written(bucket: Bucket, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    for spoil in (lambda path, _: "503" if path.endswith("f1.jpg") else None), (lambda _, __: None):
        run, _ = bucket.extract(store, spoil)
        commits = store.extracted().values()
        assert [commit.reasons for commit in commits] == [reasons_of_tables(store, commit) for commit in commits]
        assert ("figure errors" in run.results["reasons"]) == (
            "figures" in run.counts and run.counts["figures"].errors > 0
        )
    assert run.results["reasons"] == {"articles skipped": {"not-open-access": 1}}


def test_again_fetches_what_has_not_changed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.extract(tmp_path / "store")
    _, seen = bucket.extract(tmp_path / "store")
    assert bucket.asked(seen) == {}
    run, seen = bucket.extract(tmp_path / "store", again=True)
    assert bucket.asked(seen) == bucket.objects(*ALL) | {"metadata/PMC4.1.json": 1}
    assert (run.counts["articles"].rows_out, run.before) == (len(ALL), {})
