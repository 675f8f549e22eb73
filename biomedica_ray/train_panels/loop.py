"""The train-panels stage: runs Ray Train, which writes weights that ``panels --detector`` takes."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import ray.train
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from biomedica_ray.board import Board, Follower
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import OF_A_RUN
from biomedica_ray.messages import last_line
from biomedica_ray.panels.weights import about_weights, identity, read_weights
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError
from biomedica_ray.store.atomic import UNFINISHED, unfinished_name
from biomedica_ray.train.leaving import ListeningTorchConfig
from biomedica_ray.train_panels.checkpoint import about_checkpoint, unfinished_path
from biomedica_ray.train_panels.config import TrainPanelsConfig
from biomedica_ray.train_panels.job import Job, train_worker

log = logging.getLogger(__name__)

LOG_STEPS = 20
"""Steps between lines of the log."""


def run(config: TrainPanelsConfig, record: Run) -> None:
    """Train what ``config`` describes, from the last checkpoint where there is one of the same settings.

    Raises:
        ConfigError: What it begins with is no file of weights.
        StoreError: Figures of the store are asked for and its panels have not been found yet.
        StageFailedError: A worker failed.
    """
    store = record.store
    if config.pictures and not store.commits("panels"):
        raise StoreError(f"{store.root}: no panels yet; run `biomedica panels` first, or train with --pictures 0")
    path = f"panel_models/{config.name}.safetensors"
    weights = read_weights(config.begin, config.endpoint_url, "begin") if config.begin else None
    if weights:
        about_weights(weights, f"begin: {config.begin}")
    resources = {"num_workers", "use_gpu", "cpus_per_worker", "memory_gb", "checkpoint_steps", "name"}
    settings = config.model_dump(exclude=set(OF_A_RUN) | resources) | {
        "begin": identity(weights) if weights else "none"
    }
    done, checkpoint = (0, None) if config.again else begun(store, path, unfinished_path(config.name), settings)
    losses: dict[str, Any] = {}
    if done < config.steps:
        if done:
            log.info("train-panels: resuming after step %d of %d", done, config.steps)
        with record.progress("steps", config.steps, done=done) as progress:

            def read(item: dict[str, Any]) -> None:
                losses.update(item)
                progress.update()
                if item["step"] % LOG_STEPS == 0:
                    log.info("step %(step)d: loss of the detector %(detector).3f, of the reader %(reader).3f", item)

            _fit(store, Job(config, store, path, weights, checkpoint, done, settings, Board()), read)
        store.delete(unfinished_path(config.name))
    record.results.update(losses, weights=store.uri(path))


def begun(store: Store, path: str, unfinished: str, settings: Mapping[str, Any]) -> tuple[int, bytes | None]:
    """How many steps an earlier run with the same settings has done, and its checkpoint where it did not finish.

    Args:
        store: The store.
        path: Of finished weights.
        unfinished: Of the checkpoint.
        settings: What both say of how they were made, ``steps`` among it.

    Raises:
        ConfigError: What is at ``path`` are no weights.
    """
    if data := _read(store, path):
        about = about_weights(data, store.uri(path))
        if _same(about, settings) and about["step"] == settings["steps"]:
            return settings["steps"], None
    if data := _read(store, unfinished):
        about = about_checkpoint(data) or {}
        if _same(about, settings):
            return about["step"], data
    return 0, None


def _same(about: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    return all(about.get(key) == value for key, value in settings.items() if key != "pictures")


def _read(store: Store, path: str) -> bytes | None:
    try:
        return store.read_bytes(path)
    except FileNotFoundError:
        return None


def _fit(store: Store, job: Job, read: Any) -> None:
    config = job.config
    folder = f"{UNFINISHED}/{unfinished_name()}"
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    trainer = DataParallelTrainer(
        partial(train_worker, job),
        backend_config=ListeningTorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if config.use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=secrets.token_hex(3), storage_path=store.path(folder), storage_filesystem=store.filesystem
        ),
    )
    try:
        with Follower(job.board, read):
            trainer.fit()
    except ray.train.TrainingFailedError as error:
        cause = next(iter(getattr(error, "worker_failures", {}).values()), error)
        raise StageFailedError(f"training failed: {last_line(cause)}") from error
    finally:
        with contextlib.suppress(OSError):
            store.delete_folder(folder)
