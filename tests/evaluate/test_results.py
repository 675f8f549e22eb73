from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.benchmarks import Scored
from biomedica_ray.evaluate.comparisons import Paired, adjusted, against, means
from biomedica_ray.evaluate.preparing import own_prompts
from biomedica_ray.evaluate.results import changes, read
from biomedica_ray.evaluate.tables import render
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.evaluate.task_scores import TaskScores
from tests.fakes.s3 import s3_server, upload


def of_model(value: float) -> dict[str, Any]:
    interval = {"accuracy": [value - 0.1, value + 0.1]}
    return {"scores": {"accuracy": value}, "intervals": interval, "chance": 0.5, "images": 10}


def document(**values: float) -> dict[str, Any]:
    """Results of models on one task."""
    task = {
        "domain": "pathology",
        "metric": "accuracy",
        "images": 10,
        "differs": ["10 images in the set, expected 12"],
        "missing_images": ["x"],
        "unreadable_images": [],
        "repeated_rows": [],
        "duplicate_images": 2,
        "models": {model: of_model(value) for model, value in values.items()},
    }
    return {
        "format": 1,
        "title": "some_suite & more",
        "models": list(values),
        "tasks": {"some_task": task},
        "means_over": {"overall": ["some_task"], "pathology": ["some_task"]},
        "means": {model: {"overall": value, "pathology": value} for model, value in values.items()},
        "tests": [{"task": "some_task", "models": list(values)[:2], "difference": -0.1, "p": 0.01, "adjusted_p": 0.02}],
        "missing": {"other": {"looked_for": "a/b.csv", "set": "Other", "get": "nowhere", "licence": None}},
        "errors": {},
    }


def test_tables_have_models_side_by_side_and_the_best_in_bold() -> None:
    files = render(document(one=0.5, two=0.625))
    row = "| pathology | some_task* | accuracy | 10 | 0.500 | 0.500 [0.400, 0.600] | **0.625 [0.525, 0.725]** |"
    assert row in files["results.md"].splitlines()
    assert "| overall | mean of 1 task |  |  |  | 0.500 | **0.625** |" in files["results.md"].splitlines()
    notes = files["results.md"].split("\n\n")[-1]
    assert "some_task* differs from its description: 10 images in the set, expected 12" in notes
    assert "some_task: images missing 1, equal to another (counted) 2" in notes
    assert "some_task: one - two = -0.100, p = 0.02" in notes
    assert "other was not evaluated: a/b.csv; Other is from nowhere (licence not known)" in notes
    assert (
        r"pathology & some\_task* & accuracy & 10 & 0.500 & 0.500 [0.400, 0.600] & \textbf{0.625"
        in files["results.tex"]
    )
    rows = list(csv.DictReader(io.StringIO(files["results.csv"])))
    assert [(row["model"], row["score"], float(row["value"])) for row in rows] == [
        ("one", "accuracy", 0.5),
        ("two", "accuracy", 0.625),
    ]
    page = lxml.html.document_fromstring(files["results.html"])
    assert page.xpath("//h1/text()") == ["some_suite & more"]
    assert page.xpath("//td/b/text()") == ["0.625 [0.525, 0.725]", "0.625", "0.625"]


def task(domain: str, kind: str = "multiclass", **values: float | None) -> dict[str, Any]:
    models = {name: value if value is None else of_model(value) for name, value in values.items()}
    return {"domain": domain, "kind": kind, "metric": "accuracy", "models": models}


def test_means_count_the_tasks_that_all_models_have() -> None:
    tasks = {
        "easy": task("pathology", one=0.9, two=None, none=None),
        "hard": task("pathology", one=0.2, two=0.3, none=None),
        "scan": task("radiology", one=0.4, two=0.7, none=None),
        "pairs": task("retrieval", "retrieval", one=0.1, two=0.2, none=None),
    }
    found, over = means(tasks, ["one", "two", "none"])
    assert over == {
        "pathology": ["hard"],
        "overall": ["hard", "scan"],
        "radiology": ["scan"],
        "retrieval": ["pairs"],
    }
    assert found["one"] == pytest.approx({"pathology": 0.2, "overall": 0.3, "radiology": 0.4, "retrieval": 0.1})
    assert found["two"] == pytest.approx({"pathology": 0.3, "overall": 0.5, "radiology": 0.7, "retrieval": 0.2})
    assert found["none"] == {}  # and it takes no task from the others
    alone, over = means(tasks, ["one"])
    assert over["pathology"] == ["easy", "hard"]
    assert alone["one"]["overall"] == pytest.approx(0.5)
    assert means(tasks, ["none"]) == ({"none": {}}, {})


def test_what_a_model_lacks_is_noted() -> None:
    both = document(one=0.5, two=0.625)
    both["tasks"]["some_task"]["models"]["two"]["images"] = 9
    assert "- some_task: models read 9 to 10 images; 10 are all's" in render(both)["results.md"]
    lacking = document(one=0.5)
    lacking["models"].append("two")
    lacking["tasks"]["some_task"]["models"]["two"] = None
    lacking |= {"tests": [], "means_over": {}, "means": {"one": {}, "two": {}}}
    assert "- some_task: no score of two; the means leave it out" in render(lacking)["results.md"]


def scored(rows: list[int], outcomes: list[float]) -> Scored:
    scores = TaskScores({}, {}, 0.5, np.array(outcomes), [], {})
    return Scored(scores, np.array(rows), [], 0)


def test_each_pair_of_models_is_tested_once_on_the_images_of_both() -> None:
    models = {"a": {"task": scored([0, 1, 2], [1, 1, 0])}}
    tests = against("a", models)
    models["b"] = {"task": scored([1, 2, 3], [0, 0, 1])}
    tests += against("b", models)
    models["c"] = {"task": Scored(None, np.zeros(0, np.int64), [], 0)}
    tests += against("c", models)
    assert tests == [Paired("task", ("a", "b"), 0.5, 1.0)]
    assert adjusted([]) == []
    two = [Paired("x", ("a", "b"), 0.5, 0.01), Paired("y", ("a", "b"), 0.5, 0.04)]
    assert [test["adjusted_p"] for test in adjusted(two)] == [0.02, 0.04]


def test_changes_name_what_fell_first(tmp_path: Path) -> None:
    before, now = document(one=0.5, two=0.625, gone=0.1), document(one=0.6, two=0.5)
    found = changes(before, now, before["tasks"])
    assert [(change.model, round(change.fell, 3)) for change in found] == [("two", 0.125), ("one", -0.1)]
    assert str(found[0]) == "two on some_task: accuracy was 0.6250 and is 0.5000"
    assert changes(before, now, ["another_task"]) == []
    del now["tasks"]["some_task"]
    assert all(change.now is None for change in changes(before, now, before["tasks"]))
    (tmp_path / "old.json").write_text(json.dumps(before))
    assert read(str(tmp_path / "old.json")) == before
    with s3_server() as url:
        upload(url, tmp_path, "results", "of")
        assert read("s3://results/of/old.json", url) == before
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"compare: .*old\.json: not a results\.json of evaluate"):
        read(str(tmp_path / "old.json"))
    with pytest.raises(ConfigError, match=r"compare: .*none\.json: .*No such file"):
        read(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pcan: {normal: [x]}", "pcan: unknown task"),
        ("pcam: {norml: [x]}", "pcam: norml: expected a class of the task"),
        ("pcam: {normal: x}", "pcam: normal: expected a class of the task and a list of sentences"),
        ("pcam: [x]", "pcam: : expected a class"),
        ("[x]", "expected task: class: "),
        ("a: [", "expected paper, ensemble or a YAML file"),
    ],
)
def test_prompts_of_ones_own_that_are_not_right(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        own_prompts(str(path), packaged())
    assert str(caught.value).startswith(f"prompts: {path}: {message}")
    path.write_text("chestmnist: {mass: [a mass], without mass: [no mass]}")
    assert own_prompts(str(path), packaged()) == {"chestmnist": {"mass": ["a mass"], "without mass": ["no mass"]}}
