"""The stage select, and what serialize and train make of a selection."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray import cli, schema
from biomedica_ray.config import ConfigError
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.runs import Run
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.select.pipeline import MatchWorker, TakeWorker, count_groups, selected_ids
from biomedica_ray.select.pipeline import run as select
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.pipeline import run as serialize
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow, LostRowsError, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, lose_a_row, picture, write_extracted

N_ARTICLES = 16
CONCEPTS = (["Microscopy"], ["Maps"], ["Microscopy", "Maps"], [])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two figures an article, the concepts in turn; every fourth article is noncommercial, and PMC15 not labelled."""
    store = Store(str(tmp_path / "store"))
    articles = [article(f"PMC{n}") for n in range(N_ARTICLES)]
    for row in articles[::4]:
        row.update(license_group="noncommercial")
    jpeg = encoded(picture(0), "JPEG")
    figures = [figure(f"PMC{n}.1", position, jpeg) for n in range(N_ARTICLES) for position in (1, 2)]
    write_extracted(store, articles, figures)
    for unit in store.commits("extract"):
        labels = [label(row) for row in figures if unit_of(pmcid(row), N_UNITS) == unit and pmcid(row) != "PMC15"]
        with store.write_unit("label", unit, "aa") as writer:
            writer.table("labels", schema.LABELS).write(labels)
            writer.commit({})
    return store


def pmcid(row: Row) -> str:
    return str(row["article_id"].partition(".")[0])


def label(row: Row) -> Row:
    its_number = 2 * int(pmcid(row).removeprefix("PMC")) + row["position"] - 1
    return {
        "figure_id": row["figure_id"],
        "cluster_id": 0,
        "distance": 1.0,
        "primary_label": CONCEPTS[its_number % 4],
        "secondary_label": [],
        "how": "propagated",
        "confidence": 0.5,
        "uncertain": False,
    }


def run(store: Store, **keys: Any) -> tuple[set[str], list[Flow]]:
    """What the workers of the stage choose, and their counts, without a cluster."""
    config = SelectConfig(store=store.root, **{"name": "test", **keys})
    match = MatchWorker(store, "run", config)
    units = store.commits("extract")
    counts = [sum((match(unit, "m")["figures"] for unit in units), Flow())]
    _, highest = counted(store, "select/test/matching", config.cap)
    take = TakeWorker(store, "run", "test", highest)
    counts.append(sum((take(unit, "t")["matching"] for unit in units), Flow()))
    return {id_ for unit in units for id_ in selected_ids(store, "test", unit)}, counts


def counted(store: Store, stage: str, cap: int | None = None) -> tuple[dict[str, int], dict[str, int]]:
    return count_groups(store, list(store.commits(stage).values()), cap)


def test_a_query_finds_figures_by_their_labels_and_articles(store: Store) -> None:
    chosen, counts = run(store, where="primary_label contains 'Microscopy' and license_group = 'commercial'")
    # The first figure of an even article is of microscopy, that of an odd one of both concepts.
    assert chosen == {f"PMC{n}.1_001" for n in range(N_ARTICLES - 1) if n % 4}
    assert counts == [Flow(32, 11, skipped=21), Flow(11, 11)]
    chosen, _ = run(store, where="primary_label is null")
    assert chosen == {f"PMC{n}.1_002" for n in range(1, N_ARTICLES, 2)} | {"PMC15.1_001"}
    assert run(store)[1] == [Flow(32, 32), Flow(32, 32)]


def test_repeats_are_those_of_the_figure_and_of_its_article(store: Store) -> None:
    for unit in store.commits("extract"):
        repeats = [id_ for id_ in ("PMC1.1", "PMC2.1_002") if unit_of(id_.partition(".")[0], N_UNITS) == unit]
        rows = [{"id": id_, "of": "PMC9.1", "entity": "x", "kind": "exact", "distance": 0} for id_ in repeats]
        with store.write_unit("dedupe", unit, "aa") as writer:
            writer.table("duplicates", schema.DUPLICATES).write(rows)
            writer.commit({})
    assert run(store, where="duplicates.of = 'PMC9.1'")[0] == {"PMC1.1_001", "PMC1.1_002", "PMC2.1_002"}
    assert run(store, where="duplicates.of is null")[1][0] == Flow(32, 29, skipped=3)


def test_panels_are_those_of_the_figures(store: Store) -> None:
    where = "panels.panel_type = 'multiple' and n_panels >= 3 and least_confidence > 0.5"
    assert run(store, where=where)[0] == set()  # nobody has looked
    for unit in store.commits("extract"):
        rows = [
            {"figure_id": f"PMC{n}.1_001", "panel_type": "multiple", "n_panels": 3 + n % 2, "panel_boxes": []}
            | {
                "least_confidence": 0.25 * (n % 4),
                "caption_panels": 0,
                "aligned_panels": 0,
                "phashes": [],
                "thumbnails": [],
            }
            for n in range(N_ARTICLES)
            if unit_of(f"PMC{n}", N_UNITS) == unit
        ]
        with store.write_unit("panels", unit, "aa") as writer:
            writer.table("panels", schema.PANELS).write(rows)
            writer.commit({})
    assert run(store, where=where)[0] == {f"PMC{n}.1_001" for n in range(3, N_ARTICLES, 4)}
    assert run(store, where="n_panels >= 4")[0] == {f"PMC{n}.1_001" for n in range(1, N_ARTICLES, 2)}
    assert run(store, where="n_panels >= 4 and aspect > 1 and caption_length > 5 and caption icontains 'CAPTION 1'")[
        0
    ] == {f"PMC{n}.1_001" for n in range(1, N_ARTICLES, 2)}


def test_each_value_has_at_most_the_cap(store: Store) -> None:
    run(store, where="primary_label is not null", balance="primary_label", cap=5)
    assert counted(store, "select/test/matching")[0] == {"Maps": 15, "Microscopy": 15}
    assert all(0 < count <= 5 for count in counted(store, "select/test")[0].values())
    first, counts = run(store, balance="license_group", cap=6, seed=3)
    assert counts == [Flow(32, 32), Flow(32, 12, skipped=20)]
    assert counted(store, "select/test")[0] == {"commercial": 6, "noncommercial": 6}
    assert run(store, balance="license_group", cap=6, seed=4)[0] != first
    assert run(store, balance="license_group", cap=6, seed=3)[0] == first
    assert run(store, cap=7)[1][1] == Flow(32, 7, skipped=25)


def test_what_has_not_been_done_yet_is_named(store: Store, tmp_path: Path) -> None:
    empty = Store(str(tmp_path / "empty"))
    for where, of, message in (
        ("duplicates.of is null", store, "no duplicates yet; run `biomedica dedupe` first"),
        ("n_panels > 1", store, "no panels yet; run `biomedica panels` first"),
        ("width > 3", empty, "no figures yet; run `biomedica extract` first"),
    ):
        config = SelectConfig(store=of.root, name="test", where=where)
        with pytest.raises(StoreError, match=message), Run("select", config) as stage_run:
            select(config, stage_run)
    unknown = SerializeConfig(store=store.root, selection="maps")
    with pytest.raises(ConfigError, match="selection: maps: no such selection in"), Run("serialize", unknown) as other:
        serialize(unknown, other)


def test_a_figure_that_is_not_read_fails_the_unit(store: Store) -> None:
    config = SelectConfig(store=store.root, name="test", where="primary_label contains 'Maps'")
    unit = min(store.commits("extract"))
    matching = MatchWorker(store, "run", config)(unit, "m")["figures"].rows_out
    lose_a_row(store, "select/test/matching", unit, "selections")
    message = f"select/test, unit {unit}: rows lost: matching: {matching} in but {matching - 1} out"
    with pytest.raises(LostRowsError, match=message):
        TakeWorker(store, "run", "test", {})(unit, "t")
    n = lose_a_row(store, "extract", unit, "figures")
    with pytest.raises(LostRowsError, match=f"select/test/matching, unit {unit}: rows lost: figures: {n} in but "):
        MatchWorker(store, "run", config)(unit, "m")
    assert store.commits("select/test") == {}


CAPPED = ("Chemical Structures", "Clinical Imaging", "Illustrative Diagrams", "Immuno Assays", "Maps", "Microscopy")


@pytest.mark.cluster
def test_a_selection_of_the_sample_and_a_dataset_of_it(demo_store: Path, tmp_path: Path) -> None:
    store = Store(str(shutil.copytree(demo_store, tmp_path / "copy")))
    found, _ = run(store, where="width > height and license_group = 'commercial' and duplicates.of is null")
    assert len(found) == 64
    config = Path(__file__).parents[2] / "jobs" / "selections" / "concept-balanced.yaml"
    name, command = config.stem, ["select", "--config", str(config), "--store", store.root, "--cap", "8"]
    assert cli.main([*command, "--memory_gb", "0.3"]) == 0
    document = store.read_json(f"selections/{name}.json")
    assert (document["figures"], document["matching"], document["selected"]) == (143, 128, 59)
    selected = {group: counts["selected"] for group, counts in document["groups"].items()}
    assert selected == {**dict.fromkeys((*CAPPED, "Plots and Charts"), 8), "Ambiguous": 3}

    dataset = store.read_json("dataset/dataset.json")
    assert cli.main(["serialize", "--store", store.root, "--selection", name, "--memory_gb", "0.3"]) == 0
    assert store.read_json("dataset/dataset.json") == dataset
    ids = {id_ for unit in store.commits("extract") for id_ in selected_ids(store, name, unit)}
    whole, samples = (
        set(store.dataset(stage, "samples").to_table()["figure_id"].to_pylist())
        for stage in ("serialize", f"serialize/selections/{name}")
    )
    assert samples == whole & ids
    data = Store(store.uri(f"selections/{name}/dataset"))
    query = {key: document[key] for key in ("where", "balance", "cap", "seed")}
    assert data.read_json("dataset.json")["query"] == query
    assert json.dumps(document["where"]) in Path(data.root, "README.md").read_text()
    shards = [shard for split in ("train", "validation", "test") for shard in read_shards(data, None, split)]
    assert sum(shard.samples for shard in shards) == len(samples)
