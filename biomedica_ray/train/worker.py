"""What each Ray Train worker does: stream, learn, write checkpoints, and take up where the last one stands."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from safetensors import SafetensorError

from biomedica_ray.annotate.encoders import one_line
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError, TrainConfig
from biomedica_ray.evaluate.encode import Model
from biomedica_ray.evaluate.pipeline import HeldOut
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.agreement import Agreed, Word, agree, gpu_utilisation
from biomedica_ray.train.board import Board
from biomedica_ray.train.checkpoints import Checkpoints, Position, Rule, Snapshot, WorkerPosition
from biomedica_ray.train.held_out import retrieval
from biomedica_ray.train.leaving import Notices
from biomedica_ray.train.model import (
    ModelSpec,
    build,
    export,
    image_size,
    lock_image_tower,
    normalise,
    preprocessing,
    train_mode,
)
from biomedica_ray.train.model_card import model_card
from biomedica_ray.train.optimizer import learning_rate, parameter_groups
from biomedica_ray.train.shards import Shard
from biomedica_ray.train.step import backward, contrastive_loss, update
from biomedica_ray.train.stream import Batch, Preparation, Stream, prefetch
from biomedica_ray.train.writer import Writer

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
    held_out: HeldOut | None
    board: Board


def train_worker(arguments: dict[str, Any]) -> None:
    """Train from the last checkpoint, or from the beginning, to the end, or to where it is told to leave.

    What no restart would mend (a model that cannot be built, a full disk) is told to the driver and is no failure.

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
    _Learner(job, model, tokenizer, stream).learn()


def _build_on_all(job: Job, rank: int) -> tuple[Any, Any] | None:
    """The model and its tokenizer; None, after telling the driver, when any worker cannot build it.

    A model that cannot be built is no failure of a worker, after which Ray Train would try again.
    """
    built, failure = None, ""
    try:
        built = build(job.spec, job.config.image_weights)
    except ConfigError as error:
        failure = str(error)
    failures = [text for text in _gather(failure) if text]
    if failures and rank == 0:
        job.board.tell({"failure": ConfigError(failures[0])})
    return None if failures else built


def _gather(value: Any) -> list[Any]:
    """A small object of every worker, by rank."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class _Learner:
    """The state of one worker."""

    def __init__(self, job: Job, model: Any, tokenizer: Any, stream: Stream) -> None:
        config = job.config
        self.job, self.stream, self.tokenizer = job, stream, tokenizer
        self.checkpoints = Checkpoints(job.store, config.name)
        self.notices = Notices(job.board, stream.rank)
        model.output_dict = True
        if config.lock_image:
            lock_image_tower(model)
        if config.grad_checkpointing:
            model.set_grad_checkpointing()
        self.device = ray.train.torch.get_device()
        self.model = model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, config.weight_decay), lr=config.lr, betas=(config.beta1, config.beta2)
        )
        self.sizes = stream.sizes(config.batch_size)
        self.total = len(self.sizes) * config.epochs
        self.position = self.checkpoints.latest() or Position(0, 0, [WorkerPosition() for _ in range(stream.workers)])
        rule = Rule(config.keep_last, config.keep_best)
        self.writer = Writer(partial(self.checkpoints.save, rule=rule), self.position.step)
        if self.position.step:
            self.checkpoints.load(self.position.step, model, self.optimizer)
        self.metrics = self.checkpoints.metrics(self.position.step) if stream.rank == 0 else []
        self.here = self.position.workers[stream.rank]
        self.parallel = ray.train.torch.prepare_model(
            model, parallel_strategy_kwargs={"broadcast_buffers": not config.lock_image}
        )
        self.loss = contrastive_loss(stream.rank, stream.workers)
        preprocess = preprocessing(model)
        self.mean, self.std = (
            torch.tensor(preprocess[key], device=self.device).view(3, 1, 1) for key in ("mean", "std")
        )
        self.how = Preparation(image_size(model), preprocess.get("interpolation", "bicubic"), tokenizer)

    def learn(self) -> None:
        """Every remaining step, unless a notice comes or a checkpoint cannot be written."""
        train_mode(self.model, lock_image=self.job.config.lock_image)
        step = self.position.step
        failed = False
        waiting_since = time.monotonic()
        with contextlib.closing(prefetch(self._batches())) as batches:
            for batch in batches:
                waited = time.monotonic() - waiting_since
                agreed = self._step(step, batch, waiting_since, waited)
                step += 1
                failed = agreed.failed
                if failed:
                    break
                scores = {} if agreed.leave else self._scores(step)
                if self.stream.rank == 0:
                    self.metrics[-1].update(scores)
                    self.job.board.post(self.metrics[-1])
                if agreed.leave:
                    break
                if step % self.job.config.checkpoint_steps == 0 and step < self.total:
                    self._checkpoint(step)
                waiting_since = time.monotonic()
        self._end(step, failed=failed)

    def _batches(self) -> Iterator[Batch]:
        """The batches of what is left of this pass, and of the further ones."""
        config = self.job.config
        done = self.position.step - self.position.epoch * len(self.sizes)
        threads = max(1, int(config.cpus_per_worker))
        for epoch in range(self.position.epoch, config.epochs):
            first = epoch == self.position.epoch
            sizes, skip = (self.sizes[done:], self.here.slots) if first else (self.sizes, 0)
            yield from self.stream.batches(epoch, sizes, skip, self.how, threads)

    def _step(self, step: int, batch: Batch, started: float, waited: float) -> Agreed:
        config = self.job.config
        images = normalise(batch.images.to(self.device), self.mean, self.std)
        tokens = batch.tokens.to(self.device)
        loss = backward(self.parallel, self.loss, images, tokens, config.accumulate, bf16=config.precision == "bf16")
        lr = learning_rate(step, self.total, config.warmup_steps, config.lr)
        norm = update(self.model, self.optimizer, lr, config.grad_clip)
        word = Word(
            leave=self.notices.heard(),
            failed=self.writer.failed,
            ask=self.notices.due(),
            utilisation=gpu_utilisation(self.device),
        )
        agreed = agree(loss, word, self.stream.rank, self.stream.workers)
        if agreed.ask:
            self.notices.ask()
        if not math.isfinite(agreed.loss):
            self._tell_of_samples(step + 1, batch, agreed.loss)
            return replace(agreed, failed=True)
        self._note_errors(step, batch)
        if self.stream.rank == 0:
            seconds = time.monotonic() - started
            samples = len(batch.keys) * self.stream.workers
            record = {
                "step": step + 1,
                "epoch": step // len(self.sizes),
                "loss": agreed.loss,
                "lr": lr,
                "samples": samples,
                "seconds": seconds,
                "samples_per_s": samples / seconds,
                "wait": waited / seconds,
                "logit_scale": float(self.model.logit_scale.exp()),
                "grad_norm": norm,
                "workers": self.stream.workers,
                "gpu_utilisation": agreed.utilisation,
            }
            self.metrics.append(record)
        return agreed

    def _scores(self, step: int) -> Mapping[str, float]:
        """How well the model does on held-out samples, where that is due."""
        config, held_out = self.job.config, self.job.held_out
        if not held_out or not config.eval_steps or (step % config.eval_steps and step != self.total):
            return {}
        model = Model(self.model, self.tokenizer, self.device)
        scores = retrieval(
            model,
            held_out,
            _gather,
            rank=self.stream.rank,
            workers=self.stream.workers,
            batch_size=-(-config.batch_size // config.accumulate),
            threads=max(1, int(config.cpus_per_worker)),
        )
        train_mode(self.model, lock_image=config.lock_image)
        return scores

    def _tell_of_samples(self, step: int, batch: Batch, loss: float) -> None:
        """Tell the driver of a loss that is no number, and write down which samples gave it; no restart would help."""
        keys = [key for keys in _gather(batch.keys) for key in keys]
        if self.stream.rank == 0:
            path = self.checkpoints.path(f"not-finite-{step:06d}.json")
            self.job.store.write_json(path, {"step": step, "loss": str(loss), "samples": keys})
            text = (
                f"the loss is {loss} at step {step}, of {len(keys)} samples that {self.job.store.uri(path)} names, "
                f"{keys[0]} first; a smaller lr may help"
            )
            self.job.board.tell({"failure": StageFailedError(text)})

    def _note_errors(self, step: int, batch: Batch) -> None:
        self.here.slots = batch.slots
        epoch = step // len(self.sizes)
        for error in batch.errors:
            self.here.errors.append({**asdict(error), "epoch": str(epoch)})
            if len(self.here.errors) <= TOLD_ERRORS:
                self.job.board.post({"unreadable": f"{error.what}: {error.message}"})

    def _checkpoint(self, step: int) -> None:
        """Begin to write a checkpoint."""
        position = self._place(step)
        if self.stream.rank == 0:
            self._write(position)

    def _place(self, step: int) -> Position:
        """Where all workers stand after a step; every one of them must ask."""
        epoch, within = divmod(step, len(self.sizes))
        slots = self.here.slots if within else 0
        return Position(step, epoch, _gather(WorkerPosition(slots, self.here.errors)))

    def _write(self, position: Position) -> None:
        self.writer.write(lambda: Snapshot.take(self.model, self.optimizer, position, self.metrics))

    def _end(self, step: int, *, failed: bool) -> None:
        """Write the finished model, and the last checkpoint; tell the driver where that cannot be."""
        # before anything that may fail on the first worker alone, and leave the others waiting
        position = None if failed else self._place(step)
        if self.stream.rank:
            return
        try:
            if position and step == self.total:
                with tempfile.TemporaryDirectory() as folder:
                    export(self.model, self.tokenizer, self.job.spec, Path(folder))
                    card = model_card(self.job.config, self.job.spec, self.job.shards, self.metrics)
                    (Path(folder) / "README.md").write_text(card)
                    self.checkpoints.put_folder(Path(folder), "model")
            if position:
                self._write(position)
            self.writer.wait()
        except (StoreError, OSError, SafetensorError) as error:
            before = self.writer.written
            good = f"the checkpoint of step {before} is good" if before else "there is no checkpoint before it"
            self.job.board.tell({"failure": StoreError(f"{one_line(error)}; {good}")})
