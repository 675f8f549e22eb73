from __future__ import annotations

from pathlib import Path
from typing import Any

from biomedica_ray.reading.stream import Stream
from biomedica_ray.runs import Run
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.course import Course, doubts
from biomedica_ray.train.run_plan import make_plan
from tests.reading.shards import sample, write_dataset
from tests.train.training import tiny


def planned(store: Path, model: str, **changes: Any) -> tuple[TrainConfig, Stream]:
    write_dataset(store / "dataset", [map(sample, range(21))])
    config = tiny(store, model, **changes)
    run = Run("train", config)
    return config, make_plan(config, run, Checkpoints(run.store, config.name)).stream


def test_a_run_in_numbers(tmp_path: Path, tiny_model: str) -> None:
    config, stream = planned(tmp_path, tiny_model, schedule="const")
    course = Course.of(config, stream)
    assert str(course) == (
        "21 samples x 3 passes = 7 steps of 10 samples; lr 1.5e-03 at first, 3.0e-03 after the warm-up, 3.0e-03 "
        "half-way, 3.0e-03 at last"
    )
    assert doubts(config, stream) == []


def test_numbers_that_make_little_sense(tmp_path: Path, tiny_model: str) -> None:
    config, stream = planned(tmp_path, tiny_model, batch_size=50, warmup_steps=30)
    assert doubts(config, stream) == [
        "batch_size: 100 samples a step are more than the 21 of the data; each step is a whole pass of 22",
        "warmup_steps: 30 of 3 steps: lr reaches 3.0e-04 of 3.0e-03 in the last step",
    ]
