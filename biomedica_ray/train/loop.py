"""The train stage: runs Ray Train on a plan, and records what came of it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from dataclasses import asdict
from functools import partial
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from biomedica_ray.board import Board, Follower
from biomedica_ray.cluster import StageFailedError, cluster_resource
from biomedica_ray.progress import Progress
from biomedica_ray.runs import Run
from biomedica_ray.schema import ERRORS, error_row
from biomedica_ray.train.checkpoints import Checkpoints, Position
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.leaving import ListeningTorchConfig, aside, stop_signals
from biomedica_ray.train.run_plan import make_plan
from biomedica_ray.train.trackers import Trackers, open_trackers
from biomedica_ray.train.worker import Job, train_worker
from biomedica_ray.units import Counts, Flow, fingerprint

log = logging.getLogger(__name__)


def run(config: TrainConfig, run: Run) -> None:
    """Train the model that ``config`` describes, from the last checkpoint where there is one.

    Raises:
        ConfigError: The model or the settings cannot be used, or differ from those the run was started with.
        StoreError: There is no dataset, or a checkpoint cannot be written.
        StageFailedError: Training failed more often than ``max_failures``, was stopped, or the loss is not finite.
    """
    checkpoints = Checkpoints(run.store, config.name)
    plan = make_plan(config, run, checkpoints)
    stage, print_ = f"train/{config.name}", fingerprint(plan.settings)
    done = run.store.commits(stage).get(0)
    if done and done.fingerprint == print_:
        log.info("train: %s is trained", config.name)
        run.add(done.counts, before=True)
    else:
        job = Job(config, plan.spec, run.store, plan.stream, plan.held_out, Board())
        before = checkpoints.metrics(_done(checkpoints))
        trackers = open_trackers(config, checkpoints, plan.settings, before)
        _fit(run, job, checkpoints, plan.stream.steps(config.epochs), trackers)
        run.add(_commit(run, stage, print_, checkpoints, plan.stream.n_samples * config.epochs))
    run.results.update(_results(checkpoints), shuffle=asdict(plan.shuffle))


def _fit(run: Run, job: Job, checkpoints: Checkpoints, steps: int, trackers: Trackers) -> None:
    """Train the remaining steps."""
    done = _done(checkpoints)
    if done:
        log.info("train: going on after step %d of %d", done, steps)
    asked, there = _cpus(job), cluster_resource("CPU")
    if asked > there:
        log.warning("train: asks for %g CPUs, of which the cluster has %g now; it waits for the others", asked, there)
    # Ray Train would else change the working directory of its workers, and with it the meaning of relative paths.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    with (
        run.progress("steps", steps - done) as progress,
        contextlib.closing(trackers),
        stop_signals(partial(_stop, job.board)) as stopped,
    ):
        reader = _Reader(progress, trackers, done, steps, job.config.log_steps)
        while True:
            with Follower(job.board, reader):
                _fit_once(run, job, checkpoints.path("ray"))
            if reader.failure:
                raise reader.failure
            done = _done(checkpoints)
            if done >= steps:
                log.info("train: %d steps were done again, as workers were lost after them", reader.repeated)
                return
            if stopped.is_set():
                raise StageFailedError(f"stopped after step {done} of {steps}; the same command goes on from there")
            log.warning("train: workers were told to leave; going on after step %d of %d", done, steps)


def _cpus(job: Job) -> float:
    """CPUs without which training does not begin."""
    config = job.config
    readers = max(job.stream.lanes, config.num_workers) if config.reader == "ray" else 0
    return (config.min_workers or config.num_workers) * config.cpus_per_worker + readers * config.reader_cpus


def _fit_once(run: Run, job: Job, folder: str) -> None:
    """Let Ray Train run until the workers have finished, or left because they were told to."""
    config = job.config
    # Annotated with the class of Ray Train's first version, which knew no range.
    workers: Any = (config.min_workers, config.num_workers) if config.min_workers else config.num_workers
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        torch_config=ListeningTorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if config.use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=f"{run.run_id}-{secrets.token_hex(3)}",
            storage_path=run.store.path(folder),
            storage_filesystem=run.store.filesystem,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            # Annotated with the callback class of Ray Train's first version.
            callbacks=[_FailureTeller(job.board)],  # type: ignore[list-item]
        ),
    )
    try:
        aside(trainer.fit)
    except ray.train.TrainingFailedError as error:
        cause = next(iter(getattr(error, "worker_failures", {}).values()), error)
        raise StageFailedError(f"training failed: {_last_line(cause)}") from error


def _stop(board: Board) -> None:
    log.warning("train: stopping after a checkpoint of this step; once more to stop at once")
    board.stop()


def _done(checkpoints: Checkpoints) -> int:
    position = checkpoints.latest()
    return position.step if position else 0


class _Reader:
    """Shows what workers post; steps that are done again after a failure count once.

    Attributes:
        failure: What ends the run, as no restart would mend it.
        repeated: How many steps were done again.
    """

    def __init__(self, progress: Progress, trackers: Trackers, step: int, steps: int, log_steps: int) -> None:
        self._progress, self._trackers = progress, trackers
        self._step, self._steps, self._log_steps = step, steps, log_steps
        self._workers: int | None = None
        self.failure: Exception | None = None
        self.repeated = 0

    def __call__(self, item: dict[str, Any]) -> None:
        if "failure" in item:
            self.failure = item["failure"]
        elif "failed" in item:
            log.warning("train: %s; going on from the last checkpoint", item["failed"])
        elif "unreadable" in item:
            log.warning("train: %s", item["unreadable"])
            self._progress.update(0, errors=1)
        elif item["step"] > self._step:
            self._step = item["step"]
            if self._workers not in (None, item["workers"]):
                log.info("train: number of workers: %d, was %d", item["workers"], self._workers)
            self._workers = item["workers"]
            note = f"loss {item['loss']:.3f}, lr {item['lr']:.1e}, {item['samples_per_s']:,.1f} samples/s"
            self._progress.update(rows=item["samples"], note=note)
            self._trackers.log(item)
            if self._step % self._log_steps == 0 or any(key.startswith("retrieval.") for key in item):
                log.info("train: step %d of %d: %s, %s", self._step, self._steps, note, _details(item))
        else:
            self.repeated += 1


def _details(record: dict[str, Any]) -> str:
    parts = [
        f"waited {record['wait']:.1%}",
        f"gradient {record['grad_norm']:.3g}" if record["grad_norm"] is not None else "gradient too great for fp16",
        f"scale {record['logit_scale']:.1f}",
    ]
    if used := [value for value in record["gpu_utilisation"] if value is not None]:
        parts.append(f"GPUs {min(used):.0f}-{max(used):.0f} %")
    parts += [f"{key} {value:.1%}" for key, value in record.items() if key.startswith("retrieval.")]
    return ", ".join(parts)


class _FailureTeller(ray.train.UserCallback):
    """Tells the driver of workers that failed, as Ray Train starts them again without a word."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Post what each of the failed workers met."""
        for rank, error in worker_exceptions.items():
            self._board.post({"failed": f"worker {rank} failed: {_last_line(error)}"})


def _commit(run: Run, stage: str, print_: str, checkpoints: Checkpoints, rows_in: int) -> Counts:
    """Write the samples that could not be read into the errors table, and that the run is done."""
    position = checkpoints.latest()
    assert isinstance(position, Position)
    rows = [
        error_row("train", error["what"], error["kind"], f"pass {error['epoch']}: {error['message']}", entity="sample")
        for lane in position.lanes
        for error in lane.errors
    ]
    counts = {"samples": Flow(rows_in, rows_in - len(rows), len(rows))}
    with run.store.write_unit(stage, 0, print_, run.run_id) as writer:
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


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
