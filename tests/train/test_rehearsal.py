from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from biomedica_ray.board import Board
from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import build
from biomedica_ray.runs import Run
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.job import Job
from biomedica_ray.train.rehearsal import one_step, preparation, rehearse
from biomedica_ray.train.run_plan import make_plan
from tests.reading.shards import sample, write_dataset
from tests.train.conftest import TINY
from tests.train.training import tiny


def job_of(store: Path, model: str, **changes: Any) -> Job:
    config = tiny(store, model, **changes)
    run = Run("train", config)
    plan = make_plan(config, run, Checkpoints(run.store, config.name))
    return Job(config, plan.spec, run.store, plan.stream, None, plan.settings, Board.__new__(Board))


@pytest.mark.parametrize("settings", [{}, {"loss": "siglip"}, {"precision": "bf16"}])
def test_a_step_leaves_the_model_as_it_was(tmp_path: Path, settings: dict[str, Any]) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    job = job_of(tmp_path, "clip-lite0", **settings)
    model, tokenizer = build(job.spec)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = one_step(job, model, preparation(job, model, tokenizer), 0, torch.device("cpu"))
    assert done.sample.startswith("PMC")
    assert done.loss > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_sample_that_cannot_be_read_is_passed_over(tmp_path: Path, tiny_model: str) -> None:
    whole = list(map(sample, range(3)))
    write_dataset(tmp_path / "dataset", [[(whole[0][0], b"no image", *whole[0][2:]), *whole[1:]]])
    assert rehearse(job_of(tmp_path, tiny_model, num_workers=1)).sample == whole[1][0]


def test_no_sample_that_can_be_read(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [[(key, b"no image", *rest) for key, _, *rest in map(sample, range(4))]])
    with pytest.raises(ConfigError, match=r"^data: .*: none of 4 samples can be read: 4 \S+ \(PMC0-1_001: ") as caught:
        rehearse(job_of(tmp_path, tiny_model, num_workers=1))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_does_not_fit(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(4))])
    (tmp_path / "odd.json").write_text(json.dumps({**TINY, "text_cfg": {**TINY["text_cfg"], "vocab_size": 100}}))
    message = r"^model: .*odd.json: cannot learn from PMC\S+ \(32 x 32 pixels, 16 tokens\): index out of range"
    with pytest.raises(ConfigError, match=message) as caught:
        rehearse(job_of(tmp_path, str(tmp_path / "odd.json")))
    assert "\n" not in str(caught.value)


def test_an_input_size_that_the_model_does_not_take(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(4))])
    job = job_of(tmp_path, tiny_model)
    model, tokenizer = build(job.spec)
    how = replace(preparation(job, model, tokenizer), size=(48, 48))
    with pytest.raises(ConfigError, match=r"^model: .*: cannot learn from .* \(48 x 48 pixels, 16 tokens\): "):
        one_step(job, model, how, 0, torch.device("cpu"))
