"""A store on Google Cloud Storage: what is read from it by ranges, and stages that write to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import biomedica_ray
from biomedica_ray.cli import main
from biomedica_ray.reading.tars import Tars
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store, ranges
from biomedica_ray.store.ranges import open_ahead, open_random
from tests.fakes.gcs import gcs_server


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with gcs_server("stores") as url:
        yield url


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 20_007])
def test_objects_are_read_by_ranges(google: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 1000)
    store, data = Store("gs://stores/objects", google), np.random.default_rng(size).bytes(size)
    store.write_bytes(f"{size}.tar", data)
    with open_ahead(store, f"{size}.tar") as stream:
        assert stream.read() == data
    with open_random(store, f"{size}.tar") as file:
        file.seek(size // 2)
        assert file.read(2500) == data[size // 2 :][:2500]
    tars = Tars("shards", google)
    with tars.open(f"gs://stores/objects/{size}.tar") as stream:
        assert stream.read() == data
    listed = tars.listed("gs://stores/objects")
    assert listed[f"gs://stores/objects/{size}.tar"].split()[0] == str(size)


def test_what_is_not_there_is_told_at_once(google: str) -> None:
    store = Store("gs://stores/objects", google)
    with (
        pytest.raises(FileNotFoundError, match="gs://stores/objects/none: no such object"),
        open_ahead(store, "none") as it,
    ):
        it.read(1)
    with pytest.raises(FileNotFoundError), open_random(store, "none"):
        pass


def test_a_bucket_that_is_not_there_is_one_line(google: str) -> None:
    line = ["dedupe", "--store", "gs://none/pmc", "--endpoint_url", google]
    done = subprocess.run(
        [sys.executable, "-m", "biomedica_ray", *line], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"store gs://none/pmc at {google}: there is no such bucket")


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_stages_from_articles_to_a_dataset(ray_cluster: None, google: str) -> None:
    def run() -> None:
        for stage, *keys in (["extract", "--source", "sample"], ["dedupe"], ["panels"], ["serialize"]):
            line = [*keys, "--store", "gs://stores/pmc", "--endpoint_url", google, "--memory_gb", "1"]
            assert main([stage, *line]) == 0

    run()
    store = Store("gs://stores/pmc", google)
    counts = {run["stage"]: run["counts"] for run in read_runs(store)}
    figures = store.dataset("extract", "figures").count_rows()
    assert counts["dedupe"]["figures"]["rows_out"] == figures > 100
    samples = counts["serialize"]["samples"]["rows_out"]
    assert biomedica_ray.load("gs://stores/pmc/dataset", endpoint_url=google).count() == samples > 100
    commits = store.commits("extract")
    run()
    assert store.commits("extract") == commits
