"""The train stage: checks what is asked for, runs Ray Train, and records what came of it."""

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

from biomedica_ray.cluster import StageFailedError, cluster_resource
from biomedica_ray.config import ConfigError, TrainConfig
from biomedica_ray.evaluate.pipeline import HeldOut, find_held_out
from biomedica_ray.progress import Progress
from biomedica_ray.runs import Run
from biomedica_ray.schema import ERRORS
from biomedica_ray.serialize.dataset import Place
from biomedica_ray.serialize.plan import LICENSE_GROUPS
from biomedica_ray.store import Store
from biomedica_ray.train.board import Board, Follower
from biomedica_ray.train.checkpoints import Checkpoints, Position
from biomedica_ray.train.leaving import ListeningTorchConfig, aside, stop_signals
from biomedica_ray.train.model import ModelSpec, resolve_model
from biomedica_ray.train.shards import Shard, Source, read_shards
from biomedica_ray.train.shuffle import PERFECT, measure
from biomedica_ray.train.stream import Stream
from biomedica_ray.train.tars import find_tars, is_tars
from biomedica_ray.train.texts import TextChoice
from biomedica_ray.train.trackers import Trackers, check_trackers, open_trackers
from biomedica_ray.train.variants import for_training
from biomedica_ray.train.worker import Job, train_worker
from biomedica_ray.units import Counts, Flow, fingerprint

VERSION = 2
"""Changes when the same settings would train another model."""

_IRRELEVANT = {
    *("store", "endpoint_url", "ray_address", "max_actors", "data", "selection", "name"),
    *("use_gpu", "cpus_per_worker", "accumulate", "grad_checkpointing", "checkpoint_steps", "max_failures"),
    *("num_workers", "batch_size", "min_workers", "reader", "reader_cpus", "compile", "channels_last"),
    *("keep_last", "keep_best", "log_steps", "eval_steps", "eval_samples", "wandb", "mlflow"),
}
"""Settings that may differ when a run is taken up again: they change where and how fast it runs. Of workers and samples
a worker, the product may not."""

log = logging.getLogger(__name__)


def run(config: TrainConfig, run: Run) -> None:
    """Train the model that ``config`` describes, from the last checkpoint where there is one.

    Raises:
        ConfigError: The model or the settings cannot be used, or differ from those the run was started with.
        StoreError: There is no dataset, or a checkpoint cannot be written.
        StageFailedError: Training failed more often than ``max_failures``, was stopped, or the loss is not finite.
    """
    data, shards = _find_shards(config, run)
    n_samples = sum(shard.samples for shard in shards)
    spec = for_training(resolve_model(config.model, config.pretrained), config)
    checkpoints = Checkpoints(run.store, config.name)
    begun = _begun(checkpoints)
    # The order's lanes are as many as there were workers when the run began.
    lanes = (begun or {}).get("lanes", config.num_workers)
    if n_samples < lanes:
        groups = ", ".join(config.license_groups)
        raise ConfigError(
            f"data: {data.root}: {n_samples} training samples of {groups}; expected at least one for each worker"
        )
    check_trackers(config)
    held_out = _held_out(config, data)
    settings = _settings(config, spec, shards, lanes)
    _same_settings(checkpoints, begun, settings)
    batch_size = config.num_workers * config.batch_size // lanes
    metadata = TextChoice(config.texts, config.long_text).needs_metadata
    stream = Stream(data, shards, lanes, batch_size, config.seed, config.shuffle_buffer, metadata)
    for workers in range(config.min_workers or config.num_workers, config.num_workers + 1):
        if stream.step_samples % workers:
            raise ConfigError(
                f"num_workers: {workers}: expected a divisor of the {stream.step_samples} samples of a step"
            )
    shuffle = measure([shard.samples for shard in shards], lanes, stream.piece, seed=config.seed, buffer=stream.buffer)
    log.info(
        "train: mean distance of samples from their place in the input %.3f of all samples (a perfect shuffle: %.3f); "
        "a lane gives samples of %.1f shards a step (a perfect shuffle: %.1f)",
        *(shuffle.distance, PERFECT, shuffle.shards, shuffle.perfect_shards),
    )

    stage, print_ = f"train/{config.name}", fingerprint(settings)
    done = run.store.commits(stage).get(0)
    if done and done.fingerprint == print_:
        log.info("train: %s is trained", config.name)
        run.add(done.counts, before=True)
    else:
        job = Job(config, spec, run.store, stream, held_out, Board())
        before = checkpoints.metrics(_done(checkpoints))
        trackers = open_trackers(config, checkpoints, settings, before)
        _fit(run, job, checkpoints, stream.steps(config.epochs), trackers)
        run.add(_commit(run, stage, print_, checkpoints, n_samples * config.epochs))
    run.results.update(_results(checkpoints), shuffle=asdict(shuffle))


def _begun(checkpoints: Checkpoints) -> dict[str, Any] | None:
    """The settings that the run was started with; None of a new run."""
    try:
        settings: dict[str, Any] = checkpoints.store.read_json(checkpoints.path("training.json"))
    except FileNotFoundError:
        return None
    return settings


def _find_shards(config: TrainConfig, run: Run) -> tuple[Source, tuple[Shard, ...]]:
    root = config.data or run.store.uri(Place(config.selection).folder("dataset"))
    if isinstance(root, str) and not is_tars(root):
        data = Store(root, config.endpoint_url)
        return data, read_shards(data, config.license_groups, "train")
    if set(config.license_groups) < set(LICENSE_GROUPS):
        raise ConfigError(
            "license_groups: shards without a dataset.json tell no licence; leave it out, or name a dataset"
        )
    return find_tars([root] if isinstance(root, str) else root, run, config.endpoint_url)


def _held_out(config: TrainConfig, data: Source) -> HeldOut | None:
    """The held-out samples that are wanted while training; raises StoreError where there are fewer than 2."""
    if config.eval_steps is None:
        return None
    if not isinstance(data, Store):
        raise ConfigError("eval_steps: shards without a dataset.json hold none out; leave it out, or name a dataset")
    found = find_held_out(data, config.eval_samples)
    if config.keep_best and len(found.numbers) <= int(config.keep_best.rpartition("@")[2]):
        raise ConfigError(f"keep_best: {len(found.numbers)} held-out samples; expected more for {config.keep_best}")
    return found


def _settings(config: TrainConfig, spec: ModelSpec, shards: tuple[Shard, ...], lanes: int) -> dict[str, Any]:
    return {
        **config.model_dump(mode="json", exclude=_IRRELEVANT),
        "model": spec.to_json(),
        "data": fingerprint(sorted((shard.path, shard.content) for shard in shards)),
        "num_workers x batch_size": config.num_workers * config.batch_size,
        "lanes": lanes,
        "version": VERSION,
    }


def _same_settings(checkpoints: Checkpoints, begun: dict[str, Any] | None, settings: dict[str, Any]) -> None:
    """Compare with the settings that the run was started with; a new run gets its own written down."""
    if begun is None:
        checkpoints.store.write_json(checkpoints.path("training.json"), settings)
        return
    changed = sorted(key for key in settings.keys() | begun.keys() if settings.get(key) != begun.get(key))
    if changed:
        raise ConfigError(
            f"name: {checkpoints.store.uri(checkpoints.path())} was begun with another {', '.join(changed)}; "
            "choose another name, or set it back"
        )


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
        self.failure: Exception | None = None
        self.repeated = 0

    def __call__(self, item: dict[str, Any]) -> None:
        if "failure" in item:
            self.failure = item["failure"]
        elif "diverged" in item:
            self.diverged = item["diverged"]
        elif "failed" in item:
            log.warning("train: %s; going on from the last checkpoint", item["failed"])
        elif "unreadable" in item:
            log.warning("train: %s", item["unreadable"])
            self._progress.update(0, errors=1)
        elif item["step"] > self._step:
            self._step = item["step"]
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
        {
            "what": error["what"],
            "where": None,
            "stage": "train",
            "entity": "sample",
            "kind": error["kind"],
            "message": f"pass {error['epoch']}: {error['message']}",
            "attempts": 1,
        }
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
