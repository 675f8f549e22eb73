"""What each Ray Train worker does: stream, learn, write checkpoints, and take up where the last one stands."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from biomedica_ray.config import ConfigError, TrainConfig
from biomedica_ray.store import Store
from biomedica_ray.train.board import Board
from biomedica_ray.train.checkpoints import Checkpoints, Position, WorkerPosition
from biomedica_ray.train.learner import Learner
from biomedica_ray.train.model import (
    ModelSpec,
    build,
    export,
    image_size,
    preprocessing,
)
from biomedica_ray.train.shards import Shard
from biomedica_ray.train.stream import Batch, Preparation, Stream, prefetch

TOLD_ERRORS = 20
"""Unreadable samples that a worker tells of in the driver's log; all of them go into the errors table."""


@dataclass(frozen=True)
class Job:
    """What all workers of a run are given."""

    config: TrainConfig
    spec: ModelSpec
    store: Store
    data: Store
    shards: tuple[Shard, ...]
    board: Board


def train_worker(arguments: dict[str, Any]) -> None:
    """Train from the last checkpoint, or from the beginning, to the end.

    Args:
        arguments: ``job``, a :class:`Job`.
    """
    job: Job = arguments["job"]
    config = job.config
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    torch.manual_seed(config.seed)
    built = _build_on_all(job, rank)
    if built is None:
        return
    model, tokenizer = built
    stream = Stream(job.data, job.shards, rank, workers, config.seed, config.shuffle_buffer)
    _Worker(job, model, tokenizer, stream).learn()


def _build_on_all(job: Job, rank: int) -> tuple[Any, Any] | None:
    """The model and its tokenizer; None, after telling the driver, when any worker cannot build it.

    A model that cannot be built is no failure of a worker, after which Ray Train would try again.
    """
    built, failure = None, ""
    try:
        built = build(job.spec, job.config.image_weights, job.config.patch_dropout)
    except ConfigError as error:
        failure = str(error)
    failures = [text for text in _gather(failure) if text]
    if failures and rank == 0:
        job.board.post({"failure": failures[0]})
    return None if failures else built


def _gather(value: Any) -> list[Any]:
    """A small object of every worker, by rank."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class _Worker:
    """The state of one worker."""

    def __init__(self, job: Job, model: Any, tokenizer: Any, stream: Stream) -> None:
        config = job.config
        self.job, self.stream, self.tokenizer = job, stream, tokenizer
        self.checkpoints = Checkpoints(job.store, config.name)
        self.sizes = stream.sizes(config.batch_size)
        self.total = len(self.sizes) * config.epochs
        self.position = self.checkpoints.latest() or Position(0, 0, [WorkerPosition() for _ in range(stream.workers)])
        self.learner = Learner(
            model, config, self.total, ray.train.torch.get_device(), rank=stream.rank, workers=stream.workers
        )
        if self.position.step:
            self.learner.restore(self.checkpoints.load(self.position.step))
        self.metrics = self.checkpoints.metrics(self.position.step) if stream.rank == 0 else []
        self.here = self.position.workers[stream.rank]
        self.how = Preparation(image_size(model), preprocessing(model).get("interpolation", "bicubic"), tokenizer)

    def learn(self) -> None:
        """Every remaining step."""
        step = self.position.step
        waiting_since = time.monotonic()
        with contextlib.closing(prefetch(self._batches())) as batches:
            for batch in batches:
                waited = time.monotonic() - waiting_since
                self._step(step, batch, waiting_since, waited)
                step += 1
                if step % self.job.config.checkpoint_steps == 0 or step == self.total:
                    self._checkpoint(step)
                waiting_since = time.monotonic()

    def _batches(self) -> Iterator[Batch]:
        """The batches of what is left of this pass, and of the further ones."""
        config = self.job.config
        done = self.position.step - self.position.epoch * len(self.sizes)
        threads = max(1, int(config.cpus_per_worker))
        for epoch in range(self.position.epoch, config.epochs):
            first = epoch == self.position.epoch
            sizes, skip = (self.sizes[done:], self.here.slots) if first else (self.sizes, 0)
            yield from self.stream.batches(epoch, sizes, skip, self.how, threads)

    def _step(self, step: int, batch: Batch, started: float, waited: float) -> None:
        images, tokens = self.learner.images(batch.images), batch.tokens.to(self.learner.device)
        loss = self.learner.backward(step, images, tokens, self.job.config.accumulate)
        update = self.learner.update(step)
        if dist.is_initialized():
            dist.all_reduce(loss)
            loss /= self.stream.workers
        value = float(loss)
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {step + 1}; a smaller lr may help")
        self._note_errors(step, batch)
        if self.stream.rank == 0:
            seconds = time.monotonic() - started
            samples = len(batch.keys) * self.stream.workers
            record = {
                "step": step + 1,
                "epoch": step // len(self.sizes),
                "loss": value,
                "lr": update.lr,
                "samples": samples,
                "seconds": seconds,
                "samples_per_s": samples / seconds,
                "wait": waited / seconds,
                "logit_scale": float(self.learner.model.logit_scale.detach().exp()),
                "grad_norm": update.grad_norm,
            }
            self.metrics.append(record)
            self.job.board.post(record)

    def _note_errors(self, step: int, batch: Batch) -> None:
        self.here.slots = batch.slots
        epoch = step // len(self.sizes)
        for error in batch.errors:
            self.here.errors.append({**asdict(error), "epoch": str(epoch)})
            if len(self.here.errors) <= TOLD_ERRORS:
                self.job.board.post({"unreadable": f"{error.what}: {error.message}"})

    def _checkpoint(self, step: int) -> None:
        epoch, within = divmod(step, len(self.sizes))
        slots = self.here.slots if within else 0
        workers = _gather(WorkerPosition(slots, self.here.errors))
        if self.stream.rank:
            return
        if step == self.total:
            with tempfile.TemporaryDirectory() as folder:
                export(self.learner.result, self.tokenizer, self.job.spec, Path(folder))
                self.checkpoints.put_folder(Path(folder), "model")
        self.checkpoints.save(self.learner.files(), Position(step, epoch, workers), self.metrics)
