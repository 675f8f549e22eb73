"""Test images that are among the figures of a training store: what is told of them, and scores without them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.copies import cropped
from biomedica_ray import schema
from biomedica_ray.cli import main
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.leakage import searched_store
from biomedica_ray.evaluate.preparing import prepare
from biomedica_ray.evaluate.questions import PAPER, Questions
from biomedica_ray.evaluate.results import changes, left_out_otherwise
from biomedica_ray.evaluate.scored import _Asked, _clean, _scores
from biomedica_ray.evaluate.scores import score
from biomedica_ray.evaluate.set_vectors import encode_images, encode_texts
from biomedica_ray.evaluate.tables import render
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.evaluate.task_scores import TaskScores
from biomedica_ray.evaluate.zero_shot import normalised
from biomedica_ray.models.leak_check import note_check, with_check
from biomedica_ray.models.names import ModelName
from biomedica_ray.models.scorable import load
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.reading.trained import trained_figures
from biomedica_ray.store import Store
from biomedica_ray.store.root import Root
from tests.dedupe.test_leaks import A, B, leave_figures
from tests.evaluate.test_benchmarks import evaluate
from tests.evaluate.test_results import document
from tests.evaluate.test_scores import task
from tests.models.finished import leave_model
from tests.synthetic import article, encoded, figure, picture, write_extracted

LUNG = ("lung_aca", "lung_n", "lung_scc")
PLANTED = {
    "lung_aca/0.jpeg": "exact",
    "lung_n/0.jpeg": "near",
    "lung_n/1.jpeg": "crop",
    "lung_scc/0.jpeg": "panel",
}
"""Which images of the set are copies, and in what way."""
CAPTIONS = 9
FLICKR = {2: "same-pixels", 5: "crop"}


def write_sets(data: Path, *, without: bool = False) -> None:
    """Images, some of which are copies of figures; or the same without these."""
    planted = {
        "lung_aca/0.jpeg": encoded(A),  # a suffix says nothing
        "lung_n/0.jpeg": encoded(B.resize((200, 150)), "JPEG", quality=80),
        "lung_n/1.jpeg": encoded(cropped(A, 0.1)),
        "lung_scc/0.jpeg": encoded(picture(5, (200, 150)).resize((180, 135)), "JPEG"),
    }
    for number, label in enumerate(LUNG * 4):
        path = data / "lc25000_lung" / "Test Set" / label / f"{number // 3}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        name = f"{label}/{path.name}"
        if name not in planted:
            path.write_bytes(encoded(picture(100 + number, (120, 90)), "JPEG"))
        elif not without:
            path.write_bytes(planted[name])
    rows = []
    for number in range(CAPTIONS):
        image = encoded({2: A, 5: cropped(B, 0.1)}.get(number) or picture(200 + number, (96, 96)), "BMP")
        if not without or number not in FLICKR:
            rows.append({"image": {"bytes": image, "path": None}, "caption": f"A caption of image {number}"})
    (data / "biomed_flickr").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), data / "biomed_flickr" / "a.parquet")


@pytest.mark.cluster
def test_scores_without_leaked_images_are_those_of_the_other_images(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    data, rest, store = tmp_path / "data", tmp_path / "rest", tmp_path / "store"
    write_sets(data)
    write_sets(rest, without=True)
    training = leave_figures(store)
    leave_model(store, "tiny", tiny_model, seed=0)
    card = store / "checkpoints" / "tiny" / "model" / "README.md"
    card.write_text("# tiny\n\n## Limits\n\n- Some.\n")
    settings = {"tasks": ["lc25000_lung", "biomed_flickr"], "models": ["tiny"], "probe": False, "shots": []}
    found = evaluate(store, data, decontaminate=str(store), mistakes=3, **settings)
    of_lung, of_flickr = found["tasks"]["lc25000_lung"], found["tasks"]["biomed_flickr"]
    assert of_lung["leaked"] == {"images": 4, "of": 12, "how": dict.fromkeys(PLANTED.values(), 1), "untrained": 0}
    assert of_flickr["leaked"] == {"images": 2, "of": 9, "how": dict.fromkeys(FLICKR.values(), 1), "untrained": 0}
    assert found["decontaminated"]["figures"] == 4
    # The same model on the same sets, from which somebody has taken the leaked images.
    others = undisturbed(store, rest, settings["tasks"])
    for name, expected in others.items():
        clean = found["tasks"][name]["models"]["tiny"]["without_leaked"]
        assert clean["scores"] == pytest.approx(expected.scores, abs=1e-6)
        assert clean["images"] == {"lc25000_lung": 8, "biomed_flickr": 7}[name]
        intervals = {score: list(interval) for score, interval in expected.intervals.items() if interval}
        assert clean["intervals"] == {name: pytest.approx(value, abs=1e-6) for name, value in intervals.items()}
    assert found["decontaminated"]["means"]["tiny"]["overall"] == others["lc25000_lung"].scores["accuracy"]

    results = store / "evaluations" / "tasks"
    listed = list(csv.DictReader(io.StringIO((results / "leaked.csv").read_text())))
    by_name = {"/".join(row["image"].split("/")[-2:]): row for row in listed if row["task"] == "lc25000_lung"}
    assert {name: row["figure"] for name, row in by_name.items()} == {
        "lung_aca/0.jpeg": "PMC1.1_001",
        "lung_n/0.jpeg": "PMC3.1_001",
        "lung_n/1.jpeg": "PMC1.1_001",
        "lung_scc/0.jpeg": "PMC2.1_001/2",
    }
    assert {row["trained"] for row in listed} == {""}  # there is no dataset that would say so
    page = lxml.html.document_fromstring((results / "results.html").read_text())
    pairs = page.xpath("//details[contains(summary, 'LC25000')]//div[@class='pair']")
    assert [len(pair.xpath(".//img")) for pair in pairs] == [2, 2, 2]
    told = card.read_text()
    assert "among 4 figures of the store `store`: " in told and "lc25000_lung (4 of 12 images left out)" in told

    # Nothing is searched, and nothing encoded, a second time; one further unit means one search more.
    before = times(store, "leaks") | times(store, "features")
    again = evaluate(store, data, decontaminate=str(store), mistakes=3, **settings)
    assert again["tasks"] == found["tasks"] and times(store, "leaks") | times(store, "features") == before
    write_extracted(training, [article("PMC7")], [figure("PMC7.1", 1, encoded(picture(111, (120, 90))))])
    changed = evaluate(store, data, decontaminate=str(store), **settings)
    assert changed["tasks"]["lc25000_lung"]["leaked"]["how"] == dict.fromkeys(PLANTED.values(), 1) | {"near": 2}
    units = {path for path in times(store, "leaks").items() if "/units-" in path[0] and "/matches/" in path[0]}
    assert len(units - set(before.items())) == 1
    assert left_out_otherwise(found, changed) == ["lc25000_lung"]


def undisturbed(store: Path, data: Path, names: list[str]) -> dict[str, TaskScores]:
    """Scores of the model on these tasks in this process, without Ray and without units."""
    tasks = packaged()
    model = load(ModelName("tiny", Store(str(store))), "cpu")
    found = {}
    for name, ready in prepare(Root(str(data)), tasks, tasks.chosen(None, names), PAPER).ready.items():
        images = encode_images(model, ready.images, range(ready.images.n), 64, 1).vectors
        found[name] = score(ready.questions, images, encode_texts(model, ready.texts.texts, 64), 50, 0)
    return found


def times(store: Path, folder: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (store / folder).rglob("*.parquet")}


def asked(kind: str, truth: Any, n_texts: int, **more: Any) -> _Asked:
    generator = np.random.default_rng(0)
    n = more.pop("n", len(truth))
    texts = [str(number) for number in range(n_texts)]
    questions = Questions(task(kind, 3), np.arange(10, 10 + n), texts, truth, ["a", "b", "c"], **more)
    images, vectors = (normalised(generator.normal(size=(k, 8)).astype(np.float32)) for k in (n, n_texts))
    nothing: Any = None  # what is left does not ask for the set
    return _Asked(nothing, questions, images, vectors)


PROMPTS = [np.array([number]) for number in range(3)]
CONFIG = EvaluateConfig(store="s", data="d", tasks=["pcam"], bootstrap=20)


def test_a_class_may_vanish() -> None:
    some = asked("multiclass", np.array([0, 0, 1, 2, 2]), 3, prompts=PROMPTS)
    scores = _scores(some, {}, CONFIG)
    rest = np.array([0, 1, 3, 4])
    found = _clean(some, scores, rest, {"probe": [np.array([0, 2, 2, 2, 0])]}, CONFIG)
    assert (found.images, found.vanished) == (4, ["b"])
    assert found.scores is not None and scores is not None
    assert found.scores.scores["accuracy"] == scores.outcomes[rest].mean()
    assert found.scores.scores["probe_accuracy"] == 0.5
    same = _clean(some, scores, np.arange(5), {}, CONFIG)
    assert same.scores is scores and same.mark != found.mark
    one = _clean(some, scores, np.array([2]), {}, CONFIG)
    assert (one.scores, one.images, one.vanished) == (None, 1, ["a", "c"])
    none = _clean(some, scores, np.zeros(0, np.int64), {}, CONFIG)
    assert (none.scores, none.images) == (None, 0)


def test_findings_of_which_none_is_left() -> None:
    truth = np.array([[True, False, False], [False, False, True], [False, False, True], [False, False, False]])
    some = asked("multilabel", truth, 6, prompts=PROMPTS, without=[each + 3 for each in PROMPTS])
    found = _clean(some, _scores(some, {}, CONFIG), np.array([1, 2, 3]), {}, CONFIG)
    assert found.vanished == ["a"] and found.scores is not None
    alone = _clean(some, None, np.array([1, 2]), {}, CONFIG)  # all images show the same
    assert alone.scores is not None and np.isfinite(alone.scores.scores["accuracy"])


def test_texts_go_with_their_images_unless_others_have_them() -> None:
    pairs = np.array([0, 0, 1, 2, 3])
    some = asked("retrieval", np.array([0, 1, 1, 2, 3]), 4, n=4, pairs=pairs)
    left = some.of(np.array([1, 3]))
    assert left.questions.texts == ["1", "3"]
    assert np.array_equal(left.texts, some.texts[[1, 3]])
    found = _clean(some, _scores(some, {}, CONFIG), np.array([1, 3]), {}, CONFIG)
    assert found.scores is not None and set(found.scores.scores) >= {"image_to_text_recall@1", "mrr"}


def decontaminated(**values: float) -> dict[str, Any]:
    """Results with and without two leaked images."""
    found = document(**values)
    for each in found["tasks"]["some_task"]["models"].values():
        value = each["scores"]["accuracy"] - 0.25
        left = {"scores": {"accuracy": value}, "intervals": {"accuracy": [value - 0.125, value + 0.125]}}
        each["without_leaked"] = {**left, "images": 8, "vanished": ["benign"], "left_out": "x"}
    how = {"exact": 1, "crop": 1}
    found["tasks"]["some_task"]["leaked"] = {"images": 2, "of": 10, "how": how, "untrained": 1}
    means = {model: {"overall": value - 0.25, "pathology": value - 0.25} for model, value in values.items()}
    found["decontaminated"] = {"store": "s3://b/mine", "state": "1", "figures": 1234, "list": "leaked.csv"}
    found["decontaminated"] |= {"means": means, "means_over": found["means_over"]}
    return found


def test_tables_have_the_scores_without_leaked_images_beside() -> None:
    files = render(decontaminated(one=0.5, two=0.625))
    lines = files["results.md"].splitlines()
    assert lines[2].endswith("| chance | one | two | leaked | one, without | two, without |")
    assert "| 2 | 0.250 [0.125, 0.375] | **0.375 [0.250, 0.500]** |" in lines[4]
    assert "| overall | mean of 1 task |  |  |  | 0.500 | **0.625** |  | 0.250 | **0.375** |" in lines
    notes = files["results.md"].split("\n\n")[-1]
    assert (
        "without: without the images that are among the 1,234 figures of s3://b/mine (leaked.csv names them)" in notes
    )
    assert (
        "some_task: 2 of 10 images are in the store (exact 1, crop 1); without them there is no image of benign"
        in notes
    )
    assert "some_task: 1 of 10 images are in figures of the store that its datasets have left out of training" in notes
    row = next(csv.DictReader(io.StringIO(files["results.csv"])))
    assert (row["value"], row["value_without_leaked"], row["images_without_leaked"]) == ("0.5", "0.25", "8")
    assert "one, without" in files["results.tex"]
    nothing = decontaminated(one=0.5)
    nothing["tests"] = []
    nothing["tasks"]["some_task"]["models"]["one"]["without_leaked"] |= {"scores": {}, "intervals": {}, "images": 0}
    nothing["decontaminated"] |= {"means": {"one": {}}, "means_over": {}}
    text = render(nothing)["results.md"]
    assert "(exact 1, crop 1); without them too little is left for a score" in text
    assert "| overall | mean of 1 task |  |  |  | 0.500 | of 0 tasks |  |" in text


def test_scores_without_the_same_images_are_compared() -> None:
    before, now = decontaminated(one=0.5), decontaminated(one=0.5)
    clean = now["tasks"]["some_task"]["models"]["one"]["without_leaked"]
    clean["scores"]["accuracy"] = 0.125
    (change,) = changes(before, now, ["some_task"])
    assert str(change) == "one on some_task: accuracy without leaked images was 0.2500 and is 0.1250"
    clean["left_out"] = "y"
    assert changes(before, now, ["some_task"]) == []
    assert left_out_otherwise(before, now) == ["some_task"]
    assert changes(document(one=0.5), now, ["some_task"]) == changes(before, document(one=0.5), ["some_task"]) == []


def test_a_card_says_what_the_model_was_checked_against(tmp_path: Path) -> None:
    trained = TrainedModel(Store(str(tmp_path / "mine")), "clip")
    card = "# clip\n\n## Limits\n\n- Some.\n"
    assert with_check(trained, card) == card
    trained.write("model/README.md", lambda file: file.write_text(card))
    note_check(trained, "s3://b/mine", {"pcam": (12, 300), "bach": (0, 1200)}, figures=1000, state="a")
    said = (
        "# clip\n\n## Test images\n\nChecked for leaked test images among 1,000 figures of the store `mine`: "
        "bach (none of 1,200 images), pcam (12 of 300 images left out).\n\n## Limits\n\n- Some.\n"
    )
    written = tmp_path / "mine/checkpoints/clip/model/README.md"
    assert written.read_text() == said
    assert with_check(trained, card) == with_check(trained, said) == said  # where training goes on
    # The store has grown, and only one of the tasks was checked anew.
    note_check(trained, "s3://b/mine", {"pcam": (11, 300)}, figures=2000, state="b")
    assert (
        "among 2,000 figures of the store `mine`: pcam (11 of 300 images left out).\n\nChecked for leaked test images "
        "among 1,000 figures of the store `mine`: bach (none of 1,200 images).\n\n## Limits"
    ) in written.read_text()
    noted = json.loads((tmp_path / "mine/checkpoints/clip/leakage.json").read_text())["tasks"]
    assert noted["pcam"] == {"found": 11, "images": 300, "figures": 2000, "state": "b"}
    assert (noted["bach"]["figures"], noted["bach"]["state"]) == (1000, "a")
    note_check(trained, "s3://b/other", {"bach": (1, 1200)}, figures=5, state="c")
    assert "store `other`: bach (1 of 1,200 images left out).\n\n## Limits" in written.read_text()
    assert written.read_text().count("## Test images") == 1
    shutil.rmtree(written.parent)
    note_check(
        trained, "s3://b/mine", {"pcam": (12, 300)}, figures=1, state="a"
    )  # a model without a card stays without
    assert not written.exists()


def test_figures_that_no_train_split_has(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert trained_figures(store, ["a"]) is None

    def dataset(folder: str, **splits: str) -> None:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "dataset.json").write_text("{}")
        rows = [{"figure_id": figure_id, "split": split} for figure_id, split in splits.items()]
        columns = pa.schema([schema.METADATA.field(name) for name in ("figure_id", "split")])
        pq.write_table(pa.Table.from_pylist(rows, schema=columns), tmp_path / folder / "metadata.parquet")

    dataset("dataset", a="train", b="test", c="validation")
    assert trained_figures(store, ["a", "b", "c", "d"]) == {"a"}
    dataset("selections/some/profiles/small/dataset", b="train")
    assert trained_figures(store, ["a", "b", "c", "d"]) == {"a", "b"}
    (tmp_path / "dataset" / "metadata.parquet").unlink()  # an earlier version wrote none
    assert trained_figures(store, ["a"]) is None


def test_what_is_no_store_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = EvaluateConfig(store="s", data="d", tasks=["pcam"], decontaminate=str(tmp_path))
    expected = rf"^decontaminate: {tmp_path}: expected a store in which `biomedica extract` has been run; "
    with pytest.raises(ConfigError, match=f"{expected}there is no store$"):
        searched_store(config)
    Store(str(tmp_path)).open_or_create(4)
    with pytest.raises(ConfigError, match=f"{expected}.*nothing extracted yet"):
        searched_store(config)
    (tmp_path / "store.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ConfigError, match=f"{expected}.*format 99, expected 2"):
        searched_store(config)
    assert main(["evaluate", "--store", str(tmp_path), "--decontaminate", str(tmp_path)]) == 2
    assert "decontaminate: goes with suite or tasks" in capsys.readouterr().err
