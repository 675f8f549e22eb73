from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.runs import Run
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.run_plan import make_plan
from tests.reading.shards import sample, write_dataset
from tests.train.training import tiny


def test_too_few_training_samples(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [[sample(0)]])
    config = tiny(tmp_path, tiny_model)
    run = Run("train", config)
    with pytest.raises(ConfigError, match="1 training samples of commercial"):
        make_plan(config, run, Checkpoints(run.store, config.name))


def test_a_plan_writes_nothing(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    before = sorted(tmp_path.rglob("*"))
    config = tiny(tmp_path, tiny_model)
    run = Run("train", config)
    assert make_plan(config, run, Checkpoints(run.store, config.name)).settings["lanes"] == 2
    assert sorted(tmp_path.rglob("*")) == before
