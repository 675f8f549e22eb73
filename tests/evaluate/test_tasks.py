"""Each task that comes with the package, on data in its layout: a model that knows all, and one that sees nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biomedica_ray.evaluate.finding import find
from biomedica_ray.evaluate.layouts import BadDataError
from biomedica_ray.evaluate.layouts.pixels import to_rgb
from biomedica_ray.evaluate.questions import Questions, ask
from biomedica_ray.evaluate.scores import score
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.evaluate.zero_shot import Vectors, normalised
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root
from tests.evaluate.written import write_set

TASKS = packaged()
COMPLETE = [name for name, task in TASKS.tasks.items() if not task.lacks(TASKS.set_of(task))]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    for name in sorted({TASKS.tasks[task].set for task in COMPLETE}):
        write_set(root, name)
    return root


def questions_of(data: Path, name: str) -> Questions:
    task = TASKS.tasks[name]
    opened = find(Root(str(data)), TASKS.set_of(task)).open()
    assert (opened.listing.missing, opened.listing.repeated) == ([], [])
    return ask(task, opened.listing.table, str(data))


def right_texts(questions: Questions, row: int) -> list[int]:
    """The texts that fit the image of a row."""
    if questions.task.kind == "multiclass":
        return list(questions.prompts[questions.truth[row]])
    if questions.task.kind == "multilabel":
        shown = questions.truth[row]
        pairs = zip(questions.prompts, questions.without, shown, strict=True)
        return [number for with_, without, is_shown in pairs for number in (with_ if is_shown else without)]
    if questions.task.kind == "choice":
        return [choice.options[choice.answer] for choice in questions.choices[row]]
    return list(questions.truth[questions.pairs == row])


def oracle(questions: Questions) -> tuple[Vectors, Vectors]:
    """Texts all at right angles; images in the midst of those that fit them."""
    texts = np.eye(len(questions.texts), dtype=np.float32)
    images = np.stack([texts[right_texts(questions, row)].sum(axis=0) for row in range(len(questions.rows))])
    return normalised(images), texts


def test_all_forty_can_be_evaluated() -> None:
    assert {task.id for task in TASKS.chosen("biomedica-40", [])} <= set(COMPLETE)


@pytest.mark.parametrize("name", COMPLETE)
def test_an_oracle_is_always_right(data: Path, name: str) -> None:
    questions = questions_of(data, name)
    found = score(questions, *oracle(questions), 20, 0)
    assert found.scores["accuracy" if questions.task.kind != "retrieval" else "recall@1"] == 1
    assert found.scores[questions.task.metric if questions.task.metric in found.scores else "recall@1"] == 1
    assert set(found.outcomes) == {1.0}
    assert all(value == 1 for key, value in found.scores.items())
    assert all(interval == (1, 1) for interval in found.intervals.values())


@pytest.mark.parametrize("name", COMPLETE)
def test_a_blind_model_guesses(data: Path, name: str) -> None:
    questions = questions_of(data, name)
    generator = np.random.default_rng(0)
    texts = normalised(generator.normal(size=(len(questions.texts), 32)).astype(np.float32))
    n, kind = len(questions.rows), questions.task.kind
    if kind == "choice":  # for each image it guesses anew
        many = [generator.normal(size=(n, 32)).astype(np.float32) for _ in range(40)]
        guessed = [score(questions, normalised(images), texts, 0, 0).scores["accuracy"] for images in many]
        found = score(questions, normalised(many[0]), texts, 0, 0)
        assert np.mean(guessed) == pytest.approx(found.chance, abs=0.04)
        return
    # With an axis as the vector of all images similarities are exact, and equal ones are equal.
    images = np.repeat(np.eye(1, 32, dtype=np.float32), n, axis=0)
    if kind == "retrieval":
        found = score(questions, images, np.repeat(images[:1], len(texts), axis=0), 0, 0)
        assert found.scores["recall@1"] == pytest.approx(found.chance)
        assert found.scores["recall@5"] == pytest.approx(5 * found.chance)
        return
    found = score(questions, images, texts, 0, 0)
    assert found.scores["balanced_accuracy"] == pytest.approx(found.chance)
    assert found.scores["auroc"] == pytest.approx(0.5)
    if kind == "multiclass":
        assert found.chance == 1 / len(questions.names)
    nothing = score(questions, images, np.repeat(images[:1], len(texts), axis=0), 0, 0)
    assert nothing.scores["accuracy"] == 0  # who finds everything alike has found nothing


@pytest.mark.parametrize("name", sorted({TASKS.tasks[task].set for task in COMPLETE}))
def test_every_image_of_a_set_is_read(data: Path, name: str) -> None:
    opened = find(Root(str(data)), TASKS.sets[name]).open()
    n = opened.listing.table.num_rows
    assert n >= 6
    images = list(opened.images(range(n)))
    assert len(images) == n
    pixels = [np.asarray(to_rgb(image, (0, 100))).tobytes() for image in images if not isinstance(image, Unreadable)]
    assert len(pixels) == n
    some = [n // 2, n - 1]
    again = [np.asarray(to_rgb(image, (0, 100))).tobytes() for image in opened.images(some)]
    assert again == [pixels[number] for number in some]


def test_counts_and_classes_that_differ_from_the_file_are_said(data: Path) -> None:
    task = TASKS.tasks["ubench_kather_et_al_2016"].model_copy(update={"rows": 8, "n_classes": 9})
    table = find(Root(str(data)), TASKS.set_of(task)).open().listing.table
    assert ask(task, table, "here").remarks == ["25 images, expected 8", "8 classes, expected 9"]
    assert ask(TASKS.tasks["ubench_kather_et_al_2016"], table, "here").remarks == []
    task = TASKS.tasks["lc25000_lung"]
    table = pa.table({"id": ["a", "b", "c"], "label": ["lung_n", "lung_aca", "colon_n"]})
    questions = ask(task, table, "here")
    assert (questions.remarks, questions.left_out) == (["no image of lung_scc"], 1)


def test_a_label_outside_the_classes_names_row_and_value() -> None:
    table = pa.table({"id": ["a", "b"], "label": ["lung_n", "kidney"]})
    with pytest.raises(BadDataError, match="here: row b: label kidney, expected one of lung_n, lung_aca, lung_scc"):
        ask(TASKS.tasks["lc25000_lung"], table, "here")
    several = pa.table({"id": ["a"], "label": [[3, 14]]})
    with pytest.raises(BadDataError, match="here: row a: label 14, expected one of 0, 1, 2"):
        ask(TASKS.tasks["chestmnist"], several, "here")
    options = {"classification_0": {"options": ["x", "y"], "answer_idx": 2}}
    choice = pa.table({"id": ["a"], "dataset": ["tang_et_al_2019"], "captions": [options]})
    with pytest.raises(BadDataError, match="here: row a: classification_0: answer_idx 2 with 2 options"):
        ask(TASKS.tasks["ubench_tang_et_al_2019"], choice, "here")
    with pytest.raises(BadDataError, match="here: no column label; there are id"):
        ask(TASKS.tasks["pcam"], pa.table({"id": ["a"]}), "here")


def test_prompts_by_their_source() -> None:
    table = pa.table({"id": ["a", "b"], "label": [0, 1]})
    task = TASKS.tasks["pcam"]
    paper, ensemble = ask(task, table, "here"), ask(task, table, "here", "ensemble")
    assert paper.texts == [
        "histopathology image of normal lymph node tissue",
        "histopathology image of metastatic tumor tissue",
    ]
    assert (paper.prompts_from, ensemble.prompts_from) == ("paper", "ensemble")
    assert [len(numbers) for numbers in ensemble.prompts] == [len(task.templates)] * 2
    own = ask(task, table, "here", own={"pcam": {"normal": ["healthy"], "tumor": ["ill", "cancer"]}})
    assert (own.prompts_from, own.texts) == ("file", ["healthy", "ill", "cancer"])
    # Where no authors' prompts are known, the ensemble stands in, and the results say so.
    assert ask(TASKS.tasks["bloodmnist"], pa.table({"id": ["a"], "label": [0]}), "here").prompts_from == "ensemble"
