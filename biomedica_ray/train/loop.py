"""The train stage: runs Ray Train on a plan, and records the result.

Imports no model library, which takes seconds: only workers need them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from dataclasses import asdict
from functools import partial
from typing import Any

import ray.train
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from biomedica_ray.board import Board, Follower
from biomedica_ray.cluster import StageFailedError, on_a_worker
from biomedica_ray.head_node import is_local
from biomedica_ray.messages import last_line
from biomedica_ray.reading.mixing import Shuffle
from biomedica_ray.resources import check, nodes
from biomedica_ray.runs import Run
from biomedica_ray.schema import ERRORS, error_row
from biomedica_ray.store.atomic import UNFINISHED, unfinished_name
from biomedica_ray.train.checkpoints import Checkpoints, Position
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.dry_run import explore, report
from biomedica_ray.train.failures import FailureTeller
from biomedica_ray.train.gpus import found
from biomedica_ray.train.job import Job, train_worker
from biomedica_ray.train.leaving import ListeningTorchConfig, aside, stop_signals
from biomedica_ray.train.rehearsal import rehearse
from biomedica_ray.train.run_plan import make_plan
from biomedica_ray.train.trackers import open_trackers
from biomedica_ray.train.watch import RESTARTS, Watch, samples_of
from biomedica_ray.units import Counts, Flow, fingerprint

log = logging.getLogger(__name__)

REHEARSAL_CPUS = 4
"""CPUs, at most, of the task that tries one step before GPUs are asked for."""


def run(config: TrainConfig, record: Run) -> None:
    """Train the model that ``config`` describes, from the last checkpoint where there is one, or say what that takes.

    Raises:
        ConfigError: The model or the settings cannot be used, or differ from those the run was started with.
        StoreError: There is no dataset, or a checkpoint cannot be written.
        StageFailedError: Training failed more often than ``max_failures``, started many times without gaining a step,
            or the loss is not finite.
        KeyboardInterrupt: It was told to stop, and did so after a checkpoint.
    """
    checkpoints = Checkpoints(record.store, config.name)
    if config.again and not config.dry_run:
        checkpoints.remove()
    plan = make_plan(config, record, checkpoints)
    if config.dry_run:
        job = Job(config, plan.spec, record.store, plan.stream, plan.held_out, plan.settings, Board(), plan.eval_tasks)
        explored = on_a_worker(partial(explore, job), num_cpus=min(config.cpus_per_worker, REHEARSAL_CPUS))
        record.results.update(report(job, explored, config.gpu or (found(nodes()) if config.use_gpu else None)))
        return
    stage, mark = f"train/{config.name}", fingerprint(plan.settings)
    done = record.committed(stage).get(0)
    if done and done.fingerprint == mark and checkpoints.is_finished():
        log.info("train: %s is already trained", config.name)
        record.add(done.counts, before=True)
    else:
        if is_local(config.ray_address):  # again, as the order of a resumed run may have more lanes than workers
            check([config.need(len(plan.stream.sizes))], nodes())
        job = Job(config, plan.spec, record.store, plan.stream, plan.held_out, plan.settings, Board(), plan.eval_tasks)
        if config.use_gpu and not _done(checkpoints):
            rehearsed = on_a_worker(partial(rehearse, job), num_cpus=min(config.cpus_per_worker, REHEARSAL_CPUS))
            log.info("train: one step on %s, on a CPU: loss %.3f", rehearsed.sample, rehearsed.loss)
        _fit(record, job, checkpoints, plan.stream.steps(config.epochs))
        record.add(_commit(record, stage, mark, checkpoints, plan.stream.n_samples * config.epochs))
    record.results.update(_results(checkpoints), shuffle=_shuffle(plan.shuffle))


def _shuffle(measured: tuple[Shuffle, ...]) -> dict[str, float] | list[dict[str, float]]:
    """How well the data are shuffled; of several, each."""
    found = [asdict(each) for each in measured]
    return found if len(found) > 1 else found[0]


def _fit(record: Run, job: Job, checkpoints: Checkpoints, steps: int) -> None:
    """Train the remaining steps."""
    config, done = job.config, _done(checkpoints)
    before = checkpoints.metrics(done)
    trackers = open_trackers(config, checkpoints, job.settings, before)
    if done:
        log.info("train: resuming after step %d of %d", done, steps)
    # Otherwise Ray Train changes the working directory of its workers, and with it the meaning of relative paths.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    rows = sum(samples_of(line) for line in before)
    with record.progress("steps", steps, done=done, rows=rows) as progress, contextlib.closing(trackers):
        restarts = RESTARTS + config.max_failures
        watch = Watch(progress, trackers, step=done, steps=steps, log_steps=config.log_steps, restarts=restarts)
        with stop_signals(partial(_stop, job.board, watch)) as stopped:
            while True:
                with Follower(job.board, watch):
                    _fit_once(record, job, watch.over)
                watch.training = False
                if watch.failure:
                    job.board.stop()  # where workers may still be started
                    raise watch.failure
                done = _done(checkpoints)
                if done >= steps:
                    break
                if stopped.number is not None:
                    log.warning("train: stopped after step %d of %d", done, steps)
                    stopped.raise_it()
                log.warning("train: workers were told to leave; resuming after step %d of %d", done, steps)
        if watch.repeated:
            log.info("train: %d steps were done again, as workers were lost after them", watch.repeated)


def _fit_once(record: Run, job: Job, over: threading.Event) -> None:
    """Let Ray Train run until the workers have finished, or left because they were told to, or ``over`` is set."""
    config, store = job.config, record.store
    # Annotated with the class of Ray Train's first version, which knew no range.
    workers: Any = (config.min_workers, config.num_workers) if config.min_workers else config.num_workers
    # Ray Train wants a folder that all nodes see, and leaves a marker in it.
    folder = f"{UNFINISHED}/{unfinished_name()}"
    # As TorchTrainer, which the driver would import torch for.
    trainer = DataParallelTrainer(
        partial(train_worker, job),
        backend_config=ListeningTorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if config.use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=secrets.token_hex(3),
            storage_path=store.path(folder),
            storage_filesystem=store.filesystem,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            # Annotated with the callback class of Ray Train's first version.
            callbacks=[FailureTeller(job.board)],  # type: ignore[list-item]
        ),
    )
    try:
        aside(trainer.fit, over)
    except ray.train.TrainingFailedError as error:
        cause = next(iter(getattr(error, "worker_failures", {}).values()), error)
        raise StageFailedError(f"training failed: {last_line(cause)}") from error
    except ray.exceptions.RayError as error:
        name = type(error).__name__
        raise StageFailedError(
            f"training failed: its controller was lost ({name}); to continue from the last checkpoint, run the same "
            "command"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            store.delete_folder(folder)


def _stop(board: Board, watch: Watch) -> None:
    board.stop()
    if watch.training:
        log.warning("train: stopping after a checkpoint of this step; once more to stop at once")
    else:
        watch.over.set()


def _done(checkpoints: Checkpoints) -> int:
    position = checkpoints.latest()
    return position.step if position else 0


def _commit(record: Run, stage: str, mark: str, checkpoints: Checkpoints, rows_in: int) -> Counts:
    """Write the samples that could not be read into the errors table, and that the run is done."""
    position = checkpoints.latest()
    assert isinstance(position, Position)
    rows = [
        error_row("train", error["what"], error["kind"], f"pass {error['epoch']}: {error['message']}", entity="sample")
        for lane in position.lanes
        for error in lane.errors
    ]
    metrics = checkpoints.metrics(position.step)
    # Of a run that an older version began, what is not counted in every step cannot be checked.
    counted = all("distinct" in line for line in metrics)
    rows_out = sum(samples_of(line) for line in metrics) if counted else rows_in - len(rows)
    held_out = sum(line.get("held_out", 0) for line in metrics)
    counts = {"samples": Flow(rows_in, rows_out, len(rows), held_out)}
    with record.store.write_unit(stage, 0, mark, record.run_id) as writer:
        writer.table("errors", ERRORS, directory=f"errors/{stage}").write(rows)
        writer.commit(counts)
    return counts


def _results(checkpoints: Checkpoints) -> dict[str, Any]:
    position = checkpoints.latest()
    assert isinstance(position, Position)
    metrics = checkpoints.metrics(position.step)
    seconds = sum(record["seconds"] for record in metrics)
    return {
        "first_loss": metrics[0]["loss"],
        "last_loss": metrics[-1]["loss"],
        "steps": position.step,
        "samples_per_s": round(sum(record["samples"] for record in metrics) / seconds, 2),
        "checkpoint": checkpoints.store.uri(checkpoints.path("model")),
    }
