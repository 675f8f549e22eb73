"""The merge stage: trained models averaged (a soup), and interpolated with the one that training began with (WiSE-FT).

Each share of the trained model is scored on the held-out samples, and the best one is kept. In BIOMEDICA this step
brings nearly all of the gain on its composition tasks (Lozano et al. 2025, arXiv:2501.07171).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from biomedica_ray.board import Board, Follower
from biomedica_ray.cluster import on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.encode import Model
from biomedica_ray.evaluate.pipeline import IRRELEVANT, HeldOut, dataset_of, find_held_out, score_model
from biomedica_ray.evaluate.tasks import TASKS
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.merge.weights import Weights, average, interpolate
from biomedica_ray.models.clip import build, export
from biomedica_ray.models.spec import WEIGHTS_NAME, ModelSpec
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.runs import Run
from biomedica_ray.store import StoreError
from biomedica_ray.train.model_card import merged_card
from biomedica_ray.units import fingerprint

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same models would give another one."""


def run(config: MergeConfig, record: Run) -> None:
    """Merge the models of ``config.of`` and write the best mixture to ``checkpoints/<name>``.

    Does nothing when the same models have been merged with the same settings.

    Raises:
        ConfigError: The models differ in architecture, there is no base to interpolate with, or the metric is unknown.
        StoreError: A run has no finished model, or there are no held-out samples to compare mixtures on.
    """
    spec, origins = _origins(config, record)
    alphas = sorted(set(config.alphas))
    if config.metric.partition(".")[0] not in TASKS:
        raise ConfigError(f"metric: {config.metric}: expected TASK.SCORE, with one of the tasks {', '.join(TASKS)}")
    if alphas != [1] and spec.pretrained is None:
        raise ConfigError(
            "base: the runs began with random weights; name a model to interpolate with, or set alphas: [1]"
        )
    held_out = find_held_out(dataset_of(config, record.store), config.samples) if len(alphas) > 1 else None
    result = TrainedModel(record.store, config.name)
    mark = fingerprint(
        VERSION, config.model_dump(mode="json", exclude=IRRELEVANT), origins, held_out.content if held_out else None
    )
    try:
        done: dict[str, Any] = record.store.read_json(result.path("merge.json"))
    except FileNotFoundError:
        done = {}
        if record.store.list(result.path("model")):
            raise ConfigError(
                f"name: {config.name} is a trained model; choose another name for the merged one"
            ) from None
    if done.get("fingerprint") == mark:
        log.info("merge: %s is already merged", config.name)
    else:
        done = _merge(config, record, _Job(config, spec, alphas, held_out, result, mark, Board()))
    scores = ", ".join(f"{mixture['alpha']:g}: {mixture['score']}" for mixture in done["sweep"])
    log.info("merge: %s by share of the trained model: %s; kept %g", config.metric, scores, done["alpha"])
    record.results |= {key: done[key] for key in ("alpha", "metric", "sweep")}
    record.results["model"] = record.store.uri(result.path("model"))


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
    return replace(specs[0], pretrained=config.base or specs[0].pretrained), origins


@dataclass(frozen=True)
class _Job:
    config: MergeConfig
    spec: ModelSpec
    alphas: Sequence[float]
    held_out: HeldOut | None
    result: TrainedModel
    mark: str
    board: Board


def _merge(config: MergeConfig, record: Run, job: _Job) -> dict[str, Any]:
    n_samples = len(job.alphas) * len(job.held_out.numbers) if job.held_out else 0
    with (
        record.progress("samples", n_samples) as progress,
        Follower(job.board, lambda item: progress.update(item["samples"], rows=item["samples"])),
    ):
        return on_a_worker(partial(_sweep, job), num_cpus=config.num_cpus, num_gpus=int(config.use_gpu))


def _sweep(job: _Job) -> dict[str, Any]:
    """Try every share, and write the best mixture and ``merge.json``; is a task on the cluster."""
    config = job.config
    torch.set_num_threads(max(1, int(config.num_cpus)))
    spec = job.spec if job.alphas[0] < 1 else replace(job.spec, pretrained=None)
    model, tokenizer = build(spec)
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuned = _average(job.result, config.of)
    best: float | None = None
    sweep: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for alpha in job.alphas:
            model.load_state_dict(_mixed(base, tuned, alpha, config))
            export(model, tokenizer, spec, Path(folder))
            tasks = _tasks(job, Path(folder))
            sweep.append({"alpha": alpha, "score": _score(tasks, config.metric), "tasks": tasks})
            # Of equally good mixtures, the one with most of the trained model.
            if best is None or sweep[-1]["score"] is None or sweep[-1]["score"] >= best:
                best = sweep[-1]["score"]
                job.result.put_folder(Path(folder), "model")
                chosen = alpha
    document = {
        "of": config.of,
        "base": spec.pretrained,
        "alpha": chosen,
        "metric": config.metric,
        "sweep": sweep,
        "fingerprint": job.mark,
    }
    card = merged_card(config.name, job.spec, document)
    job.result.store.write_bytes(job.result.path("model", "README.md"), card.encode())
    job.result.store.write_json(job.result.path("merge.json"), document)
    return document


def _average(beside: TrainedModel, names: Sequence[str]) -> Weights:
    models = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            replace(beside, name=name).get_folder("model", Path(folder))
            models.append(load_file(Path(folder) / WEIGHTS_NAME))
    return average(models)


def _mixed(base: Weights, tuned: Weights, alpha: float, config: MergeConfig) -> Weights:
    try:
        return interpolate(base, tuned, alpha)
    except ValueError as error:
        raise ConfigError(f"base: {config.base}: {error}") from None


def _tasks(job: _Job, folder: Path) -> dict[str, Any]:
    """Scores of a mixture by task; none where there is only one."""
    if job.held_out is None:
        return {}
    model = Model.load(folder, "cuda" if job.config.use_gpu else "cpu")
    scored = score_model(model, job.held_out, job.config, lambda n: job.board.post({"samples": n}))
    if not scored.tasks:
        raise StoreError(f"{job.held_out.data.root}: {scored.read} held-out samples can be read, expected at least 2")
    return scored.tasks


def _score(tasks: Mapping[str, Any], metric: str) -> float | None:
    """The number that a metric names; None where mixtures are not scored.

    Raises:
        ConfigError: There is no such number.
    """
    if not tasks:
        return None
    found: Any = tasks
    for part in metric.split("."):
        if "skipped" in found:
            raise ConfigError(f"metric: {metric}: {found['skipped']}")
        if part not in found:
            raise ConfigError(f"metric: {metric}: expected one of {', '.join(map(str, found))} for {part}")
        found = found[part]
    return float(found["value"])
