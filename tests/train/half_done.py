"""What a training run leaves that was stopped half-way, made in this process by one worker without Ray Train."""

from __future__ import annotations

from itertools import islice

import torch

from biomedica_ray.models.clip import build, image_size
from biomedica_ray.reading.order import LanePosition, batch_digest
from biomedica_ray.reading.stream import Preparation
from biomedica_ray.reading.texts import TextChoice
from biomedica_ray.runs import Run
from biomedica_ray.train.checkpoints import Checkpoints, Position, Rule, Snapshot
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner
from biomedica_ray.train.run_plan import make_plan


def leave_half_done(config: TrainConfig, steps: int) -> None:
    """Train some steps as ``config`` says, and write the checkpoint."""
    run = Run("train", config)
    checkpoints = Checkpoints(run.store, config.name)
    plan = make_plan(config, run, checkpoints)
    stream = plan.stream
    torch.manual_seed(config.seed)
    model, tokenizer = build(plan.spec)
    learner = Learner(model, config, stream.steps(config.epochs), torch.device("cpu"))
    how = Preparation(image_size(model), "bicubic", tokenizer, TextChoice(config.texts, config.long_text))
    rows = stream.rows(0, 1)
    position = Position(0, [LanePosition() for _ in stream.sizes])
    metrics = []
    batches = stream.batches(rows, dict(enumerate(position.lanes)), how, 1)
    for step, batch in enumerate(islice(batches, steps)):
        loss = learner.backward(step, learner.images(batch.images), batch.tokens, 1)
        update = learner.update(step)
        for number, after in batch.lanes.items():
            lane = position.lanes[number]
            position.lanes[number] = LanePosition(after.epoch, after.slots, lane.errors + after.errors)
        position.step = step + 1
        metrics.append(
            {
                "step": step + 1,
                "epoch": stream.epoch(step),
                "loss": float(loss),
                "lr": update.lr,
                "samples": stream.step_samples,
                "distinct": sum(n for epoch, n in batch.given.items() if epoch < config.epochs),
                "held_out": sum(n for epoch, n in batch.held_out.items() if epoch < config.epochs),
                "seconds": 0.1,
                "samples_per_s": stream.step_samples / 0.1,
                "wait": 0.0,
                "logit_scale": 1.0,
                "grad_norm": update.grad_norm,
                "batch": f"{batch_digest(batch.keys, 0) % 2**64:016x}",
                "workers": 1,
                "gpu_utilisation": [None],
            }
        )
    checkpoints.save(Snapshot.take(learner.files(), position, metrics), Rule(), plan.settings)
