"""What each Ray Train worker does: stream, learn, write checkpoints, and resume from the last one."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from safetensors import SafetensorError

from biomedica_ray.ahead import prefetch
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.encode import Model
from biomedica_ray.messages import one_line
from biomedica_ray.models.clip import build, export, lock_towers
from biomedica_ray.models.folders import CARD_NAME
from biomedica_ray.models.leak_check import with_check
from biomedica_ray.models.scorable import OfOpenClip
from biomedica_ray.models.tf32 import set_tf32
from biomedica_ray.reading.actors import batches_of_actors
from biomedica_ray.reading.order import LanePosition, batch_digest
from biomedica_ray.reading.stream import Batch
from biomedica_ray.store import StoreError
from biomedica_ray.train.checkpoints import Checkpoints, Position, Rule, Snapshot
from biomedica_ray.train.consensus import Agreed, Word, agree, gpu_utilisation
from biomedica_ray.train.divergence import DivergedError, advice, message, rows_not_finite
from biomedica_ray.train.eval_tasks import zero_shot
from biomedica_ray.train.held_out import retrieval
from biomedica_ray.train.job import Job
from biomedica_ray.train.learner import Learner, Update
from biomedica_ray.train.leaving import Notices
from biomedica_ray.train.model_card import model_card
from biomedica_ray.train.rehearsal import one_step, preparation
from biomedica_ray.train.sharing import share_files, share_weights
from biomedica_ray.train.writer import Writer

SLOWEST = timedelta(hours=2)
"""How long workers wait for one that is slow to write its part of a checkpoint."""
SHOWN_ERRORS = 20
"""Unreadable samples of a lane that the driver's log shows; all of them go into the errors table."""


def train(job: Job) -> None:
    """Train from the last checkpoint, or from the beginning, to the end, or until it is told to leave.

    What no restart would mend (a model that cannot be built, a full disk) is reported to the driver and does not count
    as a failure.
    """
    config = job.config
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    torch.manual_seed(config.seed)
    set_tf32(allowed=config.tf32)
    built = _ready(job, rank, workers)
    if built is None:
        return
    model, tokenizer = built
    worker = _Worker(job, model, tokenizer, rank, workers)
    if rank == 0:
        job.board.post({"started": worker.position.step})
    try:
        worker.learn()
    except DivergedError as error:
        # Not a failure of a worker either: a restart from the last checkpoint would end the same way.
        try:
            worker.writer.wait()
        finally:
            if rank == 0:
                told = f"{error}; {advice(config.name, config.lr, worker.writer.written)}"
                job.board.tell({"failure": StageFailedError(told)})


def _ready(job: Job, rank: int, workers: int) -> tuple[Any, Any] | None:
    """The model on its device, after it has learned from one sample, and its tokenizer.

    None, after reporting it to the driver, if any worker cannot build it or learn from the data: that is no failure of
    a worker, after which Ray Train would try again.
    """
    built: list[tuple[Any, Any]] = []
    device = ray.train.torch.get_device()
    # What is to be divided among the workers may be too large for one of them.
    at = torch.device("cpu") if job.config.shard == "fsdp" and workers > 1 else device

    def make() -> None:
        config = job.config
        # The others get them from the first worker, and all of them those of a checkpoint.
        wanted = rank == 0 and _begins_with(job) is None
        model, tokenizer = build(
            job.spec, config.image_weights, config.patch_dropout, endpoint_url=config.endpoint_url, weights=wanted
        )
        lock_towers(model, image=config.lock_image, text=config.lock_text, unlock_last=config.unlock_last)
        built.append((model.to(at), tokenizer))

    def learn() -> None:
        model, tokenizer = built[0]
        how = preparation(job, model, tokenizer)
        for part in job.stream.rows(rank, workers)[: len(job.stream.tried)]:
            one_step(job, model, how, part.lane, at)

    if _failed(job, rank, make):
        return None
    share_weights(built[0][0], device)
    return None if _failed(job, rank, learn) else built[0]


def _begins_with(job: Job) -> tuple[Checkpoints, int] | None:
    """The checkpoint that this run goes on from, its own or that of the run that it continues; None without."""
    for name in (job.config.name, job.config.continues):
        if name and (position := Checkpoints(job.store, name).latest()):
            return Checkpoints(job.store, name), position.step
    return None


def _failed(job: Job, rank: int, work: Callable[[], None]) -> bool:
    """Whether something that all workers do failed on any of them; the first failure is reported to the driver."""
    failure: Exception | None = None
    try:
        work()
    except (ConfigError, StoreError) as error:
        failure = type(error)(str(error))
    failures = [error for error in _gather(failure) if error]
    if failures and rank == 0:
        job.board.tell({"failure": failures[0]})
    return bool(failures)


def _gather(value: Any) -> list[Any]:
    """A small object of every worker, by rank."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class _Open(NamedTuple):
    """The last step until what its update came to is read, so that nobody waits for it."""

    record: dict[str, Any]
    update: Update
    keys: list[str]


class _Worker:
    """The state of one worker."""

    def __init__(self, job: Job, model: Any, tokenizer: Any, rank: int, workers: int) -> None:
        config, stream = job.config, job.stream
        self.job, self.stream, self.tokenizer, self.rank, self.workers = job, stream, tokenizer, rank, workers
        self.checkpoints = Checkpoints(job.store, config.name)
        self.notices = Notices(job.board, rank)
        self.total = stream.steps(config.epochs)
        self.position = self.checkpoints.latest() or Position(0, [LanePosition() for _ in stream.sizes])
        rule = Rule(config.keep_last, config.keep_best)
        self.learner = Learner(model, config, self.total, ray.train.torch.get_device(), rank=rank, workers=workers)
        # Checkpoints are written by a thread, whose messages must not come between those of the steps.
        self.group: dist.ProcessGroup | None = None
        if self.learner.divided:
            self.group = cast("dist.ProcessGroup", dist.new_group(backend="gloo", timeout=SLOWEST))
        save = partial(self.checkpoints.save, rule=rule, settings=job.settings, group=self.group)
        self.writer = Writer(save, self.position.step)
        if before := _begins_with(job):
            self._restore(*before)
        self.metrics = self.checkpoints.metrics(self.position.step) if rank == 0 else []
        self.rows = stream.rows(rank, workers)
        self.lanes = {part.lane: self.position.lanes[part.lane] for part in self.rows}
        # A part is no bigger than it is with the configured number of workers.
        self.accumulate = math.ceil(config.accumulate * config.num_workers / workers)
        self.how = preparation(job, model, tokenizer)
        self.open: _Open | None = None
        self.told: set[str] = set()

    def _restore(self, source: Checkpoints, step: int) -> None:
        if self.group is not None and source.is_divided(step):
            self.learner.restore_parts(partial(source.load_parts, step, group=self.group))
            return
        read = source.load(step) if self.rank == 0 else None
        self.learner.restore(share_files(read, self.learner.device), own=source.name == self.job.config.name)

    def learn(self) -> None:
        """Every remaining step, unless a notice comes or a checkpoint cannot be written."""
        step = self.position.step
        failed = False
        waiting_since = time.monotonic()
        with contextlib.closing(prefetch(islice(self._batches(), self.total - step))) as ready:
            for batch in ready:
                waited = time.monotonic() - waiting_since
                agreed = self._step(step, batch, waiting_since, waited)
                step += 1
                failed = agreed.failed
                if failed:
                    break
                last = step == self.total
                at_checkpoint = step % self.job.config.checkpoint_steps == 0 and not last
                if agreed.leave or at_checkpoint or last or self._is_scored(step):
                    self._close({} if agreed.leave else self._scores(step))
                if agreed.leave:
                    break
                if at_checkpoint:
                    self._checkpoint(self._position(step))
                waiting_since = time.monotonic()
        self._end(step, failed=failed)

    def _batches(self) -> Iterator[Batch]:
        config = self.job.config
        if config.reader == "ray":
            return batches_of_actors(self.stream, self.rows, self.lanes, self.how, config.reader_cpus)
        return self.stream.batches(self.rows, self.lanes, self.how, max(1, int(config.cpus_per_worker)))

    def _step(self, step: int, batch: Batch, started: float, waited: float) -> Agreed:
        images, tokens = self.learner.images(batch.images), self.learner.on_device(batch.tokens)
        loss = self.learner.backward(step, images, tokens, self.accumulate)
        epochs = self.job.config.epochs
        word = Word(
            leave=self.notices.heard(),
            failed=self.writer.failed,
            ask=self.notices.due(),
            utilisation=gpu_utilisation(self.learner.device),
            distinct=sum(n for epoch, n in batch.given.items() if epoch < epochs),
            held_out=sum(n for epoch, n in batch.held_out.items() if epoch < epochs),
            digest=batch_digest(batch.keys, self.rank * len(batch.keys)) % 2**64,
        )
        also = self.open.update.numbers if self.open else None
        agreed = agree(loss, word, self.rank, self.workers, also)
        self._close(numbers=agreed.also)
        if agreed.ask:
            self.notices.ask()
        value = agreed.loss
        if not math.isfinite(value):
            with self.learner.autocast():
                suspects = rows_not_finite(self.learner.model, images, tokens, self.accumulate)
            self._diverged(f"the loss is {value}", step, batch.keys, suspects)
        update = self.learner.update(step)
        self._advance(batch)
        seconds = time.monotonic() - started
        samples = self.stream.step_samples
        record = {
            "step": step + 1,
            "epoch": self.stream.epoch(step),
            "loss": value,
            "lr": update.lr,
            "samples": samples,
            "distinct": agreed.distinct,
            "held_out": agreed.held_out,
            "seconds": seconds,
            "samples_per_s": samples / seconds,
            "wait": waited / seconds,
            "batch": f"{agreed.digest:016x}",
            "workers": self.workers,
            "gpu_utilisation": agreed.utilisation,
        }
        self.open = _Open(record, update, batch.keys)
        return agreed

    def _close(self, scores: Mapping[str, float] | None = None, numbers: list[float] | None = None) -> None:
        """Complete the record of the last step by what its update came to.

        Args:
            scores: Of the model after it.
            numbers: Those of the update, where they have been read with those of the next step; otherwise the device is
                waited for.
        """
        if self.open is None:
            return
        (record, update, keys), self.open = self.open, None
        grad_norm, logit_scale = numbers or update.numbers.tolist()
        finite = math.isfinite(grad_norm)
        if not finite and not update.scaled:
            self._diverged(f"the norm of the gradient is {grad_norm}", record["step"] - 1, keys, [])
        if self.rank == 0:
            self.metrics.append(
                {**record, "logit_scale": logit_scale, "grad_norm": grad_norm if finite else None, **(scores or {})}
            )
            self.job.board.post(self.metrics[-1])

    def _is_scored(self, step: int) -> bool:
        every = self.job.config.eval_steps
        wanted = self.job.held_out is not None or bool(self.job.eval_tasks)
        return wanted and every is not None and (step % every == 0 or step == self.total)

    def _scores(self, step: int) -> Mapping[str, float]:
        """How well the model does on held-out samples and on tasks, where that is due."""
        config, held_out, tasks = self.job.config, self.job.held_out, self.job.eval_tasks
        if not self._is_scored(step):
            return {}
        how: dict[str, Any] = {
            "rank": self.rank,
            "workers": self.workers,
            "threads": max(1, int(config.cpus_per_worker)),
        }
        model = (self.learner.result, self.tokenizer, self.learner.device)
        scores: dict[str, float] = {}
        if held_out is not None:
            batch_size = -(-config.batch_size // config.accumulate)
            scores |= retrieval(Model(*model), held_out, _gather, **how, batch_size=batch_size)
        scores |= zero_shot(OfOpenClip(*model), tasks, _gather, **how, tell=self._tell)
        self.learner.train_mode()
        return scores

    def _tell(self, what: str) -> None:
        """Have the driver log what does not count in a task, once."""
        if what not in self.told:
            self.told.add(what)
            self.job.board.post({"unreadable": f"eval_tasks: {what}"})

    def _diverged(self, what: str, step: int, keys: list[str], suspects: list[int]) -> NoReturn:
        everywhere = _gather([keys[row] for row in suspects])
        suspected = [key for each in everywhere for key in each]
        raise DivergedError(message(what, step + 1, suspected, keys, self.stream.step_samples))

    def _advance(self, batch: Batch) -> None:
        for part in self.rows:
            here, after = self.lanes[part.lane], batch.lanes[part.lane]
            here.epoch, here.slots = after.epoch, after.slots
            # The last step is filled up from a further pass, and so is what could not be read.
            errors = [error for error in after.errors if int(error["epoch"]) < self.job.config.epochs]
            here.errors += errors
            shown = errors[: max(0, SHOWN_ERRORS - len(here.errors) + len(errors))] if part.start == 0 else []
            for error in shown:
                self.job.board.post({"unreadable": f"{error['what']}: {error['message']}"})

    def _position(self, step: int) -> Position:
        lanes = {number: lane for lanes in _gather(self.lanes) for number, lane in lanes.items()}
        # A copy, as it is written while the lanes go on.
        return Position(step, [deepcopy(lanes[number]) for number in sorted(lanes)])

    def _checkpoint(self, position: Position) -> None:
        """Begin to write a checkpoint."""
        if self.rank == 0 or self.learner.divided:
            self.writer.write(lambda: Snapshot.take(self.learner.files(), position, self.metrics))

    def _end(self, step: int, *, failed: bool) -> None:
        """Write the last checkpoint and the finished model; report to the driver if that is impossible."""
        position = self._position(step)
        result = self.learner.result if step == self.total and not failed else None
        try:
            if not failed and step != self.position.step:
                self._checkpoint(position)
            try:
                if result is not None and self.rank == 0:
                    self._put(result)
            finally:
                self.writer.wait()
        except (StoreError, OSError, SafetensorError) as error:
            before = self.writer.written
            good = f"the checkpoint of step {before} is good" if before else "there is no checkpoint before it"
            if self.rank == 0:
                self.job.board.tell({"failure": StoreError(f"{one_line(error)}; {good}")})

    def _put(self, result: Any) -> None:
        """Write the finished model."""
        with tempfile.TemporaryDirectory() as folder:
            export(result, self.tokenizer, self.job.spec, Path(folder))
            card = model_card(self.job.config, self.job.spec, self.stream.shards, self.metrics)
            (Path(folder) / CARD_NAME).write_text(with_check(self.checkpoints, card))
            self.checkpoints.put_folder(Path(folder), "model")
