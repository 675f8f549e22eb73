"""What merge does on a worker: mixes weights, scores each mixture, and keeps the best one.

The driver loads this module too, so model libraries are imported in the task: that takes seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_ray.board import Board
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.pipeline import score_model
from biomedica_ray.evaluate.validation import Validation
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.models.folders import CARD_NAME, WEIGHTS_NAME
from biomedica_ray.models.leak_check import with_check
from biomedica_ray.models.spec import ModelSpec
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.store import StoreError

if TYPE_CHECKING:
    from biomedica_ray.merge.weights import Weights


@dataclass(frozen=True)
class Job:
    """What the task gets.

    Attributes:
        config: Its config.
        spec: The architecture, and the weights that the trained models are mixed with.
        alphas: Shares of the trained model to try, ascending.
        held_out: Samples that the mixtures are scored on; None where there is only one.
        result: Where the best one goes.
        mark: Fingerprint of models and settings.
        board: Gets the progress.
    """

    config: MergeConfig
    spec: ModelSpec
    alphas: Sequence[float]
    held_out: Validation | None
    result: TrainedModel
    mark: str
    board: Board


def sweep(job: Job) -> dict[str, Any]:
    """Try every share, and write the best mixture and ``merge.json``; is a task on the cluster."""
    import torch  # noqa: PLC0415

    from biomedica_ray.models.clip import build, export  # noqa: PLC0415
    from biomedica_ray.train.model_card import merged_card  # noqa: PLC0415

    config = job.config
    torch.set_num_threads(max(1, int(config.num_cpus)))
    spec = job.spec if job.alphas[0] < 1 else replace(job.spec, pretrained=None)
    with tempfile.TemporaryDirectory() as folder:  # a run's model comes with its tokenizer
        replace(job.result, name=config.of[0]).get_folder("model", Path(folder))
        model, tokenizer = build(spec, own=folder, endpoint_url=config.endpoint_url, key="base")
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuned = _average(job.result, config.of)
    best: float | None = None
    tried: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for alpha in job.alphas:
            model.load_state_dict(_mixed(base, tuned, alpha, config))
            export(model, tokenizer, spec, Path(folder))
            tasks = _tasks(job, Path(folder))
            tried.append({"alpha": alpha, "score": _score(tasks, config.metric), "tasks": tasks})
            # Of equally good mixtures, the one with most of the trained model.
            if best is None or tried[-1]["score"] is None or tried[-1]["score"] >= best:
                best = tried[-1]["score"]
                job.result.put_folder(Path(folder), "model")
                chosen = alpha
    document = {
        "of": config.of,
        "base": spec.pretrained,
        "alpha": chosen,
        "metric": config.metric,
        "sweep": tried,
        "fingerprint": job.mark,
    }
    card = with_check(job.result, merged_card(config.name, job.spec, document))
    job.result.store.write_bytes(job.result.path("model", CARD_NAME), card.encode())
    job.result.store.write_json(job.result.path("merge.json"), document)
    return document


def _average(beside: TrainedModel, names: Sequence[str]) -> Weights:
    from safetensors.torch import load_file  # noqa: PLC0415

    from biomedica_ray.merge.weights import average  # noqa: PLC0415

    models = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            replace(beside, name=name).get_folder("model", Path(folder))
            models.append(load_file(Path(folder) / WEIGHTS_NAME))
    return average(models)


def _mixed(base: Weights, tuned: Weights, alpha: float, config: MergeConfig) -> Weights:
    from biomedica_ray.merge.weights import interpolate  # noqa: PLC0415

    try:
        return interpolate(base, tuned, alpha)
    except ValueError as error:
        raise ConfigError(f"base: {config.base}: {error}") from None


def _tasks(job: Job, folder: Path) -> dict[str, Any]:
    """Scores of a mixture by task; none where there is only one."""
    if job.held_out is None:
        return {}
    from biomedica_ray.evaluate.encode import Model  # noqa: PLC0415

    model = Model.load(folder, "cuda" if job.config.use_gpu else "cpu")
    scored = score_model(model, job.held_out, job.config, lambda n: job.board.post({"samples": n}))
    if not scored.tasks:
        raise StoreError(f"{job.held_out.root}: {scored.read} held-out samples can be read, expected at least 2")
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
