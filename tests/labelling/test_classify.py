"""The classify stage, from embeddings made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from biomedica_ray import cli
from biomedica_ray.annotate.clustering import find_clustering
from biomedica_ray.evaluate.prompts import papers_prompts
from biomedica_ray.evaluate.zero_shot import class_vectors
from biomedica_ray.labelling import classify as classify_stage
from biomedica_ray.labelling.classifier import ImageClassifier
from biomedica_ray.labelling.classifier_file import Made, read_made
from biomedica_ray.labelling.classify import STAGE, Asked, ClassifyWorker
from biomedica_ray.labelling.config import ClassifyConfig
from biomedica_ray.report.pipeline import make_page
from biomedica_ray.runs import Run, read_runs
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.select.pipeline import MatchWorker
from biomedica_ray.store import Store
from biomedica_ray.store.known import write_record
from biomedica_ray.units import LostRowsError, pmcid_of, unit_of
from tests.labelling.embedded import add_clusters, add_panels, tiny_clip
from tests.synthetic import N_UNITS, Row, article, encoded, figure, lose_a_row, picture, write_extracted

CONCEPTS = ("Maps", "Microscopy", "Tables")
N_ARTICLES = 60
FIGURES = [f"PMC{n}.1_{position:03d}" for n in range(N_ARTICLES) for position in (1, 2)]


def shown(figure_id: str) -> str:
    """What a figure of the store shows: each article's figures are of two concepts."""
    article, _, position = figure_id.removeprefix("PMC").partition(".1_")
    return CONCEPTS[(int(article) + int(position)) % 3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Figures of three concepts whose embeddings are three clouds, and apart from them one that is in the middle."""
    store = Store(str(tmp_path / "store"))
    data = encoded(picture(1))
    rows = [figure(id_.partition("_")[0], int(id_[-3:]), data) for id_ in FIGURES]
    write_extracted(store, [article(f"PMC{n}") for n in range(N_ARTICLES)], rows)
    return store


def clouds() -> np.ndarray:
    random = np.random.default_rng(0)
    vectors = np.eye(16)[[CONCEPTS.index(shown(id_)) for id_ in FIGURES]] + 0.1 * random.normal(size=(len(FIGURES), 16))
    vectors[0] = np.eye(16)[:3].sum(axis=0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_labels(store: Store, exemplars: list[str], images: list[str]) -> None:
    said = {
        "taxonomy": "biomedica-1",
        "clusters": [
            {"exemplars": [id_ for id_ in exemplars if shown(id_) == concept], "primary": [concept]}
            for concept in CONCEPTS
            if any(shown(id_) == concept for id_ in exemplars)
        ],
        "images": [
            {"figure": id_, "primary": [shown(id_)], "panel_type": "single", "random": n % 4 == 0}
            for n, id_ in enumerate(images)
        ],
    }
    Path(store.root, "labels.yaml").write_text(yaml.safe_dump(said))


def image_labels(store: Store) -> dict[str, Row]:
    rows = store.dataset(STAGE, "image_labels").to_table().to_pylist()
    return {row["figure_id"]: row for row in rows if not row["panel"]}


def panel_labels(store: Store) -> list[Row]:
    rows = store.dataset(STAGE, "image_labels").to_table().to_pylist()
    return sorted((row for row in rows if row["panel"]), key=lambda row: (row["figure_id"], row["panel"]))


def classify(store: Store, *arguments: str) -> int:
    return cli.main(["classify", "--store", store.root, *arguments])


@pytest.mark.cluster
def test_every_image_gets_its_label_from_those_that_people_named(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add_clusters(store, "timm/x", FIGURES, clouds())
    assert classify(store) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "examples of 0 concepts in 3 or more articles" in error and "annotate.model: open_clip/NAME" in error

    write_labels(store, FIGURES[20:80], [])
    add_panels(store, "timm/x", {"PMC0.1_001": np.eye(16)[:2], "PMC9.1_002": np.eye(16)[[2, 2]]})
    assert classify(store) == 0
    told = capsys.readouterr().err
    assert "`biomedica sheets --of images` asks for more" in told
    assert "panels get no labels; of figures of one panel (panel_type: single), labels: " in told
    assert {row["image_sure"] for row in image_labels(store).values()} == {False}
    assert panel_labels(store) == []
    write_labels(store, [*FIGURES[60:80], "PMC999.1_001"], [*FIGURES[:1], *FIGURES[20:60]])
    assert classify(store, "--precision", "0.9") == 0
    rows = image_labels(store)
    assert sorted(rows) == sorted(FIGURES)
    assert {id_ for id_ in FIGURES if rows[id_]["image_label"] != shown(id_)} == set()
    first = rows[FIGURES[0]]  # its vector says nothing, an annotator did
    assert (first["image_how"], first["image_confidence"], first["image_sure"]) == ("expert", 1.0, True)
    experts = {id_ for id_ in FIGURES if rows[id_]["image_how"] == "expert"}
    assert experts == {*FIGURES[:1], *FIGURES[20:60]}
    assert {rows[id_]["image_how"] for id_ in FIGURES if id_ not in experts} == {"classifier"}
    run = read_runs(store)[-1]
    assert run["counts"] == {
        "image_labels": {"rows_in": 120, "rows_out": 120, "errors": 0, "skipped": 0},
        "panel_labels": {"rows_in": 4, "rows_out": 4, "errors": 0, "skipped": 0},
    }
    results = run["results"]
    panels = panel_labels(store)
    assert [(row["figure_id"], row["panel"], row["image_label"], row["panel_box"][0]) for row in panels] == [
        ("PMC0.1_001", 1, "Maps", 0),
        ("PMC0.1_001", 2, "Microscopy", 64),
        ("PMC9.1_002", 1, "Tables", 0),
        ("PMC9.1_002", 2, "Tables", 64),
    ]
    # An annotator spoke of PMC0's figure, not of its panels, and nobody has measured how often those are right.
    assert {(row["image_how"], row["image_sure"]) for row in panels} == {("classifier", False)}
    assert results["panels"]["examples"] == 41
    assert (results["examples"], results["examples_unknown"], results["accuracy"]) == (
        41,
        1,
        pytest.approx(1, abs=0.03),
    )
    sure = [rows[id_] for id_ in FIGURES if rows[id_]["image_sure"] and id_ not in experts]
    assert {row["image_confidence"] >= results["sure_from"] for row in sure} == {True} and len(sure) > 30

    page = lxml.html.fromstring(make_page(store, "clip", "report"))
    assert len(page.xpath("//svg[@class='reliability']/circle")) >= 1
    told = page.xpath("//h2[@id='image-labels']/following-sibling::p[1]")[0].text_content()
    assert "judged by 41 figures of 21 articles that it had not seen" in told and "of them right" in told
    told = page.xpath("//h2[@id='image-labels']/following-sibling::p[2]")[0].text_content()
    drawn = results["random"]
    assert drawn["of"] == 11 and f"On images drawn at random: {drawn['right']} of 11 right, which is " in told
    assert "Nobody has measured it on panels" in page.text_content()

    before = store.commits(STAGE)
    assert classify(store, "--precision", "0.9") == 0
    assert store.commits(STAGE) == before
    query = "image_labels.image_label = 'Maps' and image_confidence > 0.5 and image_sure"
    assert cli.main(["select", "--store", store.root, "--name", "maps", "--where", query]) == 0
    wanted = sum(shown(id_) == "Maps" for id_, row in rows.items() if row["image_sure"])
    assert read_runs(store)[-1]["results"]["selected"] == wanted > 20
    query = "panel_image_label contains 'Tables' and least_panel_confidence > 0.5"
    worker = MatchWorker(store, "run", SelectConfig(store=store.root, name="panels", where=query))
    assert sum(worker(unit, "m")["figures"].rows_out for unit in store.commits("extract")) == 1


@pytest.mark.cluster
def test_an_update_relabels_what_changed_and_no_figure_that_left_is_asked_about(
    ray_cluster: None, store: Store
) -> None:
    add_clusters(store, "timm/x", FIGURES, clouds())
    unit = unit_of("PMC0", N_UNITS)
    others = [id_ for id_ in FIGURES if unit_of(pmcid_of(id_), N_UNITS) != unit]
    write_labels(store, [], others)
    assert classify(store) == 0
    before = store.commits(STAGE)
    commit = store.commit("embed/timm-x", unit)
    rows = store.read(commit, "embeddings")
    with store.write_unit(commit.stage, unit, "changed") as writer:
        writer.table("embeddings", rows.schema).write(rows)
        writer.commit(commit.counts)
    assert classify(store) == 0
    after = store.commits(STAGE)
    assert {each for each in after if after[each].fingerprint != before[each].fingerprint} == {unit}

    extracted = store.commit("extract", unit)
    write_record(store, replace(extracted, dropped=("PMC0.1",)))
    assert cli.main(["sheets", "--store", store.root, "--of", "images", "--images", "40"]) == 0
    asked = {pmcid_of(each["exemplars"][0]) for each in read_sheet(store, "images-round-1/sheet-001.html")}
    assert asked == {pmcid_of(id_) for id_ in FIGURES if id_ not in others} - {"PMC0"} != set()


@pytest.mark.cluster
def test_without_labels_a_clip_models_own_prompts_speak(
    ray_cluster: None, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_clip(tmp_path / "clip")
    model = open_clip.create_model_from_pretrained(f"local-dir:{folder}")[0].eval()
    tokenize, prompts = open_clip.get_tokenizer(f"local-dir:{folder}"), papers_prompts()
    with torch.inference_mode():
        texts = class_vectors(
            [model.encode_text(tokenize(prompts.sentences(name))).numpy() for name in prompts.concepts]
        )
        vectors = np.random.default_rng(0).normal(size=(len(FIGURES), 16)).astype(np.float16)
        logits = float(model.logit_scale.exp()) * torch.from_numpy(vectors.astype(np.float32) @ texts.T)
        odds = logits.softmax(dim=1).numpy()
    add_clusters(store, "open_clip/any-name", FIGURES, vectors, weights=str(folder))
    assert classify(store) == 0
    rows = image_labels(store)
    names = list(prompts.concepts)
    assert [rows[id_]["image_label"] for id_ in FIGURES] == [names[each] for each in odds.argmax(axis=1)]
    found = [rows[id_]["image_confidence"] for id_ in FIGURES]
    assert found == pytest.approx(odds.max(axis=1).tolist(), abs=2e-3)
    assert {(row["image_how"], row["image_sure"]) for row in rows.values()} == {("zero-shot", False)}
    made = read_made(store, "open_clip/any-name")
    assert made is not None and made.judged is None and made.concepts == names
    assert "image_confidence is the CLIP model's own" in capsys.readouterr().err


@pytest.mark.cluster
def test_annotators_are_asked_about_the_images_that_it_is_least_sure_of(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """From labels to a sheet of single images, to answers, to what an expert says, and to another sheet."""
    add_clusters(store, "timm/x", FIGURES, clouds())
    command = ["sheets", "--store", store.root, "--of", "images", "--images", "8", "--clusters_per_sheet", "5"]
    assert cli.main(command) == 1
    assert "no labels of images yet; run `biomedica classify` first" in capsys.readouterr().err.splitlines()[-1]
    write_labels(store, FIGURES[20:80], [])
    assert classify(store) == 0
    rows = image_labels(store)
    assert cli.main(command) == 0
    asked = [each for number in (1, 2) for each in read_sheet(store, f"images-round-1/sheet-00{number}.html")]
    figures = [each["exemplars"][0] for each in asked]
    assert len(figures) == len({id_.partition(".")[0] for id_ in figures}) == 8
    assert {id_: each["proposals"][0]["concept"] for id_, each in zip(figures, asked, strict=True)} == {
        id_: rows[id_]["image_label"] for id_ in figures
    }
    confidence = {id_: float(rows[id_]["image_confidence"]) for id_ in FIGURES}
    drawn = {each["exemplars"][0] for each in asked if each["random"]}
    assert len(drawn) == 2
    least_sure = {id_.partition(".")[0]: 1.0 for id_ in FIGURES}
    for id_ in FIGURES:
        least_sure[id_.partition(".")[0]] = min(least_sure[id_.partition(".")[0]], confidence[id_])
    others = [least for pmcid, least in least_sure.items() if pmcid not in {id_.partition(".")[0] for id_ in drawn}]
    assert FIGURES[0] in figures
    assert sorted(confidence[id_] for id_ in {*figures} - drawn) == sorted(others)[:6]

    answers = Path(store.root, "answers")
    answers.mkdir()
    for annotator in ("a", "b"):
        said = [
            {
                "cluster": each["cluster"],
                "exemplars": each["exemplars"],
                "answered": "2026-01-02T03:04:05Z",
                "panel_type": "single",
                "panel_subtype": "single panel",
                "primary": ["Tables" if (annotator, number) == ("b", 7) else "Maps"],
                "random": each["random"],
            }
            for number, each in enumerate(asked)
        ]
        head = {"format": "biomedica answers 1", "annotator": annotator, "taxonomy": "biomedica-1"}
        document = {**head, "clustering": "images", "round": 1, "sheet": "sheet-001", "answers": said}
        (answers / f"{annotator}.json").write_text(json.dumps(document))
    assert cli.main(["votes", "--store", store.root, "--output", f"{store.root}/said.yaml"]) == 0
    assert read_runs(store)[-1]["results"]["images"] == 8
    assert f"biomedica sheets --store {store.root} --of images --round 2" in capsys.readouterr().err
    said_of = yaml.safe_load(Path(store.root, "said.yaml").read_text())["images"]
    assert {each["figure"]: each["primary"] for each in said_of} == {id_: ["Maps"] for id_ in figures[:7]}
    assert {each["figure"] for each in said_of if each.get("random")} == drawn - {figures[7]}

    assert cli.main([*command, "--round", "2"]) == 0
    again = [each for number in (1, 2) for each in read_sheet(store, f"images-round-2/sheet-00{number}.html")]
    assert {each["exemplars"][0] for each in again} & set(figures) == {figures[7]}
    (disputed,) = [each for each in again if each["exemplars"] == [figures[7]]]
    assert "1 × Maps, 1 × Tables" in disputed["earlier"]
    assert disputed["random"] == (figures[7] in drawn)


def read_sheet(store: Store, name: str) -> list[Row]:
    page = lxml.html.parse(str(Path(store.root, "sheets", name))).getroot()
    clusters: list[Row] = json.loads(page.xpath("//script[@id='data']/text()")[0])["clusters"]
    return clusters


@pytest.mark.cluster
def test_zero_shot_labels_need_a_clip_model(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add_clusters(store, "timm/x", FIGURES)
    assert classify(store, "--how", "zero-shot") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "biomedica classify: how: zero-shot needs embeddings of a CLIP model, those in the store are of timm/x; run "
        "`biomedica annotate --model open_clip/NAME`, or label clusters and use how: classifier"
    )


def test_a_vector_that_gets_lost_on_the_way_fails_the_run(store: Store) -> None:
    add_clusters(store, "timm/x", FIGURES, clouds())
    unit = unit_of("PMC0", N_UNITS)
    commit = store.commit("embed/timm-x", unit)
    rows = store.read(commit, "embeddings")
    pq.write_table(rows[1:], store.path(commit.files["embeddings"]))
    classifier = ImageClassifier("classifier", CONCEPTS, np.eye(16, dtype=np.float32)[:3], np.zeros(3, np.float32))
    store.write_bytes("c.safetensors", classifier.dump())
    with pytest.raises(LostRowsError, match=f"rows lost: image_labels: {len(rows)} in but {len(rows) - 1} out"):
        ClassifyWorker(store, "run", "embed/timm-x", "c.safetensors", {})(unit, "m")
    assert unit not in store.commits(STAGE)


def test_panels_that_get_lost_fail_the_run(store: Store) -> None:
    add_clusters(store, "timm/x", FIGURES, clouds())
    classifier = ImageClassifier("classifier", CONCEPTS, np.eye(16, dtype=np.float32)[:3], np.zeros(3, np.float32))
    store.write_bytes("c.safetensors", classifier.dump())
    panels, unit = "embed/timm-x/panels", unit_of("PMC0", N_UNITS)
    worker = ClassifyWorker(store, "run", "embed/timm-x", "c.safetensors", {}, panels=(panels, "c.safetensors"))
    add_panels(store, "timm/x", {"PMC0.1_001": np.eye(16)[:2]})
    lose_a_row(store, panels, unit, "panel_embeddings")
    with pytest.raises(LostRowsError, match="rows lost: panel_labels: 2 in but 1 out"):
        worker(unit, "m")
    assert unit not in store.commits(STAGE)


def test_panels_with_vectors_of_another_encoder_cost_figures_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_clusters(store, "timm/x", FIGURES, clouds())
    write_labels(store, [], FIGURES[20:60])
    asked: list[dict[int, str]] = []

    def run_units(_: Any, stage: str, units: dict[int, str], worker: Any, **how: Any) -> None:
        asked.append(units)
        for unit, mark in units.items():
            if unit not in store.commits(stage) or store.commit(stage, unit).fingerprint != mark:
                worker()(unit, mark)

    monkeypatch.setattr(classify_stage, "on_a_worker", lambda work, **how: work())
    monkeypatch.setattr(classify_stage, "run_units", run_units)

    def classified(encoder: str | None = None) -> int:
        """The warnings, once panels have been embedded by this encoder."""
        add_panels(store, "timm/x", {"PMC0.1_001": np.eye(16)[:2]}, encoder)
        caplog.clear()
        config = ClassifyConfig(store=store.root)
        classify_stage.run(config, Run("classify", config))
        return sum("another encoder than their figures" in record.message for record in caplog.records)

    assert classified("another") == 1
    assert sorted(image_labels(store)) == sorted(FIGURES) and panel_labels(store) == []
    assert "panels of 4 of 4 units have" in caplog.text and "run `biomedica annotate --panels true`" in caplog.text
    assert classified("a third") == 1
    assert asked[1] == asked[0]  # whose panels do not count
    assert classified() == 0
    assert [row["image_label"] for row in panel_labels(store)] == ["Maps", "Microscopy"]


def test_nothing_is_told_of_an_accuracy_that_nobody_has_measured(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made("m", "c.safetensors", "0", "zero-shot", ["Maps"], 0, None, "")
    monkeypatch.setattr(classify_stage, "on_a_worker", lambda work, **how: made)
    add_clusters(store, "timm/x", FIGURES)
    asked = Asked(find_clustering(store, "timm/x"), [], None, ())
    with caplog.at_level("INFO"):
        assert classify_stage._made_for_panels(ClassifyConfig(store=store.root), store, asked) == made
    assert "classify: panels: zero-shot; too few figures of one panel" in caplog.text
    assert "accuracy" not in caplog.text
