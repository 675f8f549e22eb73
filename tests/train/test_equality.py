"""Several workers give the loss and the gradients of one worker with the whole batch, in real process groups."""

from __future__ import annotations

import copy
import json
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from biomedica_ray.models.clip import build
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner
from biomedica_ray.train.step import backward
from tests.train.conftest import TINY

WORKERS, LOSSES, CHUNKS = (2, 3), ("clip", "siglip"), (1, 2)
BATCH = 12
CASES = [*product(WORKERS, LOSSES, CHUNKS, [False]), *product([2], LOSSES, [2], [True])]
"""Workers, loss, chunks, and whether the text tower is locked."""


def make(path: str) -> Any:
    torch.manual_seed(1)
    return build(resolve_model(path, None))[0]


def learner(model: Any, kind: Any, locked: bool, **worker: int) -> Learner:
    config = TrainConfig(store="nowhere", loss=kind, lock_text=locked)
    return Learner(model, config, 10, torch.device("cpu"), **worker)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((BATCH, 3, 32, 32), generator=generator), torch.randint(1, 400, (BATCH, 16), generator=generator)


def learned(learner: Learner, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    gradients = {name: p.grad for name, p in learner.model.named_parameters() if p.grad is not None}
    return {"loss": loss, **gradients}


def _process(number: int, model: str, folder: str) -> None:
    """Worker ``number`` of each case that has so many."""
    torch.set_num_threads(1)
    warnings.filterwarnings("error", ".*broadcast_buffers")
    start = make(model)
    for workers in WORKERS[number > 1 :]:
        dist.init_process_group("gloo", init_method=f"file://{folder}/group-{workers}", rank=number, world_size=workers)
        mine = slice(number * BATCH // workers, (number + 1) * BATCH // workers)
        for _, kind, chunks, locked in (case for case in CASES if case[0] == workers):
            worker = learner(copy.deepcopy(start), kind, locked, rank=number, workers=workers)
            images, tokens = batch()
            loss = backward(worker.parallel, worker.loss, images[mine], tokens[mine], chunks)
            dist.all_reduce(loss)
            save_file(learned(worker, loss / workers), f"{folder}/{workers}-{kind}-{chunks}-{locked}-{number}")
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def workers_learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what each worker of each case has learned, and the model's config."""
    folder = tmp_path_factory.mktemp("equality")
    text = {**TINY["text_cfg"], "vocab_size": 400}
    config = {**TINY, "text_cfg": text, "init_logit_scale": 2.3, "init_logit_bias": -3}
    (folder / "model.json").write_text(json.dumps(config))
    arguments = (str(folder / "model.json"), str(folder))
    torch.multiprocessing.start_processes(_process, arguments, nprocs=max(WORKERS), start_method="forkserver")
    return folder


@pytest.mark.parametrize(("workers", "kind", "chunks", "locked"), CASES)
def test_workers_give_loss_and_gradients_of_one_with_the_whole_batch(
    workers_learned: Path, workers: int, kind: Any, chunks: int, locked: bool
) -> None:
    one = learner(make(str(workers_learned / "model.json")), kind, locked)
    expected = learned(one, backward(one.model, one.loss, *batch()))
    assert len(expected) == 1 + len([p for p in one.model.parameters() if p.requires_grad])
    for number in range(workers):
        found = load_file(workers_learned / f"{workers}-{kind}-{chunks}-{locked}-{number}")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            # A softmax does not see the bias: its gradient is 0, but for rounding.
            scale = 1.0 if (kind, name) == ("clip", "logit_bias") else float(tensor.norm())
            assert float((found[name] - tensor).norm()) <= 1e-5 * scale, name
