"""The train stage: checks what is asked for, runs Ray Train, and records what came of it."""

from __future__ import annotations

import logging
import os
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError, TrainConfig
from biomedica_ray.progress import Progress
from biomedica_ray.runs import Run
from biomedica_ray.schema import ERRORS
from biomedica_ray.store import Store
from biomedica_ray.train.board import Board, Follower
from biomedica_ray.train.checkpoints import Checkpoints, Position
from biomedica_ray.train.model import ModelSpec, resolve_model
from biomedica_ray.train.shards import Shard, read_shards
from biomedica_ray.train.stream import Stream
from biomedica_ray.train.variants import for_training
from biomedica_ray.train.worker import Job, train_worker
from biomedica_ray.units import Counts, Flow, fingerprint

VERSION = 1
"""Changes when the same settings would train another model."""

_IRRELEVANT = {
    *("store", "endpoint_url", "ray_address", "max_actors", "data", "name"),
    *("use_gpu", "cpus_per_worker", "accumulate", "grad_checkpointing", "checkpoint_steps", "max_failures"),
    *("compile", "channels_last"),
}
"""Settings that may differ when a run is taken up again: they change where and how fast it runs."""

log = logging.getLogger(__name__)


def run(config: TrainConfig, run: Run) -> None:
    """Train the model that ``config`` describes, from the last checkpoint where there is one.

    Raises:
        ConfigError: The model or the settings cannot be used, or differ from those the run was started with.
        StoreError: There is no dataset.
        StageFailedError: Training failed more often than ``max_failures``.
    """
    data = Store(config.data or run.store.uri("dataset"), config.endpoint_url)
    shards = read_shards(data, config.license_groups, "train")
    n_samples = sum(shard.samples for shard in shards)
    if n_samples < config.num_workers:
        groups = ", ".join(config.license_groups)
        raise ConfigError(
            f"data: {data.root}: {n_samples} training samples of {groups}; expected at least one for each worker"
        )
    spec = for_training(resolve_model(config.model, config.pretrained), config)
    checkpoints = Checkpoints(run.store, config.name)
    settings = _settings(config, spec, shards)
    _same_settings(checkpoints, settings)

    stage, print_ = f"train/{config.name}", fingerprint(settings)
    done = run.store.commits(stage).get(0)
    if done and done.fingerprint == print_:
        log.info("train: %s is trained", config.name)
        run.add(done.counts, before=True)
    else:
        steps = len(Stream(data, shards, 0, config.num_workers, config.seed, 1).sizes(config.batch_size))
        board = Board()
        _fit(config, run, Job(config, spec, run.store, data, shards, board), checkpoints, steps * config.epochs)
        run.add(_commit(run, stage, print_, checkpoints, n_samples * config.epochs))
    run.results.update(_results(checkpoints))


def _settings(config: TrainConfig, spec: ModelSpec, shards: tuple[Shard, ...]) -> dict[str, Any]:
    return {
        **config.model_dump(mode="json", exclude=_IRRELEVANT),
        "model": spec.to_json(),
        "data": fingerprint(sorted((shard.path, shard.sha256) for shard in shards)),
        "version": VERSION,
    }


def _same_settings(checkpoints: Checkpoints, settings: dict[str, Any]) -> None:
    """Compare with the settings that the run was started with; a new run gets its own written down."""
    path = checkpoints.path("training.json")
    try:
        before = checkpoints.store.read_json(path)
    except FileNotFoundError:
        checkpoints.store.write_json(path, settings)
        return
    changed = sorted(key for key in settings.keys() | before.keys() if settings.get(key) != before.get(key))
    if changed:
        raise ConfigError(
            f"name: {checkpoints.store.uri(checkpoints.path())} was begun with another {', '.join(changed)}; "
            "choose another name, or set it back"
        )


def _fit(config: TrainConfig, run: Run, job: Job, checkpoints: Checkpoints, steps: int) -> None:
    begun = checkpoints.latest()
    first = begun.step if begun else 0
    if first:
        log.info("train: going on after step %d of %d", first, steps)
    # Ray Train would else change the working directory of its workers, and with it the meaning of relative paths.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        torch_config=ray.train.torch.TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if config.use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=run.run_id,
            storage_path=run.store.path(checkpoints.path("ray")),
            storage_filesystem=run.store.filesystem,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            # Annotated with the callback class of Ray Train's first version.
            callbacks=[_FailureTeller(job.board)],  # type: ignore[list-item]
        ),
    )
    with run.progress("steps", steps - first) as progress:
        reader = _Reader(progress, first)
        with Follower(job.board, reader):
            try:
                trainer.fit()
            except ray.train.TrainingFailedError as error:
                cause = next(iter(getattr(error, "worker_failures", {}).values()), error)
                raise StageFailedError(f"training failed: {_last_line(cause)}") from error
    if reader.failure:
        raise ConfigError(reader.failure)


class _Reader:
    """Shows what workers post; steps that are done again after a failure count once."""

    def __init__(self, progress: Progress, step: int) -> None:
        self._progress, self._step = progress, step
        self.failure = ""

    def __call__(self, item: dict[str, Any]) -> None:
        if "failure" in item:
            self.failure = item["failure"]
        elif "failed" in item:
            log.warning("train: %s; going on from the last checkpoint", item["failed"])
        elif "unreadable" in item:
            log.warning("train: %s", item["unreadable"])
            self._progress.update(0, errors=1)
        elif item["step"] > self._step:
            note = f"loss {item['loss']:.3f}, lr {item['lr']:.1e}, {item['samples_per_s']:,.1f} samples/s"
            self._progress.update(item["step"] - self._step, rows=item["samples"], note=note)
            self._step = item["step"]


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
        for worker in position.workers
        for error in worker.errors
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
