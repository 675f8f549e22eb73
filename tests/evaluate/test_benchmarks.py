"""The evaluate stage on published sets, on Ray: several models, several sets, and what happens to bad data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from biomedica_ray.cli import main
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate import pipeline
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.models.clip import build, load_folder
from biomedica_ray.models.for_transformers import export_for_transformers
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.runs import Run
from tests.evaluate.written import picture, write_set
from tests.models.finished import leave_model

SETS = ["lc25000_lung", "ham10000", "breastmnist", "dresden", "ubench", "biomed_flickr"]
TASKS = [
    "lc25000_lung",
    "ham10000",
    "breastmnist",
    "dresden_colon",
    "ubench_tang_et_al_2019",
    "ubench_domain",
    "biomed_flickr",
]


def evaluate(store: Path, data: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "tasks": TASKS,
        "bootstrap": 50,
        "num_cpus": 0.5,
        "probe": True,
        "shots": [1],
        "memory_gb": 0.5,
        **changes,
    }
    config = EvaluateConfig(store=str(store), data=str(data), **settings)
    with Run("evaluate", config) as run:
        pipeline.run(config, run)
    found: dict[str, Any] = json.loads((store / "evaluations" / config.title / "results.json").read_text())
    return found


def a_dry_run_finds_all_vectors(store: Path, data: Path) -> None:
    tasks = ["lc25000_lung", "breastmnist"]
    config = EvaluateConfig(store=str(store), data=str(data), tasks=tasks, models=["tiny"], dry_run=True)
    with Run("evaluate", config) as run:
        pipeline.run(config, run)
    told = run.results["dry_run"]["tiny"]
    assert (told["images"], told["texts"], told["hours"]) == (0, 0, 0)
    assert told["reused"] > 20 and told["image"].endswith("jpeg")


@pytest.mark.cluster
def test_two_models_on_several_sets(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    data, store = tmp_path / "data", tmp_path / "store"
    for name in SETS:
        write_set(data, name)
    lung = data / "lc25000_lung" / "Test Set" / "lung_n"
    (lung / "broken.jpeg").write_bytes(b"no image")
    shutil.copy(next(lung.glob("[0-9].jpeg")), lung / "again.jpeg")
    (data / "ham10000/ISIC2018_Task3_Test_Input/patient/image_3.png").unlink()
    leave_model(store, "tiny", tiny_model, seed=0)
    torch.manual_seed(1)
    other = tmp_path / "other"
    export_for_transformers(*build(resolve_model(tiny_model, None)), other)

    found = evaluate(store, data, tasks=[*TASKS, "pcam"], models=["tiny", f"hf:{other}"], mistakes=2, published=True)
    assert list(found["tasks"]) == TASKS
    assert found["missing"]["pcam"]["get"] == packaged().sets["pcam"].get
    of_lung = found["tasks"]["lc25000_lung"]
    bad_images_are_told(found, store)
    assert found["tasks"]["breastmnist"]["differs"] == ["6 images in the set, expected 156"]
    # Its train split has the same pictures: a probe knows them, as far as the model tells them apart.
    of_breast = found["tasks"]["breastmnist"]["models"]["tiny"]["scores"]
    assert of_breast["probe_accuracy"] >= max(of_breast["accuracy"], of_breast["probe_1_shot_accuracy"])
    assert "probe_accuracy" not in of_lung["models"]["tiny"]["scores"]  # there is no train split
    assert set(found["means"]["tiny"]) > {"overall", "pathology", "retrieval"}
    metrics = [task["metric"] for task in found["tasks"].values() if task["kind"] != "retrieval"]
    values = [t["models"]["tiny"]["scores"]["accuracy"] for t in found["tasks"].values() if t["kind"] != "retrieval"]
    assert set(metrics) == {"accuracy"}
    assert found["means"]["tiny"]["overall"] == pytest.approx(np.mean(values))
    assert len(found["tests"]) == len(TASKS)
    # The scores of the model are those that open_clip's own functions give it.
    folder = store / "checkpoints" / "tiny" / "model"
    model, tokenizer = load_folder(folder)
    task = packaged().tasks["lc25000_lung"]
    expected = open_clip_accuracy(model.eval(), tokenizer, lung.parent, [each.name for each in task.classes], task)
    assert of_lung["models"]["tiny"]["scores"]["accuracy"] == pytest.approx(expected, abs=1e-4)

    results = store / "evaluations" / "tasks"
    mistakes_are_shown(of_lung, results)
    old = json.loads((results / "results.json").read_text())
    old["tasks"]["breastmnist"]["models"]["tiny"]["scores"]["accuracy"] = 2.0
    (tmp_path / "old.json").write_text(json.dumps(old))
    before = {path: path.stat().st_mtime_ns for path in (store / "features").rglob("*.parquet")}
    a_dry_run_finds_all_vectors(store, data)
    with pytest.raises(
        StageFailedError,
        match=r"compare: 1 scores fell by more than 0\.005, or are not there any more: tiny on breastmnist",
    ):
        evaluate(store, data, models=["tiny"], into="again", compare=str(tmp_path / "old.json"))
    assert {path: path.stat().st_mtime_ns for path in before} == before  # no vector was made anew
    again = json.loads((store / "evaluations" / "again" / "results.json").read_text())
    for name in TASKS:
        assert again["tasks"][name]["models"]["tiny"] == found["tasks"][name]["models"]["tiny"]

    # Data that cannot be used are an error in the end, and the other tasks are done all the same.
    kidney = data / "lc25000_lung" / "Test Set" / "kidney"
    kidney.mkdir()
    (kidney / "0.jpeg").write_bytes(picture(0, "JPEG"))
    with pytest.raises(StageFailedError, match=r"1 tasks have data that cannot be used, lc25000_lung first: .*kidney"):
        evaluate(store, data, models=["tiny"], into="wrong")
    wrong = json.loads((store / "evaluations" / "wrong" / "results.json").read_text())
    assert list(wrong["tasks"]) == TASKS[1:]


def bad_images_are_told(found: dict[str, Any], store: Path) -> None:
    of_lung = found["tasks"]["lc25000_lung"]
    assert (of_lung["images"], of_lung["duplicate_images"]) == (10, 1)
    assert [what.rpartition("/")[2] for what in of_lung["unreadable_images"]] == ["broken.jpeg"]
    assert (found["tasks"]["ham10000"]["images"], found["tasks"]["ham10000"]["missing_images"]) == (20, ["image_3"])
    assert "- ham10000: images missing 1" in (store / "evaluations/tasks/results.md").read_text()
    errors = [row for path in (store / "errors").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert [row["kind"] for row in errors] == ["not-an-image"] * 2  # by both models


def mistakes_are_shown(of_lung: dict[str, Any], results: Path) -> None:
    mistakes = of_lung["models"]["tiny"]["mistakes"]
    wrong = sum(n for c, row in enumerate(of_lung["models"]["tiny"]["confusion"]) for d, n in enumerate(row) if c != d)
    assert len(mistakes) == wrong and mistakes[0]["probability"] >= mistakes[-1]["probability"]
    assert all(f"/{each['true']}/" in each["image"] for each in mistakes)
    page = lxml.html.document_fromstring((results / "results.html").read_text())
    shown = page.xpath("//details[contains(summary, 'LC25000')]//figure//img")
    assert 0 < len(shown) <= 4 and {image.get("width") for image in shown} == {"8"}
    assert shown[0].get("alt") == mistakes[0]["image"]
    assert "BMC-CLIP (published)" in (results / "results.md").read_text()
    assert {path.suffix for path in results.iterdir()} == {".json", ".md", ".tex", ".csv", ".html"}


def open_clip_accuracy(model: Any, tokenizer: Any, folder: Path, names: list[str], task: Any) -> float:
    prompts = {each.name: each.paper for each in task.classes}
    classifier = open_clip.build_zero_shot_classifier(
        model, tokenizer, names, [lambda name: prompts[name][0]], num_classes_per_batch=None, use_tqdm=False
    )
    cfg = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    preprocess = open_clip.transform.image_transform_v2(cfg, is_train=False)
    right = []
    for number, name in enumerate(names):
        for path in sorted((folder / name).iterdir()):
            if path.name == "broken.jpeg":
                continue
            pixels = preprocess(Image.open(path).convert("RGB"))[None]
            with torch.no_grad():
                logits = model.encode_image(pixels, normalize=True) @ classifier
            right.append(int(logits.argmax()) == number)
    return float(np.mean(right))


def test_what_is_wrong_is_said_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path / "data", "breastmnist")
    with pytest.raises(ConfigError, match=r"models: nobody: expected a model in .*checkpoints, open_clip's NAME@TAG"):
        evaluate(tmp_path / "store", tmp_path / "data", tasks=["breastmnist"], models=["nobody"])
    base = ["evaluate", "--store", str(tmp_path / "store")]
    assert main([*base, "--suite", "biomedica-40"]) == 2
    assert "data: with suite or tasks, expected the folder of the sets" in capsys.readouterr().err
    assert main([*base, "--models", "a,b"]) == 2
    assert "models: goes with suite or tasks" in capsys.readouterr().err


def test_tasks_are_listed_with_their_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_set(tmp_path, "ham10000")
    (folder / "ISIC2018_Task3_Test_Input" / "patient" / "image_3.png").unlink()
    assert main(["tasks", "--tasks", "ham10000,pcam,bach", "--data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("there: 20 images, 1 more are missing; 21 images in the set, expected 1,512")
    assert "camelyonpatch_level_2_split_test_x.h5" in lines[2]
    assert lines[3].endswith("not there: not known: the names of its classes")
    assert lines[4] == "3 tasks, 1 of them can be evaluated"
    assert main(["tasks"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(packaged().tasks)} tasks"
    assert main(["tasks", "--sweet", "all"]) == 2
    assert "--sweet: unknown key; expected one of suite" in capsys.readouterr().err
