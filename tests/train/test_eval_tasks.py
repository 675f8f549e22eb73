"""Zero-shot of tasks on published sets, as a model in training is measured on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biomedica_ray.config import ConfigError, validate
from biomedica_ray.evaluate.scores import score
from biomedica_ray.evaluate.set_vectors import encode_images, encode_texts
from biomedica_ray.models.clip import build
from biomedica_ray.models.scorable import OfOpenClip
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train import eval_tasks
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.eval_tasks import EvalTask, choose_tasks, zero_shot
from tests.evaluate.written import write_set

TASKS = ["lc25000_lung", "chestmnist", "ubench_tang_et_al_2019", "biomed_flickr"]


def config(data: Path, **changes: Any) -> TrainConfig:
    settings = {"eval_tasks": TASKS, "eval_data": str(data), "eval_steps": 1, **changes}
    return TrainConfig(store="s", **settings)


def scores(model: OfOpenClip, tasks: tuple[EvalTask, ...], workers: int, told: list[str]) -> dict[str, float]:
    """What rank 0 of so many workers gets, whose parts of all tasks are there."""
    parts: list[list[Any]] = [[] for _ in tasks]
    for rank in reversed(range(workers)):
        turn = iter(parts)

        def gather(part: Any, turn: Any = turn) -> list[Any]:
            mine: list[Any] = next(turn)
            mine.insert(0, part)
            return mine

        how = {"rank": rank, "workers": workers, "threads": 1}
        found = dict(zero_shot(model, tasks, gather, **how, tell=told.append))
        assert rank == 0 or found == {}
    return found


@pytest.fixture
def model(tiny_model: str) -> OfOpenClip:
    torch.manual_seed(0)
    return OfOpenClip(*build(resolve_model(tiny_model, None)), "cpu")


def test_scores_are_those_of_evaluate_however_many_workers(
    tmp_path: Path, model: OfOpenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_tasks, "_BATCH", 4)
    for name in ("lc25000_lung", "chestmnist", "ubench", "biomed_flickr"):
        write_set(tmp_path, name)
    tasks = choose_tasks(config(tmp_path))
    expected, counted = {}, []
    for task in tasks:
        images = encode_images(model, task.images, task.questions.rows.tolist(), 4, 1)
        whole = score(task.questions, images.vectors, encode_texts(model, task.questions.texts, 4), 0, 0)
        metric = task.questions.task.metric
        expected[f"tasks.{task.name}.{metric}"] = whole.scores[metric]
        counted += [whole.scores[metric]] if task.name != "biomed_flickr" else []
    expected["tasks.overall"] = np.mean(counted)
    assert len(expected) == 5
    told: list[str] = []
    for workers in (1, 2, 3):
        assert scores(model, tasks, workers, told) == expected
    assert told == []


def test_what_cannot_be_read_does_not_count_and_is_told(
    tmp_path: Path, model: OfOpenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_set(tmp_path, "lc25000_lung") / "Test Set"
    file = write_set(tmp_path, "breastmnist") / "breastmnist_224.npz"
    monkeypatch.setattr(eval_tasks, "_BATCH", 4)
    tasks = choose_tasks(config(tmp_path, eval_tasks=["lc25000_lung", "breastmnist"]))
    before = scores(model, tasks, 1, [])
    first = next((folder / "lung_n").glob("[0-8].jpeg"))
    first.write_bytes(b"no image either")
    file.unlink()  # of all images of a task none is there any more
    for task in tasks:
        task.images.__dict__.pop("opened", None)  # as on a worker that starts again
    told: list[str] = []
    assert scores(model, tasks, 2, told).keys() == {"tasks.lc25000_lung.accuracy"}
    assert before.keys() == {"tasks.lc25000_lung.accuracy", "tasks.breastmnist.accuracy", "tasks.overall"}
    assert told[0].startswith("lc25000_lung: 1 of 9 images do not count: Test Set/lung_n/")
    assert told[1].startswith("breastmnist: 6 of 6 images do not count: breastmnist: ")
    (folder / "lung_n" / "more.jpeg").write_bytes(b"no image")  # would be one of the rows, and the next ones another
    tasks[0].images.__dict__.pop("opened", None)
    assert scores(model, tasks, 1, told) == {}
    assert re.match(r"lc25000_lung: 9 of 9 .*: 10 images, and 9 when it was listed", told[2])
    assert all("\n" not in line for line in told)


def test_of_many_images_the_same_some_are_drawn(tmp_path: Path) -> None:
    write_set(tmp_path, "lc25000_lung")
    write_set(tmp_path, "biomed_flickr")
    names = ["lc25000_lung", "biomed_flickr"]
    few = choose_tasks(config(tmp_path, eval_tasks=names, eval_samples=4))
    again = choose_tasks(config(tmp_path, eval_tasks=names, eval_samples=4, seed=1))
    assert [len(task.questions.rows) for task in few] == [4, 4]
    assert [task.questions.rows.tolist() for task in few] == [task.questions.rows.tolist() for task in again]
    assert len(few[1].questions.texts) == 4
    all_ = choose_tasks(config(tmp_path, eval_tasks=names))
    truth = dict(zip(all_[0].questions.rows, all_[0].questions.truth, strict=True))
    assert [truth[row] for row in few[0].questions.rows] == few[0].questions.truth.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval_tasks": ["pcan"]}, r"^eval_tasks: pcan: unknown task; .*did you mean pcam\?"),
        ({"eval_tasks": ["pcam"]}, r"^eval_tasks: pcam: not in .*: .*camelyonpatch.*\.h5; it is from "),
        ({"eval_tasks": ["bach"]}, r"^eval_tasks: bach: not in .*: not known: the names of its classes; it is from "),
        ({"eval_tasks": ["none.yaml"]}, r"^eval_tasks: none\.yaml: .*No such file"),
        ({"eval_tasks": ["lc25000_lung"]}, r"^eval_tasks: lc25000_lung: .*label kidney, expected one of lung_n"),
    ],
)
def test_what_is_wrong_is_said_before_training(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = write_set(tmp_path, "lc25000_lung") / "Test Set"
    (folder / "kidney").mkdir()
    (folder / "kidney" / "0.jpeg").write_bytes(b"")
    with pytest.raises(ConfigError, match=message) as caught:
        choose_tasks(config(tmp_path, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eval_tasks": "pcam", "eval_data": "sets"}, "eval_steps: with eval_tasks, expected after how many steps"),
        ({"eval_tasks": "pcam", "eval_steps": 1}, "eval_data: with eval_tasks, expected the folder of the sets"),
        ({"eval_data": "sets", "eval_steps": 1}, "eval_data: goes with eval_tasks"),
    ],
)
def test_keys_that_go_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(TrainConfig, {"store": "s", **values})
    assert str(caught.value).startswith(message)
