"""The same batches, weights and settings give the losses that open_clip's own training program has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip_train import main as open_clip_train
from open_clip_train.data import DataInfo
from safetensors.torch import save_file

from biomedica_ray.models.clip import build, normalise, preprocessing
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.models.variants import for_training
from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Batch, Preparation, Stream
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner
from tests.reading.shards import sample, write_dataset
from tests.train.conftest import TINY

EPOCHS, STEPS, BATCH = 2, 25, 8
ALIKE = {"lr": 2e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-6, "seed": 3}


def read_batches(root: Path, config: TrainConfig, tokenizer: Any) -> list[list[Batch]]:
    """The batches of each pass, by the program's own reader."""
    data = write_dataset(root, [map(sample, range(80)), map(sample, range(80, STEPS * BATCH))])
    stream = Stream(data, read_shards(data, ["commercial"], "train"), 1, BATCH, config.seed, 20)
    how = Preparation((32, 32), "bicubic", tokenizer)
    batches = stream.batches(rows_of_worker(0, 1, 1, BATCH), {0: LanePosition()}, how, 1)
    return [list(islice(batches, STEPS)) for _ in range(EPOCHS)]


def names_of_decaying(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    decaying = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in decaying}


class _Passes:
    """The batches as open_clip_train takes them: a pass at a time."""

    num_batches, num_samples = STEPS, STEPS * BATCH

    def __init__(self, batches: list[list[Batch]], model: Any) -> None:
        own = preprocessing(model)
        self._mean, self._std = (torch.tensor(own[key]).view(3, 1, 1) for key in ("mean", "std"))
        self._passes = iter(batches)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in next(self._passes):
            yield normalise(batch.images, self._mean, self._std), batch.tokens


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_losses_of_open_clip_train(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(TINY))
    open_clip.add_model_config(path)
    config = TrainConfig(
        store="nowhere",
        model=str(path),
        pretrained=None,
        loss=kind,
        warmup_steps=5,
        weight_decay=0.2,
        grad_clip=0.5,
        **ALIKE,
    )
    torch.manual_seed(config.seed)
    model, tokenizer = build(
        for_training(resolve_model(config.model, None), loss=config.loss, patch_dropout=config.patch_dropout)
    )
    save_file(model.state_dict(), tmp_path / "start.safetensors")
    batches = read_batches(tmp_path / "dataset", config, tokenizer)

    theirs: list[float] = []
    passes = _Passes(batches, model)
    create_loss = open_clip_train.create_loss

    def recording(args: Any) -> Any:
        loss = create_loss(args)
        loss.register_forward_hook(lambda _, __, output: theirs.append(output["contrastive_loss"].item()))
        return loss

    train_one_epoch, decaying = open_clip_train.train_one_epoch, set()

    def watched(model: Any, *arguments: Any, **named: Any) -> None:
        optimizer = next(argument for argument in arguments if isinstance(argument, torch.optim.Optimizer))
        decaying.update(names_of_decaying(model, optimizer))
        train_one_epoch(model, *arguments, **named)

    monkeypatch.setattr(open_clip_train, "train_one_epoch", watched)
    monkeypatch.setattr(open_clip_train, "get_data", lambda *_, **__: {"train": DataInfo(passes)})
    monkeypatch.setattr(open_clip_train, "create_loss", recording)
    monkeypatch.setattr(open_clip_train, "setup_logging", lambda *_: None)
    options = {
        **{
            "model": "curve",
            "pretrained": tmp_path / "start.safetensors",
            "train-data": "ours",
            "logs": tmp_path / "logs",
        },
        **{"batch-size": BATCH, "epochs": EPOCHS, "warmup": 5, "wd": 0.2, "grad-clip-norm": 0.5, "device": "cpu"},
        **{"workers": 0, "precision": "fp32", "save-frequency": 0, **ALIKE},
    }
    flags = ["--local-loss", "--gather-with-grad", *(["--siglip"] if kind == "siglip" else [])]
    open_clip_train.main([str(part) for key, value in options.items() for part in (f"--{key}", value)] + flags)

    learner = Learner(model, config, EPOCHS * STEPS, torch.device("cpu"))
    assert names_of_decaying(learner.model, learner.optimizer) == decaying
    flat = [batch for batches_of_pass in batches for batch in batches_of_pass]
    ours = []
    for step, batch in enumerate(flat):
        ours.append(float(learner.backward(step, learner.images(batch.images), batch.tokens, 1)))
        learner.update(step)
    assert len(theirs) == len(ours) == 50
    assert ours[-1] < 0.7 * ours[0]
    assert ours == pytest.approx(theirs, abs=1e-3)
