"""The stage annotate, on Ray."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.decoding import preprocess_unit
from biomedica_ray.annotate.earlier_vectors import EarlierVectors
from biomedica_ray.annotate.embed_actor import EMBEDDED_BEFORE, EmbedActor, encoder_mark
from biomedica_ray.annotate.pipeline import run as annotate
from biomedica_ray.config import ConfigError
from biomedica_ray.images import decode
from biomedica_ray.models.encoders import load_encoder
from biomedica_ray.runs import Run, UnitsOf, read_runs
from biomedica_ray.schema import FIGURES, IMAGES, PANELS
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, lose_a_row, picture, write_extracted

MODEL = "timm/test_vit"
STAGE = "embed/timm-test_vit"
N_ARTICLES = 12
SIZE = (140, 100)


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
        figure(f"PMC{number}.1", position, encoded(picture(10 * number + position, SIZE)))
        for number in range(N_ARTICLES)
        for position in (1, 2)
    ]
    broken = next(row for row in rows if row["figure_id"] == "PMC3.1_002")
    broken["image"] = broken["image"][:60]
    return rows


def commit_panels(store: Store, left: int = 70, without: str = "") -> None:
    """Of PMC0's first figure two panels are sure and one is not, of PMC3's second, which does not decode, one."""
    sides = {"PMC0.1_001": [(0, 64, 0.8), (left, 140, 0.9), (64, 128, 0.7)], "PMC3.1_002": [(0, 64, 1), (0, 63, 1)]}
    sides["PMC1.1_001"] = [(0, 140, 1)]
    for unit in store.commits("extract"):
        rows = [
            {
                **dict.fromkeys(("least_confidence", "caption_panels", "aligned_panels"), 0),
                **{
                    "figure_id": figure_id,
                    "panel_type": "any",
                    "n_panels": len(panels),
                    "phashes": [],
                    "thumbnails": [],
                },
                "panel_boxes": [
                    {
                        **{"left": start, "top": n, "right": end, "bottom": 100 - n, "words": "Words."},
                        **{"confidence": sure, "alignment_confidence": sure},
                    }
                    for n, (start, end, sure) in enumerate(panels)
                ],
            }
            for figure_id, panels in sides.items()
            if unit_of(figure_id.partition(".")[0], N_UNITS) == unit and figure_id != without
        ]
        with store.write_unit("panels", unit, f"left {left}") as writer:
            writer.table("panels", PANELS).write(rows)
            writer.commit({"figures": Flow(len(rows), len(rows))})


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
def embedding_actors() -> Iterator[list[int]]:
    """Yields a list that then has how many embedding actors were started and alive, each time that it was looked."""
    seen = [0]
    over = threading.Event()
    leaving = {process.pid for process in own_actors()}  # those of a run before take a moment to end

    def watch() -> None:
        while not over.wait(0.05):
            seen.append(len({process.pid for process in own_actors()} - leaving))

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


@pytest.mark.cluster
def test_every_figure_is_embedded_clustered_and_counted(ray_cluster: None, store: Store, weights: str) -> None:
    with one_actor_killed() as killed:
        first = run(store, weights)
    assert len(killed) == 1
    n_figures = 2 * N_ARTICLES
    assert first.counts == {"figures": Flow(n_figures, n_figures - 1, 1)}
    (error,) = table(store, STAGE, "errors")
    assert (error["what"], error["stage"], error["kind"]) == ("PMC3.1_002", "embed", "truncated-image")

    encoder = load_encoder(MODEL, weights)
    transform = encoder.info.preprocessing.transform()
    vectors = {row["figure_id"]: np.array(row["vector"], np.float32) for row in table(store, STAGE, "embeddings")}
    for row in figures():
        if row["figure_id"] != "PMC3.1_002":
            (expected,) = encoder.embed(transform(decode(row["image"]))[None])
            assert vectors[row["figure_id"]] @ expected > 0.9999

    schema = store.dataset(STAGE, "embeddings").schema
    assert schema.metadata[b"model"] == MODEL.encode()
    assert schema.metadata[b"weights_sha256"] == encoder.info.weights_sha256.encode()
    assert json.loads(schema.metadata[b"preprocessing"]) == encoder.info.preprocessing.to_json()

    before = store.commits(STAGE)
    with pytest.raises(StoreError, match="panels: 3 of 3 units have no panels; run `biomedica panels` first"):
        run(store, weights, panels=True, dry_run=True)
    commit_panels(store)
    tried = run(store, weights, panels=True, dry_run=True).results["dry_run"]
    assert (tried["units"], tried["panels"], tried["images"]) == (0, 3, 3)  # one of which cannot be cut out
    counted = {"panels": Flow(5, 2, 1, 2)}
    assert run(store, weights, panels=True).counts == {**first.counts, **counted}
    assert store.commits(STAGE) == before
    panels = store.commits(f"{STAGE}/panels")
    again = run(store, weights, panels=True)
    assert again.before == {**first.counts, **counted} and store.commits(f"{STAGE}/panels") == panels
    found = table(store, f"{STAGE}/panels", "panel_embeddings")
    assert [(row["figure_id"], row["panel"], row["panel_box"]) for row in found] == [
        ("PMC0.1_001", 1, [0, 0, 64, 100]),
        ("PMC0.1_001", 2, [70, 1, 140, 99]),
    ]


@pytest.mark.cluster
def test_a_run_that_finds_all_done_loads_no_encoder(
    ray_cluster: None, store: Store, weights: str, tmp_path: Path
) -> None:
    own = tmp_path / "weights.safetensors"
    shutil.copy2(weights, own)
    first = run(store, str(own))
    before, times = {unit: commit.run_id for unit, commit in store.commits(STAGE).items()}, own.stat()
    own.write_bytes(bytes(times.st_size))
    os.utime(own, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = run(store, str(own))
    assert again.counts == first.counts == again.before
    assert again.results["clustering"] == first.results["clustering"]
    assert {unit: commit.run_id for unit, commit in store.commits(STAGE).items()} == before
    os.utime(own)
    with pytest.raises(ConfigError, match="weights: "):
        run(store, str(own))  # they may be others now, and must be looked at


def test_a_figure_that_gets_lost_on_the_way_fails_the_run(store: Store, weights: str) -> None:
    """The table of a unit has a figure less than extract committed: the decoder would skip one."""
    unit = unit_of("PMC0", N_UNITS)
    n = lose_a_row(store, "extract", unit, "figures")
    config = AnnotateConfig(store=store.root, model=MODEL, weights=weights)
    info = load_encoder(MODEL, weights).info
    row = preprocess_unit(
        {"unit": unit, "fingerprint": "f", "records": "[]"}, store, info.preprocessing, EarlierVectors("")
    )
    of = UnitsOf(store, "run", "annotate", "text")
    done = EmbedActor(config, info, of, STAGE)(row)
    assert f"rows lost: figures: {n} in but {n - 2} out + 1 errors" in done["failure"]
    assert unit not in store.commits(STAGE)  # the next run tries it again


def test_an_image_that_another_unit_had_is_not_embedded_again(store: Store, weights: str) -> None:
    """PMC0 goes to a unit of the next generation with one of its pictures, and another one is new."""
    config = AnnotateConfig(store=store.root, model=MODEL, weights=weights)
    info = load_encoder(MODEL, weights).info
    actor = EmbedActor(config, info, UnitsOf(store, "run", "annotate", "text"), STAGE)

    def embed_unit(unit: int, earlier: EarlierVectors) -> tuple[int, dict[str, list[float]]]:
        """How many images were decoded for it, and its vectors."""
        row = preprocess_unit({"unit": unit, "fingerprint": "f", "records": "[]"}, store, info.preprocessing, earlier)
        assert not actor(row)["failure"]
        rows = store.read(store.commit(STAGE, unit), "embeddings", ["figure_id", "vector"]).to_pylist()
        return len(row["pixels"]), {each["figure_id"]: each["vector"] for each in rows}

    home = unit_of("PMC0", N_UNITS)
    _, before = embed_unit(home, EarlierVectors(""))
    store.add_generation(1)
    moved = [figure("PMC0.2", 1, encoded(picture(999))), figure("PMC0.2", 2, encoded(picture(1, SIZE)))]
    with store.write_unit("extract", N_UNITS, "bb") as writer:
        writer.table("figures", FIGURES).write(moved)
        writer.table("images", IMAGES).write(moved)
        writer.commit({"figures": Flow(2, 2)})
    embedded, extracted = store.commits(STAGE), store.commits("extract")
    extracted[home] = replace(extracted[home], dropped=["PMC0.1"])
    earlier = EarlierVectors.find(encoder_mark(info), store, extracted, embedded, {N_UNITS})
    decoded, vectors = embed_unit(N_UNITS, earlier)
    assert decoded == 1
    assert list(vectors) == ["PMC0.2_001", "PMC0.2_002"]
    assert vectors["PMC0.2_002"] == before["PMC0.1_001"] != vectors["PMC0.2_001"]
    assert store.commit(STAGE, N_UNITS).reasons == {EMBEDDED_BEFORE: {"same image": 1}}
    decoded, others = embed_unit(N_UNITS, replace(earlier, encoder="another"))
    assert decoded == 2
    assert np.abs(np.array(others["PMC0.2_002"]) - np.array(vectors["PMC0.2_002"])).max() < 0.01
    # Where its unit was written anew, its commit does not say that the article has left it.
    extracted = store.commits("extract")
    assert EarlierVectors.find("", store, extracted, embedded, {home}).units(["PMC0"]) == {home}
    assert EarlierVectors.find("", store, extracted, embedded, {N_UNITS}).units(["PMC0"]) == set()


def test_a_panel_has_the_vector_of_its_crop_and_no_image_is_read_for_one_that_has_a_vector(
    store: Store, weights: str
) -> None:
    """The second panel of PMC0 moves by a pixel, and its first one stays."""
    config = AnnotateConfig(store=store.root, model=MODEL, weights=weights)
    encoder = load_encoder(MODEL, weights)
    stage, unit = f"{STAGE}/panels", unit_of("PMC0", N_UNITS)
    actor = EmbedActor(config, encoder.info, UnitsOf(store, "run", "annotate", "text"), stage, "panels")
    mark = encoder_mark(encoder.info)

    def embed_panels(earlier: EarlierVectors, least: float = 0.8) -> tuple[Row, list[Row]]:
        """What was decoded, and the rows of the table."""
        row = {"unit": unit, "fingerprint": "f", "records": "[]"}
        row = preprocess_unit(row, store, encoder.info.preprocessing, earlier, panels_from=least)
        assert not actor(row)["failure"]
        return row, store.read(store.commit(stage, unit), "panel_embeddings").to_pylist()

    commit_panels(store)
    row, first = embed_panels(EarlierVectors(mark))
    image = decode(next(each["image"] for each in figures() if each["figure_id"] == "PMC0.1_001"))
    transform = encoder.info.preprocessing.transform()
    crops = [Image.fromarray(np.asarray(image)[0:100, 0:64]), Image.fromarray(np.asarray(image)[1:99, 70:140])]
    assert np.array_equal(row["pixels"], np.stack([transform(crop) for crop in crops]))
    expected = encoder.embed(np.stack([transform(crop) for crop in crops]))
    assert [each["panel"] for each in first] == [1, 2]
    assert np.sum(np.array([each["vector"] for each in first], np.float32) * expected, axis=1).min() > 0.9999
    assert len(embed_panels(EarlierVectors(mark), least=0.9)[1]) == 1

    embed_panels(EarlierVectors(mark))
    extracted, embedded = store.commits("extract"), store.commits(stage)
    earlier = EarlierVectors.find(mark, store, extracted, embedded, {unit}, table="panel_embeddings")
    commit_panels(store, left=71, without="PMC3.1_002")
    row, second = embed_panels(earlier)
    assert len(row["pixels"]) == 1 and second[1]["panel_box"] == [71, 1, 140, 99]
    assert second[0]["vector"] == first[0]["vector"]
    assert second[1]["vector"] != first[1]["vector"]
    earlier = replace(earlier, files={unit: store.commit(stage, unit).files["panel_embeddings"]})
    images = store.path(store.commit("extract", unit).files["images"])
    Path(images).unlink()
    row, third = embed_panels(earlier)
    assert len(row["pixels"]) == 0 and third == second


@pytest.mark.cluster
def test_the_size_of_batches_and_the_number_of_actors_do_not_matter(
    ray_cluster: None, store: Store, weights: str, tmp_path: Path
) -> None:
    other = Store(str(shutil.copytree(store.root, tmp_path / "other")))
    run(store, weights, batch_size=5)
    with embedding_actors() as seen:
        run(other, weights, batch_size=1, num_cpus=0.5)
    assert max(seen) == 2
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


@pytest.mark.cluster
def test_only_what_changed_is_embedded_again(ray_cluster: None, store: Store, weights: str) -> None:
    found = run(store, weights, dry_run=True, images_per_s=2, dollars_per_hour=3600).results["dry_run"]
    assert (found["input"], found["images"], found["reused"]) == ([160, 160], 2 * N_ARTICLES, 0)
    assert found["figure"] in {row["figure_id"] for row in figures()}
    assert found["hours"] == pytest.approx(2 * N_ARTICLES / (2 * found["workers"]) / 3600)
    assert found["dollars"] == pytest.approx(2 * N_ARTICLES / 2)
    assert found["parameters"] == sum(p.numel() for p in load_encoder(MODEL, weights).model.parameters())
    assert set(found["memory_gib"]) == {"weights", "activations", "pixels"}
    assert store.commits(STAGE) == {} and read_runs(store) == []  # it leaves nothing
    with pytest.raises(ConfigError, match="clusters: 25 are more than the 24 embeddings"):
        run(store, weights, dry_run=True, clusters=25)
    first = run(store, weights).results["clustering"]
    before = {unit: commit.run_id for unit, commit in store.commits(STAGE).items()}
    unit = unit_of("PMC0", N_UNITS)
    rows = [row for row in figures() if unit_of(row["article_id"].removesuffix(".1"), N_UNITS) == unit]
    rows[0] = figure(rows[0]["article_id"], 1, encoded(picture(999)))
    articles = dict.fromkeys(row["article_id"].removesuffix(".1") for row in rows)
    write_extracted(store, map(article, articles), rows, mark="bb")
    vectors = {row["figure_id"]: row["vector"] for row in table(store, STAGE, "embeddings")}
    same = [row["figure_id"] for row in rows[1:] if row["figure_id"] != "PMC3.1_002"]
    found = run(store, weights, dry_run=True).results["dry_run"]
    assert (found["units"], found["images"], found["reused"]) == (1, len(rows) - len(same), len(same))
    assert found["images_per_s"] == pytest.approx(2 * N_ARTICLES / read_runs(store)[-1]["seconds"])
    second = run(store, weights).results
    assert second["clustering"] == first
    assert second["embedded_before"] == len(same)
    now = {row["figure_id"]: row["vector"] for row in table(store, STAGE, "embeddings")}
    assert {id_ for id_ in now if now[id_] != vectors[id_]} == {rows[0]["figure_id"]}
    after = {unit: commit.run_id for unit, commit in store.commits(STAGE).items()}
    assert [other for other in after if after[other] != before[other]] == [unit]
    refitted = run(store, weights, refit=True).results["clustering"]
    assert refitted != first
    assert run(store, weights).results["clustering"] == refitted
    assert run(store, weights, seed=1).results["clustering"] not in {first, refitted}


@pytest.mark.cluster
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
    again = run(store, weights).results
    assert (again["clustering"], again["inertia"]) == (results["clustering"], results["inertia"])
    assert (again["scan"], again["stability"]) == (results["scan"], None)


@pytest.mark.cluster
def test_what_cannot_be_done_is_one_line(ray_cluster: None, store: Store, weights: str, tmp_path: Path) -> None:
    for keys, message in (
        ({"model": "timm/no_such"}, "model: no_such: not a model of timm"),
        ({"weights": "/no/such.pth"}, "weights: /no/such.pth: no such file"),
        ({"clusters": 500}, "clusters: 500 are more than the 23 embeddings"),
        ({"pca_dims": 24}, "pca_dims: 24 are more than 23"),
        ({"scan_k": [2, 500]}, "scan_k: 500 are more than the 23 embeddings"),
        ({"truth": "/no/truth.tsv"}, "truth: /no/truth.tsv: no such file"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            run(store, **{"weights": weights, **keys})
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="nothing extracted yet"):
        run(Store(str(tmp_path / "empty")), weights)
