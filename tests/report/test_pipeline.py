from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray.cli import main
from biomedica_ray.report.config import ReportConfig
from biomedica_ray.report.summary import print_summary, summary_rows
from biomedica_ray.runs import Run, read_runs
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.fakes.s3 import client, s3_server
from tests.report.stores import whole_store


@pytest.mark.cluster
def test_the_page_goes_to_the_store_or_where_the_config_says(ray_cluster: None, tmp_path: Path) -> None:
    store = whole_store(tmp_path / "store")
    assert main(["report", "--store", store.root]) == 0
    page = (tmp_path / "store" / "report.html").read_text()
    assert "<title>biomedica_ray</title>" in page
    (report,) = (record for record in read_runs(store) if record["stage"] == "report")
    results = report["results"]
    assert (results["report"], results["bytes"]) == (f"{store.root}/report.html", len(page.encode()))

    other = tmp_path / "elsewhere" / "page.html"
    assert main(["report", "--store", store.root, "--output", str(other), "--title", "Other"]) == 0
    assert "<title>Other</title>" in other.read_text()


@pytest.mark.cluster
def test_a_store_in_object_storage(ray_cluster: None) -> None:
    with s3_server() as endpoint:
        s3 = client(endpoint)
        s3.create_bucket(Bucket="stores")
        whole_store("s3://stores/one", endpoint)
        assert main(["report", "--store", "s3://stores/one", "--endpoint_url", endpoint]) == 0
        page = s3.get_object(Bucket="stores", Key="one/report.html")["Body"].read().decode()
    assert page.count('<div class="group">') == 2
    assert "kept" in page


@pytest.mark.cluster
def test_an_output_that_cannot_be_a_file(ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--store", str(tmp_path), "--output", "folder/"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "biomedica report: output: expected a file, got 'folder/'"


@pytest.mark.cluster
def test_no_store(ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--store", str(tmp_path / "none")]) == 1
    assert "no store here; run `biomedica extract` first" in capsys.readouterr().err


def test_summary_in_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = whole_store(tmp_path)
    print_summary(ReportConfig(store=store.root))
    printed = " ".join(capsys.readouterr().out.split())
    assert "duplicates 3 figures (and 1 article)" in printed
    assert "training loss 4 → 0.5 (8 steps)" in printed
    assert "zero-shot accuracy 62.5 % (chance 12.5 %)" in printed
    assert f"report: {store.root}/report.html" in printed
    rows = dict(summary_rows(store, "clip"))
    assert rows["time"].split()[::3] == ["extract", "dedupe", "annotate", "label", "serialize", "train", "evaluate"]


def test_summary_of_a_store_whose_only_dataset_is_of_another_profile(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(1)
    with Run("serialize", SerializeConfig(store=store.root, profile="train")) as run:
        run.add({"figures": Flow(5, 5, 0)})
    shards = {"shards": [{"path": "a.tar", "samples": 5, "bytes": 12_345}]}
    store.write_json("profiles/train-512-q90/dataset/dataset.json", shards)
    assert dict(summary_rows(store, "clip"))["samples"] == "5 (in 1 shard, 12.3 kB)"


def test_summary_of_a_store_with_nothing_in_it(tmp_path: Path) -> None:
    assert summary_rows(Store(str(tmp_path)), "clip") == []
