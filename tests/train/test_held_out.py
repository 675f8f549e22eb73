from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.config import ConfigError, validate
from biomedica_ray.evaluate.encode import Model, encode
from biomedica_ray.evaluate.retrieval import recall
from biomedica_ray.evaluate.validation import OneSet, Validation, find_validation, merged
from biomedica_ray.models.clip import build
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.reading.shards import Shard
from biomedica_ray.reading.tars import Tars
from biomedica_ray.store import Store
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.held_out import retrieval
from tests.reading.shards import sample, write_dataset


def model_of(config: str) -> Model:
    return Model(*build(resolve_model(config, None)), "cpu")


def scores(model: Model, held_out: Validation, workers: int) -> dict[str, float]:
    """What rank 0 of so many workers gets."""
    parts: list[Any] = []

    def keep(part: Any) -> list[Any]:
        parts.append(part)
        return []

    how = {"workers": workers, "batch_size": 4, "threads": 1}
    for rank in range(workers):
        assert retrieval(model, held_out, keep, rank=rank, **how) == {}
    return dict(retrieval(model, held_out, lambda _: parts, rank=0, **how))


def test_the_score_is_that_of_all_samples_however_many_workers(tmp_path: Path, tiny_model: str) -> None:
    broken = sample(3, image=b"no image")
    data = write_dataset(tmp_path, [[*map(sample, range(3)), broken], map(sample, range(4, 9))], "validation")
    held_out = find_validation([OneSet(data, ())], 0, 100)
    model = model_of(tiny_model)
    samples = encode(model, held_out.samples(), 100, 1, lambda _: None)
    assert len(samples.images) == 8
    directions = {
        "image_to_text": (samples.images, samples.texts),
        "text_to_image": (samples.texts, samples.images),
    }
    expected = {
        f"retrieval.{name}.recall@{k}": estimate.value
        for name, pair in directions.items()
        for k, estimate in recall(*pair, (1, 5), articles=samples.articles, resamples=0, seed=0).items()
    }
    assert len(expected) == 4
    for workers in (1, 2, 3):
        assert scores(model, held_out, workers) == pytest.approx(expected)


def test_no_score_of_samples_that_cannot_be_read(tmp_path: Path, tiny_model: str) -> None:
    data = write_dataset(tmp_path, [[sample(0), sample(1, image=b"no image")]], "validation")
    assert scores(model_of(tiny_model), find_validation([OneSet(data, ())], 0, 100), 1) == {}


def test_sets_are_one_where_all_their_shards_are_not_where_the_first_and_last_are() -> None:
    def tars(numbers: str, weight: float) -> OneSet:
        shards = tuple(Shard(f"{number}.tar", "", "train", 10, "") for number in numbers)
        return OneSet(Tars(f"{numbers[0]}.tar ... {numbers[-1]}.tar"), shards, weight)

    def dataset(groups: str, weight: float) -> OneSet:
        return OneSet(Store("data"), tuple(Shard(f"{group}/0.tar", group, "train", 10, "") for group in groups), weight)

    found = merged([tars("029", 1), dataset("ab", 2), tars("059", 4), tars("029", 8), dataset("a", 16)])
    assert [(each.source.root, each.weight) for each in found] == [
        ("0.tar ... 9.tar", 9),
        (Store("data").root, 18),
        ("0.tar ... 9.tar", 4),
    ]
    assert [shard.path for shard in found[2].shards] == ["0.tar", "5.tar", "9.tar"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"keep_best": "retrieval.image_to_text.recall@1"},
            "keep_best: needs eval_steps, and checkpoint_steps must be a multiple of it",
        ),
        (
            {"keep_best": "retrieval.image_to_text.recall@1", "eval_steps": 30, "checkpoint_steps": 100},
            "keep_best: needs eval_steps, and checkpoint_steps must be a multiple of it",
        ),
        ({"keep_best": "loss"}, "keep_best: expected one of 'retrieval.image_to_text.recall@1'"),
        ({"min_workers": 5, "num_workers": 4}, "min_workers: expected at most num_workers, 4"),
        (
            {"min_workers": 2, "num_workers": 4, "batch_size": 2048},
            "min_workers: 3 workers cannot share the 8192 samples of a step; choose a batch_size so that every number "
            "from 2 to 4 divides num_workers x batch_size",
        ),
    ],
)
def test_settings_that_do_not_fit_together(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(TrainConfig, {"store": "s", **values})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_range_of_workers_that_all_share_the_batch() -> None:
    assert TrainConfig(store="s", num_workers=4, min_workers=2, batch_size=3).min_workers == 2
