"""The stages label and propose, from embeddings and clusters made by hand: no encoder is needed."""

from __future__ import annotations

import json
from pathlib import Path

import lxml.html
import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from biomedica_ray import cli
from biomedica_ray.annotate.clustering import find_clustering
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.prompts import papers_prompts
from biomedica_ray.evaluate.zero_shot import class_vectors
from biomedica_ray.images import decode
from biomedica_ray.labelling.concept_scores import propose
from biomedica_ray.labelling.label import LabelWorker
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import LostRowsError, unit_of
from tests.labelling.embedded import add_clusters, tiny_clip
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture, write_extracted

N_ARTICLES = 12
ENTRY = {
    "exemplars": ["PMC5.1_001", "PMC999.1_001"],
    "panel_type": "single",
    "panel_subtype": "single panel",
    "primary": ["Maps"],
    "secondary": ["map"],
}


def figures() -> list[Row]:
    return [
        figure(f"PMC{n}.1", position, encoded(picture(10 * n + position)))
        for n in range(N_ARTICLES)
        for position in (1, 2)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two figures an article, embedded as random vectors, in three clusters."""
    store = Store(str(tmp_path / "store"))
    rows = figures()
    write_extracted(store, [article(f"PMC{n}") for n in range(N_ARTICLES)], rows)
    add_clusters(store, "timm/x", [row["figure_id"] for row in rows])
    return store


def labels(store: Store) -> list[Row]:
    rows: list[Row] = store.dataset("label", "labels").to_table().to_pylist()
    return sorted(rows, key=lambda row: str(row["figure_id"]))


def label(store: Store, *arguments: str) -> int:
    return cli.main(["label", "--store", store.root, *arguments])


@pytest.mark.cluster
def test_figures_get_the_labels_of_their_clusters(
    ray_cluster: None, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(store) == 0
    rows = labels(store)
    assert [row["figure_id"] for row in rows] == sorted(row["figure_id"] for row in figures())
    assert {row["cluster_id"] for row in rows} == {0, 1, 2}
    assert {row["how"] for row in rows} == {"none"}
    assert [row["uncertain"] for row in rows] == [row["confidence"] < 0.05 for row in rows]
    inertia = find_clustering(store, None).inertia
    assert inertia == pytest.approx(sum(row["distance"] ** 2 for row in rows), rel=1e-2)
    assert store.dataset("label", "labels").schema.metadata[b"clustering"] == b"f"
    before = store.commits("label")
    assert label(store, "--model", "timm/x") == 0
    assert store.commits("label") == before

    clusters = {row["figure_id"]: row["cluster_id"] for row in rows}
    document = {"taxonomy": "biomedica-1", "clusters": [ENTRY]}
    (tmp_path / "store" / "labels.yaml").write_text(yaml.safe_dump(document))  # where votes writes it
    assert label(store) == 0
    run = read_runs(store)[-1]
    assert run["counts"] == {"labels": {"rows_in": 24, "rows_out": 24, "errors": 0, "skipped": 0}}
    assert (run["results"]["clusters_labelled"], run["results"]["exemplars_unknown"]) == (1, 1)
    for row in labels(store):
        expected = ["Maps"] if clusters[row["figure_id"]] == clusters["PMC5.1_001"] else []
        assert (row["cluster_id"], row["primary_label"]) == (clusters[row["figure_id"]], expected)

    other = tmp_path / "other.yaml"
    for entry, head, message in (
        ({**ENTRY, "exemplars": ["PMC999.1_001"]}, {}, "entry 1: none of its exemplars exist: PMC999.1_001"),
        ({**ENTRY, "exemplars": [], "cluster": 7}, {"clustering": "f"}, "cluster 7: there are 3, from 0"),
        (ENTRY, {"clustering": "g"}, "its cluster ids belong to clustering g, this one is f"),
    ):
        other.write_text(yaml.safe_dump({**document, **head, "clusters": [entry]}))
        assert label(store, "--labels", str(other)) == 2
        assert f"biomedica label: labels: {other}: {message}" in capsys.readouterr().err


def test_it_is_clear_whose_clusters_are_meant(store: Store, tmp_path: Path) -> None:
    assert find_clustering(store, None).model == "timm/x"
    with pytest.raises(StoreError, match="no clusters of timm/y yet; run `biomedica annotate --model timm/y` first"):
        find_clustering(store, "timm/y")
    store.write_json("clusters/timm-x.proposals.json", {})
    add_clusters(store, "timm/y", ["PMC1.1_001", "PMC1.1_002", "PMC2.1_001", "PMC2.1_002", "PMC3.1_001"])
    assert find_clustering(store, "timm/y").stage == "embed/timm-y"
    with pytest.raises(ConfigError, match=r"model: missing; .* expected one of timm/x, timm/y"):
        find_clustering(store, None)
    with pytest.raises(StoreError, match="no clusters yet; run `biomedica annotate` first"):
        find_clustering(Store(str(tmp_path / "empty")), None)


def test_a_vector_that_gets_lost_on_the_way_fails_the_run(store: Store) -> None:
    """The table of a unit has a vector less than annotate committed: the reader would skip one."""
    unit = unit_of("PMC0", N_UNITS)
    commit = store.commit("embed/timm-x", unit)
    rows = store.read(commit, "embeddings")
    pq.write_table(rows[1:], store.path(commit.files["embeddings"]))
    with pytest.raises(LostRowsError, match=f"rows lost: labels: {len(rows)} in but {len(rows) - 1} out"):
        LabelWorker(store, "run", find_clustering(store, None), {}, 0.05)(unit, "m")
    assert unit not in store.commits("label")


@pytest.mark.cluster
def test_a_clip_model_proposes_concepts_and_the_sheets_have_them(
    ray_cluster: None, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line to the pages that annotators get, with a model of a folder."""
    folder = tiny_clip(tmp_path / "clip")
    command = ["propose", "--store", store.root, "--model", "open_clip/any-name", "--weights", str(folder)]
    assert cli.main(command) == 1
    assert "no labels yet; run `biomedica label` first" in capsys.readouterr().err.splitlines()[-1]
    assert label(store) == 0
    assert cli.main(command) == 0
    run = read_runs(store)[-1]
    assert run["counts"] == {"clusters": {"rows_in": 3, "rows_out": 3, "errors": 0, "skipped": 0}}
    document = store.read_json("clusters/timm-x.proposals.json")

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    prompts, images = papers_prompts(), {row["figure_id"]: row["image"] for row in figures()}
    with torch.inference_mode():
        texts = class_vectors(
            [model.encode_text(tokenize(prompts.sentences(name))).numpy() for name in prompts.concepts]
        )
        for cluster in range(3):
            rows = sorted((row["distance"], row["figure_id"]) for row in labels(store) if row["cluster_id"] == cluster)
            pixels = torch.stack([preprocess(decode(images[figure_id])) for _, figure_id in rows[:8]])
            vectors, scale = model.encode_image(pixels).numpy(), float(model.logit_scale.exp())
            (best,) = propose(vectors, np.zeros(len(pixels), int), texts, list(prompts.concepts), scale=scale).values()
            found = [each["score"] for each in document["clusters"][str(cluster)]]
            assert found == pytest.approx([each["score"] for each in best], abs=2e-3)

    assert cli.main(["sheets", "--store", store.root]) == 0
    (page,) = Path(store.root).glob("sheets/round-1/*.html")
    sheet = json.loads(lxml.html.parse(str(page)).xpath("//script[@id='data']/text()")[0])
    assert sheet["proposer"] == "open_clip/any-name"
    assert {str(each["cluster"]): each["proposals"] for each in sheet["clusters"]} == document["clusters"]
