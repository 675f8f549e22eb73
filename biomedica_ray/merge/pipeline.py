"""The merge stage: trained models averaged (a soup), and interpolated with the one that training began with (WiSE-FT).

Each share of the trained model is scored on the validation split, and the best one is kept. In BIOMEDICA this step
brings nearly all of the gain on its composition tasks (Lozano et al. 2025, arXiv:2501.07171).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from biomedica_ray.board import Board, Follower
from biomedica_ray.cluster import on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.held_out_tasks import TASKS
from biomedica_ray.evaluate.pipeline import IRRELEVANT
from biomedica_ray.evaluate.validation import OneSet, Validation, find_validation
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.merge.sweep import Job, sweep
from biomedica_ray.models.spec import ModelSpec, with_weights
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.reading.place import Place
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.train.data import find_shards
from biomedica_ray.units import fingerprint

log = logging.getLogger(__name__)

VERSION = 4
"""Raise it when the same models would give another one."""


def run(config: MergeConfig, record: Run) -> None:
    """Merge the models of ``config.of`` and write the best mixture to ``checkpoints/<name>``.

    Does nothing when the same models have been merged with the same settings.

    Raises:
        ConfigError: The models differ in architecture, there is no base to interpolate with, or the metric is unknown.
        StoreError: A run has no finished model, or there is no validation split to compare mixtures on.
    """
    spec, origins = _origins(config, record)
    alphas = sorted(set(config.alphas))
    if config.metric.partition(".")[0] not in TASKS:
        raise ConfigError(f"metric: {config.metric}: expected TASK.SCORE, with one of the tasks {', '.join(TASKS)}")
    if alphas != [1] and spec.pretrained is None:
        raise ConfigError(
            "base: the runs began with random weights; name a model to interpolate with, or set alphas: [1]"
        )
    held_out = _held_out(config, record) if len(alphas) > 1 else None
    result = TrainedModel(record.store, config.name)
    unset = set() if config.validation_fraction else {"validation_fraction"}
    settings = config.model_dump(mode="json", exclude=IRRELEVANT | unset)
    mark = fingerprint(VERSION, settings, origins, held_out.content if held_out else None)
    try:
        done: dict[str, Any] = record.store.read_json(result.path("merge.json"))
    except FileNotFoundError:
        done = {}
        if record.store.list(result.path("model")):
            raise ConfigError(
                f"name: {config.name} is a trained model; choose another name for the merged one"
            ) from None
    if done.get("fingerprint") == mark and not config.again:
        log.info("merge: %s is already merged", config.name)
    else:
        done = _merge(config, record, Job(config, spec, alphas, held_out, result, mark, Board()))
    scores = ", ".join(f"{mixture['alpha']:g}: {mixture['score']}" for mixture in done["sweep"])
    log.info("merge: %s by share of the trained model: %s; kept %g", config.metric, scores, done["alpha"])
    record.results |= {key: done[key] for key in ("alpha", "metric", "sweep")}
    record.results["model"] = record.store.uri(result.path("model"))


def _held_out(config: MergeConfig, record: Run) -> Validation:
    """What mixtures are compared on: not the test split, whose score would be too good then."""
    dataset = record.store.uri(Place(config.selection).folder("dataset"))
    sets = [
        OneSet(*find_shards(root, record, config.endpoint_url, named=bool(config.data)), weight)
        for root, weight in config.sets or [(dataset, 1)]
    ]
    if not config.validation_fraction and not any(isinstance(each.source, Store) for each in sets):
        raise ConfigError(
            "validation_fraction: samples without a dataset.json have no validation split; give it as in training"
        )
    return find_validation(sets, config.validation_fraction, config.samples, config.seed)


def _origins(config: MergeConfig, record: Run) -> tuple[ModelSpec, list[dict[str, Any]]]:
    """The architecture of the models, its weights those of the base, and how each model was trained."""
    origins = [TrainedModel(record.store, name).origin() for name in config.of]
    if merged := [name for name, origin in zip(config.of, origins, strict=True) if "model" not in origin]:
        raise ConfigError(f"of: {merged[0]} is itself a merged model; expected runs of train")
    specs = [ModelSpec(**origin["model"]) for origin in origins]
    if unlike := [name for name, spec in zip(config.of, specs, strict=True) if spec.model_cfg != specs[0].model_cfg]:
        raise ConfigError(f"of: {unlike[0]} and {config.of[0]} differ in architecture; expected runs of the same one")
    bases = {spec.pretrained for spec in specs}
    if config.base is None and len(bases) > 1:
        raise ConfigError(f"base: the runs began with {', '.join(map(str, sorted(map(str, bases))))}; name one of them")
    base = config.base or specs[0].pretrained
    spec = with_weights(specs[0], base, config.endpoint_url, key="base")
    if spec.model_cfg != specs[0].model_cfg:
        raise ConfigError(f"base: {base}: was trained with another activation (quick_gelu) than {config.of[0]}")
    return replace(spec, preprocess_cfg=specs[0].preprocess_cfg), origins


def _merge(config: MergeConfig, record: Run, job: Job) -> dict[str, Any]:
    n_samples = len(job.alphas) * job.held_out.size if job.held_out else 0
    with (
        record.progress("samples", n_samples) as progress,
        Follower(job.board, lambda item: progress.update(item["samples"], rows=item["samples"])),
    ):
        return on_a_worker(partial(sweep, job), num_cpus=config.num_cpus, num_gpus=int(config.use_gpu))
