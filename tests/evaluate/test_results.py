from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import lxml.html
import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.preparing import own_prompts
from biomedica_ray.evaluate.results import changes, read
from biomedica_ray.evaluate.tables import render
from biomedica_ray.evaluate.task_files import packaged
from tests.fakes.s3 import s3_server, upload


def of_model(value: float) -> dict[str, Any]:
    return {"scores": {"accuracy": value}, "intervals": {"accuracy": [value - 0.1, value + 0.1]}, "chance": 0.5}


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
        "means": {model: {"overall": value, "pathology": value} for model, value in values.items()},
        "tests": [{"task": "some_task", "models": list(values)[:2], "difference": -0.1, "p": 0.01, "adjusted_p": 0.02}],
        "missing": {"other": {"looked_for": "a/b.csv", "set": "Other", "get": "nowhere", "licence": None}},
        "errors": {},
    }


def test_tables_have_models_side_by_side_and_the_best_in_bold() -> None:
    files = render(document(one=0.5, two=0.625))
    row = "| pathology | some_task* | accuracy | 10 | 0.500 | 0.500 [0.400, 0.600] | **0.625 [0.525, 0.725]** |"
    assert row in files["results.md"].splitlines()
    assert "| overall | mean |  |  |  | 0.500 | **0.625** |" in files["results.md"].splitlines()
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
