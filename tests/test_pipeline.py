"""The whole pipeline: on the embedded sample, and on real articles where there are any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from biomedica_ray import cli
from biomedica_ray.config import STAGES
from biomedica_ray.report.summary import summary_rows
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from tests.fakes.pmc_bucket import lay_out
from tests.fakes.s3 import client, s3_server

DOCS = Path(__file__).parents[1] / "docs"
DEMO = str(Path(__file__).parents[1] / "jobs" / "demo.yaml")
LABELS = ("--label.labels", str(Path(__file__).parents[1] / "biomedica_ray" / "sample" / "labels.yaml"))


def runs(store: Store) -> dict[str, dict[str, Any]]:
    return {run["stage"]: run for run in read_runs(store)}


def rows(store: Store, stage: str, table: str, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    dataset = store.dataset(stage, table)
    table_ = dataset.to_table(columns=[name for name in dataset.schema.names if name not in without])
    return sorted(table_.to_pylist(), key=lambda row: str(next(iter(row.values()))))


def assert_rows_are_in_the_tables(store: Store, found: dict[str, dict[str, Any]]) -> None:
    """What the runs of a pipeline say of their rows is what its tables hold, and what came out goes into the next."""

    def count(stage: str, table: str) -> int:
        return store.dataset(stage, table).count_rows()

    def flow(stage: str, kind: str) -> tuple[int, int, int]:
        counts = found[stage]["counts"][kind]
        return counts["rows_in"], counts["rows_out"], counts["errors"]

    articles, figures, samples = (
        count("extract", "articles"),
        count("extract", "figures"),
        count("serialize", "samples"),
    )
    listed, damaged = count("listing", "listing"), count("extract", "errors")
    of_articles = sum(row["entity"] == "article" for row in rows(store, "extract", "errors"))
    assert flow("extract", "articles") == (listed, articles, of_articles)
    assert flow("extract", "figures")[1:] == (figures, damaged - of_articles)
    assert flow("dedupe", "figures") == (figures, figures, 0)
    assert flow("panels", "figures") == (figures, count("panels", "panels"), 0)
    assert flow("annotate", "figures") == (figures, count("embed/timm-tf_efficientnet_lite0", "embeddings"), 0)
    assert flow("label", "labels") == (figures, count("label", "labels"), 0)
    assert flow("serialize", "figures") == (figures, samples, count("serialize", "errors"))
    assert flow("serialize", "samples") == (samples, count("serialize/shards", "parquet"), 0)
    shards = store.read_json("dataset/dataset.json")["shards"]
    assert sum(shard["samples"] for shard in shards) == samples
    held_out = sum(shard["samples"] for shard in shards if shard["split"] == "test")
    assert flow("evaluate", "samples") == (held_out, held_out, 0)


@pytest.mark.cluster
def test_every_stage_accounts_for_every_row(demo_store: Path) -> None:
    store = Store(str(demo_store))
    found = runs(store)
    assert list(found) == [
        stage for stage in STAGES if stage not in {"enrich", "classify", "propose", "select"}
    ]  # they need sections
    assert {run["status"] for run in found.values()} == {"done"}
    assert_rows_are_in_the_tables(store, found)


@pytest.mark.cluster
def test_the_sample_teaches_something(demo_store: Path) -> None:
    found = runs(Store(str(demo_store)))
    train, tasks = found["train"]["results"], found["evaluate"]["results"]["tasks"]
    accuracy = tasks["zero_shot_primary_label"]["accuracy"]
    assert train["last_loss"] < 0.7 * train["first_loss"]
    assert accuracy["value"] > 2 * accuracy["chance"]


@pytest.mark.cluster
def test_each_kind_of_repeat_is_found(demo_store: Path) -> None:
    kinds = {row["kind"] for row in rows(Store(str(demo_store)), "dedupe", "duplicates")}
    assert {"version", "same-doi", "exact", "near"} <= kinds


@pytest.mark.cluster
def test_a_second_run_of_the_pipeline_does_nothing(demo_store: Path, ray_cluster: None) -> None:
    store = Store(str(demo_store))
    before = {stage: store.commits(stage) for stage in ("listing", "extract", "dedupe", "panels", "label", "serialize")}
    shards = store.read_json("dataset/dataset.json")
    assert cli.main(["pipeline", "--config", DEMO, "--store", store.root, *LABELS]) == 0
    assert {stage: store.commits(stage) for stage in before} == before
    assert store.read_json("dataset/dataset.json") == shards


NOT_ONE_TO_ONE = {
    "10.21105_jose.00221": +1,  # a graphic outside fig and table-wrap, which the counts of the corpus leave out
    "10.7554_elife.19405": +1,  # an inline graphic alone in its paragraph
    "10.1590_1414-431x2021e11439": -2,  # two figures with two alternatives each: one image of two graphics
}


@pytest.fixture(scope="module")
def real_stores(
    corpus: Path, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Store]]:
    """The real articles from packages through the whole pipeline, and extracted from a bucket over HTTP."""
    packages, bucket = (Store(str(tmp_path_factory.mktemp(name))) for name in ("packages", "bucket"))
    source = ["--extract.source", "packages", "--extract.packages", str(corpus / "packages")]
    brief = ["--train.epochs", "1", "--train.num_workers", "1"]
    assert cli.main(["pipeline", "--config", DEMO, "--store", packages.root, *brief, *source]) == 0
    demo = yaml.safe_load(Path(DEMO).read_text())
    with s3_server() as url:
        lay_out(client(url), str(corpus / "packages"))
        demo["extract"] |= {"source": "pmc", "source_endpoint_url": url}
        config = tmp_path_factory.mktemp("extract") / "config.yaml"
        config.write_text(yaml.safe_dump({"store": bucket.root, **demo["extract"]}))
        assert cli.main(["extract", "--config", str(config)]) == 0
    yield packages, bucket


@pytest.mark.cluster
@pytest.mark.corpus
@pytest.mark.timeout(1800)
def test_real_articles_give_the_same_tables_from_either_source(real_stores: tuple[Store, Store]) -> None:
    for table in ("articles", "figures", "errors"):
        ours, theirs = (rows(store, "extract", table, without=("where",)) for store in real_stores)
        assert len(ours) == len(theirs), table
        for a, b in zip(ours, theirs, strict=True):
            assert a == b, (table, next(iter(a.values())))
    first, second = (store.commits("extract") for store in real_stores)
    assert first.keys() == second.keys()


@pytest.mark.cluster
@pytest.mark.corpus
@pytest.mark.timeout(1800)
def test_the_counts_of_real_articles_are_those_of_the_corpus(corpus: Path, real_stores: tuple[Store, Store]) -> None:
    import csv

    with (corpus / "SOURCES.tsv").open() as file:
        sources = {
            Path(row["file"]).parent.name: row for row in csv.DictReader(file, delimiter="\t") if row["set"] == "A"
        }
    store = real_stores[0]
    articles = {row["pmcid"]: row for row in rows(store, "extract", "articles", without=("sections", "references"))}
    assert articles.keys() == sources.keys()
    in_figures = dict.fromkeys(sources, 0)
    for row in rows(store, "extract", "figures", without=("image",)):
        in_figures[row["article_id"].removesuffix(".1")] += 1
    missing = dict.fromkeys(sources, 0)
    for row in rows(store, "extract", "errors"):
        assert row["kind"] == "missing-image"
        missing[row["what"].rpartition(".1_")[0]] += 1
    for name, source in sources.items():
        graphics = int(source["n_graphic_in_fig"]) + int(source["n_tablewrap_graphic"])
        assert in_figures[name] + missing[name] == graphics + NOT_ONE_TO_ONE.get(name, 0), name
    assert sum(in_figures.values()) == 265
    assert sum(missing.values()) == 63


@pytest.mark.cluster
@pytest.mark.corpus
@pytest.mark.timeout(1800)
def test_the_page_about_a_real_run_shows_its_counts(real_stores: tuple[Store, Store]) -> None:
    table = re.findall(r"^\| (.+?) \| (.+?) \|", (DOCS / "real-run.md").read_text(), re.MULTILINE)
    found = dict(summary_rows(real_stores[0], "clip"))
    counts = ("articles", "figures", "errors", "duplicates", "clusters", "samples")
    assert {name: shown for name, shown in table if name in counts} == {name: found[name] for name in counts}
