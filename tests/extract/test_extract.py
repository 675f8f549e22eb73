from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biomedica_ray import cli
from biomedica_ray.extract.pipeline import ExtractWorker
from biomedica_ray.runs import read_runs
from biomedica_ray.sample import PACKAGES
from biomedica_ray.schema import LISTING
from biomedica_ray.sources.filters import Filters, split_by_unit
from biomedica_ray.sources.packages import PackagesSource
from biomedica_ray.sources.pmc_cloud import PmcSource
from biomedica_ray.sources.retries import ATTEMPTS
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.head import kill_driver
from tests.fakes.pmc_bucket import BUCKET, lay_out
from tests.fakes.s3 import client, free_port, s3_server

TABLES = ("articles", "figures", "errors")
PLACES = ("where", "file")
"""Columns that name a place, and differ between sources."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        lay_out(client(url), str(PACKAGES))
        client(url).create_bucket(Bucket="stores")
        yield url


def rows(store: Store, without: tuple[str, ...] = ()) -> dict[str, list[dict[str, Any]]]:
    """Every row of what extract writes, sorted, without columns that name the place."""
    result = {}
    for table in TABLES:
        dataset = store.dataset("extract", table)
        names = [name for name in dataset.schema.names if name not in without]
        result[table] = sorted(dataset.to_table(columns=names).to_pylist(), key=str)
    return result


def extract(store: Path | str, *arguments: str) -> int:
    return cli.main(["extract", "--store", str(store), "--versions", "all", *arguments])


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Store:
    """The embedded sample, extracted in one go."""
    root = tmp_path_factory.mktemp("clean")
    assert extract(root, "--source", "sample") == 0
    return Store(str(root))


@pytest.mark.cluster
def test_nothing_is_lost(clean: Store) -> None:
    tables = rows(clean)
    (run,) = read_runs(clean)
    counts = {kind: Flow(**flow) for kind, flow in run["counts"].items()}
    n_packages = len(PackagesSource(str(PACKAGES)).list())
    by_entity = {e: sum(row["entity"] == e for row in tables["errors"]) for e in ("article", "figure")}
    assert counts["articles"] == Flow(n_packages, len(tables["articles"]), by_entity["article"])
    assert counts["figures"].rows_out == len(tables["figures"])
    assert counts["figures"].errors == by_entity["figure"]
    assert all(flow.balanced for flow in counts.values())
    assert len({row["figure_id"] for row in tables["figures"]}) == len(tables["figures"])
    assert run["status"] == "done"
    assert run["config"]["source"] == "sample"


@pytest.mark.cluster
def test_a_rerun_does_nothing_and_a_changed_article_only_its_unit(
    clean: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    packages = shutil.copytree(PACKAGES, tmp_path / "packages")
    store = Store(str(tmp_path / "store"))
    arguments = ("--source", "packages", "--packages", str(packages))
    assert extract(store.root, *arguments) == 0
    assert rows(store, PLACES) == rows(clean, PLACES)
    first = {unit: commit.run_id for unit, commit in store.commits("extract").items()}
    assert extract(store.root, *arguments) == 0
    assert {unit: commit.run_id for unit, commit in store.commits("extract").items()} == first
    capfd.readouterr()
    assert extract(store.root, *arguments, "--limit", "1") == 2
    refusal = [line for line in capfd.readouterr().err.splitlines() if line.startswith("biomedica extract: ")]
    assert refusal[0].startswith("biomedica extract: limit: would drop 32 of the 33 article versions")
    assert {unit: commit.run_id for unit, commit in store.commits("extract").items()} == first
    folder = next(path for path in sorted(packages.iterdir()) if path.is_dir())
    (folder / "note.txt").write_text("changed")
    assert extract(store.root, *arguments) == 0
    after = {unit: commit.run_id for unit, commit in store.commits("extract").items()}
    assert [after[unit] == first[unit] for unit in after].count(False) == 1
    shutil.rmtree(folder)
    assert extract(store.root, *arguments) == 0
    ids = {row["article_id"] for row in rows(store)["articles"]}
    assert not any(article_id.startswith(folder.name.split(".")[0] + ".") for article_id in ids)


@pytest.mark.cluster
def test_the_bucket_gives_the_same_articles_as_the_packages(clean: Store, endpoint: str) -> None:
    store = Store("s3://stores/sample", endpoint)
    arguments = ("--endpoint_url", endpoint, "--source", "pmc", "--source_endpoint_url", endpoint)
    assert extract(store.root, *arguments) == 0
    assert rows(store, PLACES) == rows(clean, PLACES)


@pytest.mark.cluster
def test_all_workers_together_keep_within_max_fetches_and_get_through_a_storm(
    clean: Store, endpoint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two workers could run, and fetch six articles at a time each."""

    def storm(path: str, times: int) -> str | None:
        time.sleep(0.01)
        digest = hashlib.sha256(path.encode()).digest()
        fault = "alter" if path.endswith((".jpg", ".png", ".xml")) else "truncate"
        return ("503", fault)[digest[1] % 2] if digest[0] < 64 and times == 0 else None

    store = Store(str(tmp_path / "store"))
    arguments = ("--source", "pmc", "--licenses", "[commercial, noncommercial]", "--fetches", "6", "--max_fetches", "6")
    with flaky_proxy(endpoint, storm) as (url, seen):
        assert extract(store.root, *arguments, "--source_endpoint_url", url) == 0
    assert seen.asked.total() > 1.1 * len(seen.asked), "there was no storm"
    assert 1 < seen.peak <= 6
    expected = rows(clean, PLACES)
    taken = {row["article_id"] for row in expected["articles"] if row["license_group"] != "other"}
    found = rows(store, PLACES)
    assert found["articles"] == [row for row in expected["articles"] if row["article_id"] in taken]
    assert found["figures"] == [row for row in expected["figures"] if row["article_id"] in taken]
    lines = [line.partition("] extract: ")[2] for line in capfd.readouterr().err.splitlines()]
    kinds = Counter(row["kind"] for row in found["errors"] if row["entity"] == "figure")
    skipped = sum(row["skipped"] == "license" for row in store.dataset("extract", "catalog").to_table().to_pylist())
    assert f"articles skipped: license {skipped}" in lines
    assert "figure errors: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()) in lines
    assert any(line.startswith("articles: 33 in = ") and f" + {skipped} skipped" in line for line in lines)
    assert "33 article versions listed" in lines
    assert not any(line.startswith("retryable") for line in lines)


@pytest.mark.cluster
def test_a_killed_run_is_taken_up_again(clean: Store, endpoint: str, tmp_path: Path) -> None:
    """The driver is killed when some units are committed; the rerun does the rest and the rows are the same."""
    store = Store(str(tmp_path / "store"))

    def slow(path: str, _: int) -> None:
        time.sleep(0.05)

    with flaky_proxy(endpoint, slow) as (url, _):
        arguments = ["--source", "pmc", "--source_endpoint_url", url, "--versions", "all", "--store", store.root]
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        command = [sys.executable, "-m", "biomedica_ray.cli", "extract", *arguments]
        driver = subprocess.Popen(command, env=environment, start_new_session=True)
        deadline = time.monotonic() + 120
        while len(store.commits("extract")) < 3 and time.monotonic() < deadline and driver.poll() is None:
            time.sleep(0.05)
        kill_driver(driver)
        done = {unit: commit.run_id for unit, commit in store.commits("extract").items()}
        assert 3 <= len(done) < len(clean.commits("extract"))
        assert cli.main(["extract", *arguments]) == 0
    after = store.commits("extract")
    assert {unit: after[unit].run_id for unit in done} == done
    assert rows(store, PLACES) == rows(clean, PLACES)
    committed = {path for commit in after.values() for path in commit.files.values()}
    for table in (*TABLES[:2], "errors/extract"):
        assert {f"{table}/{name}" for name in store.list(table)} <= committed


def test_a_server_that_fails_for_long_makes_the_unit_incomplete_and_a_rerun_heals_it(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    listing = PmcSource(endpoint_url=endpoint).list()
    table = next(iter(split_by_unit(listing, np.zeros(len(listing), np.int64)).values()))
    some = table.filter(pa_starts(table, "PMC99000")).slice(0, 4)
    store = Store(str(tmp_path))
    with store.write_unit("listing", 0, "aa") as writer:
        writer.table("listing", LISTING).write(some)
        writer.commit({})
    lost = f"/{BUCKET}/metadata/{some['article_id'][0]}.json"
    with flaky_proxy(endpoint, lambda path, _: "truncate" if path == lost else None) as (url, _):
        counts = ExtractWorker(PmcSource(endpoint_url=url), Filters(), store, "run-1", 4)(0, "aa")
    assert counts["articles"] == Flow(4, 3, 1)
    assert not store.commit("extract", 0).complete
    (error,) = store.read(store.commit("extract", 0), "errors").to_pylist()[:1]
    assert (error["what"], error["kind"], error["attempts"]) == (some["article_id"][0].as_py(), "unavailable", ATTEMPTS)
    ExtractWorker(PmcSource(endpoint_url=endpoint), Filters(), store, "run-2", 4)(0, "aa")
    assert store.commit("extract", 0).complete


def pa_starts(table: Any, prefix: str) -> Any:
    import pyarrow.compute as pc

    return pc.starts_with(table["pmcid"], prefix)


@pytest.mark.cluster
def test_a_source_that_is_not_there_is_a_config_error_and_one_that_does_not_answer_a_failure(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract(tmp_path / "store", "--source", "packages", "--packages", str(tmp_path / "none")) == 2
    nobody = f"http://127.0.0.1:{free_port()}"
    elsewhere = ["--source", "packages", "--packages", "s3://none/here", "--source_endpoint_url", nobody]
    assert extract(tmp_path / "store", *elsewhere) == 1
    said = f"biomedica extract: source: s3://none/here at {nobody}: the server does not answer"
    assert capsys.readouterr().err.splitlines()[-1].startswith(said)
    assert not (tmp_path / "store").exists()
