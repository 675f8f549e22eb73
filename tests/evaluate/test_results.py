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
from biomedica_ray.evaluate.comparisons import Paired, adjusted, against, means
from biomedica_ray.evaluate.mistakes import Shown
from biomedica_ray.evaluate.page import render as render_page
from biomedica_ray.evaluate.preparing import own_prompts
from biomedica_ray.evaluate.published import beside, sources
from biomedica_ray.evaluate.results import changes, read
from biomedica_ray.evaluate.scored import Scored
from biomedica_ray.evaluate.tables import render
from biomedica_ray.evaluate.task_files import packaged, suites
from biomedica_ray.evaluate.task_scores import Mistake, TaskScores
from biomedica_ray.pages.pictures import Picture
from tests.fakes.s3 import s3_server, upload


def of_model(value: float) -> dict[str, Any]:
    interval = {"accuracy": [value - 0.1, value + 0.1]}
    bins = [{"n": 6, "confidence": 0.5, "accuracy": 0.25}, {"n": 4, "confidence": 0.9, "accuracy": 1.0}]
    return {
        "scores": {"accuracy": value},
        "intervals": interval,
        "chance": 0.5,
        "images": 10,
        "confusion": [[3, 1, 0], [2, 3, 1]],
        "calibration": {"ece": 0.19, "bins": bins},
    }


def document(**values: float) -> dict[str, Any]:
    """Results of models on one task."""
    task = {
        "title": "Some task",
        "domain": "pathology",
        "licence": "CC BY 4.0",
        "classes": ["benign", "tumor <1>"],
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
        "published": [],
        "decontaminated": None,
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
        ("one", "ece", 0.19),
        ("two", "accuracy", 0.625),
        ("two", "ece", 0.19),
    ]


def test_the_page_explains_the_scores() -> None:
    uri = "data:image/jpeg;base64,AAAA"
    mistake = Shown("a/<b>.png", Mistake(0, "benign", "tumor <1>", 0.875), Picture(uri, 10, 8))
    broken = Shown("c.png", Mistake(1, "benign", "tumor <1>", 0.5), Picture(problem="not-an-image"))
    page = lxml.html.document_fromstring(
        render_page(document(one=0.5, two=0.625), {"some_task": {"one": [mistake, broken]}})
    )
    assert page.xpath("//h1/text()") == ["some_suite & more"]
    assert page.xpath("//td/b/text()") == ["0.625 [0.525, 0.725]", "0.625", "0.625"]
    (matrix, _) = page.xpath("//table[@class='confusion']")
    assert [[cell.text for cell in row] for row in matrix.xpath("./tbody/tr")] == [
        ["benign", "3", "1", "0"],
        ["tumor <1>", "2", "3", "1"],
    ]
    # Of a square of 190 a side whose lower left corner is at 40, 200.
    assert page.xpath("//polyline[@class='line']/@points")[0].split() == ["135.0,152.5", "211.0,10.0"]
    assert page.xpath("//figure//img/@src") == [uri]
    said = [" ".join(caption.text_content().split()) for caption in page.xpath("//figcaption")]
    assert said == ["benign 87.5 %is tumor <1>a/<b>.png", "benign 50.0 %is tumor <1>c.png"]
    assert page.xpath("//span[@class='broken']/text()") == ["not-an-image"]
    bars = page.xpath("//div[@class='panel'][h3[contains(., 'pathology')]]//span[@class='fill']/@style")
    assert bars == ["width: 50.0%", "width: 62.5%"]


def test_published_scores_stand_beside_ours_with_their_source() -> None:
    found = document(one=0.5)
    found["tests"] = []
    found["tasks"]["ubench_stain"] = found["tasks"].pop("some_task")
    found["published"] = beside("biomedica-40", found["tasks"])
    text = render(found)["results.md"]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| task", "| ubench_stain | accuracy"))]
    by_model = dict(zip(*rows, strict=True))
    assert by_model["one"] == "0.500"
    assert by_model["BMC-CLIP (published)"] == "0.584"
    assert "arXiv 2501.07171v1" in text and "; ViT-L-14 commonpool 0.385; " in text
    page = lxml.html.document_fromstring(render_page(found, {}))
    assert "0.584" in page.xpath("//h2[@id='published']/following::table[1]//td/text()")
    assert "BMC-CLIP (published)" in render(found)["results.tex"]
    assert "Published by others" not in render(document(one=0.5, two=0.6))["results.md"]


def test_what_was_published_is_of_our_tasks_and_suites() -> None:
    tasks = packaged().tasks
    for source in sources():
        assert source.url.startswith("https://") and source.version
        assert {name for of_model in source.scores.values() for name in of_model} <= tasks.keys()
        assert source.suite in {*suites(), None}
        assert (source.suite is not None) == bool(source.means)
        values = [value for of_model in [*source.scores.values(), source.means] for value in of_model.values()]
        assert all(0 < value < 1 for value in values)
    assert beside(None, ["pcam"]) == []


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
