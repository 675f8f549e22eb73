"""The stage annotate, on Ray."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
import open_clip
import psutil
import pytest
import safetensors.torch
import timm
import torch
import yaml

from biomedica_ray import cli
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.pipeline import run as annotate
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.zero_shot import class_vectors
from biomedica_ray.images import decode
from biomedica_ray.labelling.concept_scores import load_prompts, propose
from biomedica_ray.labelling.labels import load_taxonomy
from biomedica_ray.models.encoders import load_encoder
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture, write_extracted

pytestmark = pytest.mark.cluster

MODEL = "timm/test_vit"
STAGE = "embed/timm-test_vit"
N_ARTICLES = 12


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    safetensors.torch.save_file(timm.create_model(MODEL.removeprefix("timm/")).state_dict(), path)
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two figures an article; the second of PMC3 does not decode."""
    store = Store(str(tmp_path / "store"))
    articles = [article(f"PMC{number}") for number in range(N_ARTICLES)]
    write_extracted(store, articles, figures())
    return store


def figures() -> list[Row]:
    rows = [
        figure(f"PMC{number}.1", position, encoded(picture(10 * number + position)))
        for number in range(N_ARTICLES)
        for position in (1, 2)
    ]
    broken = next(row for row in rows if row["figure_id"] == "PMC3.1_002")
    broken["image"] = broken["image"][:60]
    return rows


def run(store: Store, weights: str, **keys: Any) -> Run:
    settings = {
        "model": MODEL,
        "weights": weights,
        "pca_dims": 4,
        "clusters": 3,
        "batch_size": 4,
        "memory_gb": 1,
        "stability_seeds": 0,
    }
    config = AnnotateConfig(store=store.root, **{**settings, **keys})
    with Run("annotate", config) as stage_run:
        annotate(config, stage_run)
    return stage_run


def table(store: Store, stage: str, name: str) -> list[Row]:
    rows: list[Row] = store.dataset(stage, name).to_table().to_pylist()
    return sorted(rows, key=lambda row: next(iter(row.values())))


def own_actors() -> Iterator[psutil.Process]:
    """The embedding actors of the cluster that this process has started."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "EmbedActor" in " ".join(process.cmdline()):
                yield process


@contextmanager
def embedding_actors() -> Iterator[set[int]]:
    """Yields a set that then has the process ids of the embedding actors that there were."""
    seen: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            seen.update(process.pid for process in own_actors())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


@contextmanager
def one_actor_killed() -> Iterator[list[int]]:
    """Kills the first embedding actor that it sees; yields a list that then has its process id."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for process in own_actors():
                process.kill()
                killed.append(process.pid)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        over.set()
        watcher.join()


def test_every_figure_is_embedded_clustered_and_counted(ray_cluster: None, store: Store, weights: str) -> None:
    with one_actor_killed() as killed:
        first = run(store, weights)
    assert len(killed) == 1
    n_figures = 2 * N_ARTICLES
    assert first.counts == {
        "figures": Flow(n_figures, n_figures - 1, 1),
        "labels": Flow(n_figures - 1, n_figures - 1),
    }
    (error,) = table(store, STAGE, "errors")
    assert (error["what"], error["stage"], error["kind"]) == ("PMC3.1_002", "embed", "truncated-image")

    encoder = load_encoder(MODEL, weights)
    transform = encoder.info.preprocessing.transform()
    vectors = {row["figure_id"]: np.array(row["vector"], np.float32) for row in table(store, STAGE, "embeddings")}
    for row in figures():
        if row["figure_id"] != "PMC3.1_002":
            (expected,) = encoder.embed(transform(decode(row["image"]))[None])
            assert vectors[row["figure_id"]] @ expected > 0.9999

    panels = table(store, STAGE, "panels")
    assert [row["figure_id"] for row in panels] == sorted(vectors)
    assert panels[0] == {
        "figure_id": "PMC0.1_001",
        "panel_type": "single",
        "n_panels": 1,
        "least_confidence": 1.0,
        "caption_panels": 0,
        "panel_boxes": [{"label": None, "left": 0, "top": 0, "right": 64, "bottom": 48, "confidence": 1.0}],
    }

    labels = table(store, "label", "labels")
    assert [row["figure_id"] for row in labels] == sorted(vectors)
    assert {row["cluster_id"] for row in labels} == {0, 1, 2}
    assert {row["how"] for row in labels} == {"none"}
    schema = store.dataset(STAGE, "embeddings").schema
    assert schema.metadata[b"model"] == MODEL.encode()
    assert schema.metadata[b"weights_sha256"] == encoder.info.weights_sha256.encode()
    assert json.loads(schema.metadata[b"preprocessing"]) == encoder.info.preprocessing.to_json()

    before = {stage: store.commits(stage) for stage in (STAGE, "label")}
    second = run(store, weights)
    assert second.counts == first.counts
    assert {stage: store.commits(stage) for stage in before} == before


def test_the_size_of_batches_and_the_number_of_actors_do_not_matter(
    ray_cluster: None, store: Store, weights: str, tmp_path: Path
) -> None:
    other = Store(str(shutil.copytree(store.root, tmp_path / "other")))
    run(store, weights, batch_size=5)
    with embedding_actors() as seen:
        run(other, weights, batch_size=1, num_cpus=0.5)
    assert len(seen) == 2
    one, two = (
        {row["figure_id"]: np.array(row["vector"], np.float32) for row in table(each, STAGE, "embeddings")}
        for each in (store, other)
    )
    assert len(one) == 2 * N_ARTICLES - 1
    assert one.keys() == two.keys()

    model = timm.create_model(MODEL.removeprefix("timm/"), checkpoint_path=weights).eval()
    model.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    for row in figures():
        if row["figure_id"] in one:
            with torch.inference_mode():
                (expected,) = model(transform(decode(row["image"]))[None]).numpy()
            expected /= np.linalg.norm(expected)
            assert one[row["figure_id"]] @ expected > 0.9999
            assert two[row["figure_id"]] @ expected > 0.9999


def test_a_clip_model_proposes_concepts_and_the_sheets_have_them(
    ray_cluster: None, store: Store, weights: str, tmp_path: Path
) -> None:
    """From the command line to the pages that annotators get, with a model of a folder."""
    folder = tiny_clip(tmp_path / "clip")
    assert run(store, weights, proposals="open_clip/any-name", proposals_weights=str(folder)).results["proposals"] == 3
    document = store.read_json("clusters/timm-test_vit.proposals.json")

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    prompts, images = load_prompts(None, load_taxonomy(None)), {row["figure_id"]: row["image"] for row in figures()}
    labels = table(store, "label", "labels")
    with torch.inference_mode():
        texts = class_vectors(
            [model.encode_text(tokenize(prompts.sentences(name))).numpy() for name in prompts.concepts]
        )
        for cluster in range(3):
            rows = sorted((row["distance"], row["figure_id"]) for row in labels if row["cluster_id"] == cluster)[:8]
            pixels = torch.stack([preprocess(decode(images[figure_id])) for _, figure_id in rows])
            vectors, scale = model.encode_image(pixels).numpy(), float(model.logit_scale.exp())
            (best,) = propose(vectors, np.zeros(len(rows), int), texts, list(prompts.concepts), scale=scale).values()
            found = [each["score"] for each in document["clusters"][str(cluster)]]
            assert found == pytest.approx([each["score"] for each in best], abs=2e-3)

    assert cli.main(["sheets", "--store", store.root]) == 0
    (page,) = Path(store.root).glob("sheets/round-1/*.html")
    sheet = json.loads(lxml.html.parse(str(page)).xpath("//script[@id='data']/text()")[0])
    assert sheet["proposer"] == "open_clip/any-name"
    assert {str(each["cluster"]): each["proposals"] for each in sheet["clusters"]} == document["clusters"]


def tiny_clip(folder: Path) -> Path:
    """A CLIP model of open_clip with random weights, as it is published."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    settings = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    torch.manual_seed(0)
    model = open_clip.CLIP(16, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text))
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_only_what_changed_is_embedded_again(ray_cluster: None, store: Store, weights: str) -> None:
    run(store, weights)
    before = {unit: commit.run_id for unit, commit in store.commits(STAGE).items()}
    unit = unit_of("PMC0", N_UNITS)
    rows = [row for row in figures() if unit_of(row["article_id"].removesuffix(".1"), N_UNITS) == unit]
    rows[0] = figure(rows[0]["article_id"], 1, encoded(picture(999)))
    articles = dict.fromkeys(row["article_id"].removesuffix(".1") for row in rows)
    write_extracted(store, map(article, articles), rows, mark="bb")
    run(store, weights)
    after = {unit: commit.run_id for unit, commit in store.commits(STAGE).items()}
    assert [other for other in after if after[other] != before[other]] == [unit]


def test_labels_reach_figures_through_their_cluster(
    ray_cluster: None, store: Store, weights: str, tmp_path: Path
) -> None:
    run(store, weights)
    clusters = {row["figure_id"]: row["cluster_id"] for row in table(store, "label", "labels")}
    exemplar = "PMC5.1_001"
    labels = tmp_path / "labels.yaml"
    entry = {
        "exemplars": [exemplar, "PMC999.1_001"],
        "panel_type": "single",
        "panel_subtype": "single panel",
        "primary": ["Maps"],
        "secondary": ["map"],
    }
    labels.write_text(yaml.safe_dump({"taxonomy": "biomedica-1", "clusters": [entry]}))
    labelled = run(store, weights, labels=str(labels))
    assert labelled.results["clusters_labelled"] == 1
    assert (labelled.results["exemplars"], labelled.results["exemplars_unknown"]) == (2, 1)
    for row in table(store, "label", "labels"):
        expected = ["Maps"] if clusters[row["figure_id"]] == clusters[exemplar] else []
        assert (row["cluster_id"], row["primary_label"]) == (clusters[row["figure_id"]], expected)

    entry["exemplars"] = ["PMC999.1_001"]
    labels.write_text(yaml.safe_dump({"taxonomy": "biomedica-1", "clusters": [entry]}))
    with pytest.raises(ConfigError, match="entry 1: none of its exemplars exist"):
        run(store, weights, labels=str(labels))


def test_clusters_are_measured_and_other_numbers_of_them_tried(
    ray_cluster: None, store: Store, weights: str, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.tsv"
    rows = [row["figure_id"] for row in figures() if row["figure_id"] != "PMC3.1_002"]
    truth.write_text("\n".join(["figure_id\tprimary_label", *(f"{row}\tMaps" for row in rows), "PMC999.1_001\tMaps"]))
    results = run(store, weights, truth=str(truth), scan_k=[4, 2], stability_seeds=1).results
    assert (results["truth_figures"], results["purity"]) == (len(rows), 1)
    assert (results["clusters"], sum(results["sizes"]), results["fitted"]) == (3, len(rows), len(rows))
    assert len(results["explained_variance_ratio"]) == 4
    assert results["explained_variance"] == pytest.approx(sum(results["explained_variance_ratio"]), abs=1e-3)
    assert -1 <= results["stability"] <= 1
    assert [each["clusters"] for each in results["scan"]] == [2, 4]
    two, four = (each["inertia"] for each in results["scan"])
    assert two > results["inertia"] > four > 0
    labels = table(store, "label", "labels")
    assert [row["uncertain"] for row in labels] == [row["confidence"] < 0.05 for row in labels]
    distances = [row["distance"] for row in labels]
    assert results["inertia"] == pytest.approx(np.square(distances).sum(), rel=1e-4)

    before = store.commits("label")
    again = run(store, weights, min_confidence=0.05).results
    assert (again["clustering"], again["inertia"]) == (results["clustering"], results["inertia"])
    assert (again["scan"], again["stability"]) == (results["scan"], None)
    assert store.commits("label") == before


def test_what_cannot_be_done_is_one_line(ray_cluster: None, store: Store, weights: str, tmp_path: Path) -> None:
    for keys, message in (
        ({"model": "timm/no_such"}, "model: no_such: not a model of timm"),
        ({"weights": "/no/such.pth"}, "weights: /no/such.pth: no such file"),
        ({"clusters": 500}, "clusters: 500 are more than the 23 embeddings"),
        ({"pca_dims": 24}, "pca_dims: 24 are more than 23"),
        ({"scan_k": [2, 500]}, "scan_k: 500 are more than the 23 embeddings"),
        ({"truth": "/no/truth.tsv"}, "truth: /no/truth.tsv: .*No such file"),
        ({"labels": "/no/labels.yaml"}, "labels: /no/labels.yaml: .*No such file"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            run(store, **{"weights": weights, **keys})
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="nothing extracted yet"):
        run(Store(str(tmp_path / "empty")), weights)
