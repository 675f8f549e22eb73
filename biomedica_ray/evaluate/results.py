"""The document that an evaluation on published sets writes: scores, means, tests of models, and what is missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.comparisons import Paired, adjusted, means
from biomedica_ray.evaluate.preparing import Prepared, Ready
from biomedica_ray.evaluate.task_files import Tasks
from biomedica_ray.store import StoreError
from biomedica_ray.store.root import Root

if TYPE_CHECKING:
    from biomedica_ray.evaluate.leakage import Leakage, TaskLeaks
    from biomedica_ray.evaluate.scored import Clean, Scored

FORMAT = 1

LIST = "leaked.csv"
"""The list of leaked images, beside the results."""
WITHOUT = "without_leaked"
"""A model's scores on a task without leaked images; None where these were not sought."""


def document(
    title: str,
    run_id: str,
    tasks: Tasks,
    prepared: Prepared,
    scored: dict[str, dict[str, Scored]],
    *,
    tests: list[Paired],
    published: list[dict[str, Any]],
    leakage: Leakage | None = None,
) -> dict[str, Any]:
    """The results as plain data.

    Args:
        title: Name of the evaluation.
        run_id: The run's.
        tasks: All tasks and sets.
        prepared: What was evaluated, and what not.
        scored: Model -> task -> what came of it.
        tests: Of all pairs of models.
        published: Scores of others to stand beside them.
        leakage: Of images that are among the figures of a training store, where they were sought there.
    """
    found = {name: _task(tasks, name, ready, scored, leakage) for name, ready in prepared.ready.items()}
    of_models, over = means(found, list(scored))
    return {
        "format": FORMAT,
        "title": title,
        "run_id": run_id,
        "models": list(scored),
        "tasks": found,
        "means": of_models,
        "means_over": over,
        "decontaminated": _decontaminated(leakage, found, list(scored)) if leakage else None,
        "tests": adjusted(tests),
        "published": published,
        "missing": {name: _missing(tasks, name, what) for name, what in prepared.missing.items()},
        "errors": prepared.wrong,
    }


def _decontaminated(leakage: Leakage, found: dict[str, Any], models: list[str]) -> dict[str, Any]:
    """What was searched, and the means without the images that are there."""
    without = {
        name: {**task, "models": {model: each and each[WITHOUT] for model, each in task["models"].items()}}
        for name, task in found.items()
    }
    of_models, over = means(without, models)
    searched = {"store": leakage.store, "state": leakage.state, "figures": leakage.figures, "list": LIST}
    return {**searched, "means": of_models, "means_over": over}


def _task(
    tasks: Tasks, name: str, ready: Ready, scored: dict[str, dict[str, Scored]], leakage: Leakage | None
) -> dict[str, Any]:
    task = tasks.tasks[name]
    images = tasks.set_of(task)
    of_task = [each[name] for each in scored.values()]
    return {
        "title": task.title,
        "domain": task.domain,
        "kind": task.kind,
        "metric": task.metric,
        "set": images.title,
        "licence": images.licence,
        "unknown": [*task.unknown, *images.unknown],
        "prompts": ready.questions.prompts_from,
        "classes": ready.questions.names,
        # Those that all models were scored on, and those that any of them could not read.
        "images": len(reduce(np.intersect1d, [each.rows for each in of_task])),
        "left_out": ready.questions.left_out,
        "missing_images": [each.what for each in ready.listing.missing],
        "repeated_rows": ready.listing.repeated,
        "unreadable_images": sorted({what for each in of_task for what in each.unreadable}),
        "duplicate_images": max(each.duplicates for each in of_task),
        "differs": ready.remarks,
        "leaked": _leaked(leakage.tasks[name]) if leakage else None,
        "models": {model: _scores(each[name]) for model, each in scored.items()},
    }


def _leaked(found: TaskLeaks) -> dict[str, Any]:
    return {"images": found.images, "of": found.of, "how": found.how, "untrained": found.untrained}


def _without(clean: Clean) -> dict[str, Any]:
    """Scores without leaked images; empty where next to nothing is left."""
    found = clean.scores
    return {
        "scores": found.scores if found else {},
        "intervals": found.intervals if found else {},
        "images": clean.images,
        "vanished": clean.vanished,
        "left_out": clean.mark,
    }


def _scores(scored: Scored) -> dict[str, Any] | None:
    if scored.scores is None:
        return None
    found = scored.scores
    return {
        "scores": found.scores,
        "intervals": found.intervals,
        "chance": found.chance,
        "images": len(scored.rows),
        "unreadable": len(scored.unreadable),
        "confusion": found.confusion,
        "per_class": found.per_class,
        WITHOUT: _without(scored.clean) if scored.clean else None,
        "calibration": asdict(found.calibration) if found.calibration else None,
        "mistakes": [
            {
                "image": each.image,
                "predicted": each.mistake.predicted,
                "true": each.mistake.true,
                "probability": each.mistake.probability,
            }
            for each in scored.shown
        ],
    }


def _missing(tasks: Tasks, name: str, what: str) -> dict[str, Any]:
    images = tasks.set_of(tasks.tasks[name])
    return {"looked_for": what, "set": images.title, "get": images.get, "licence": images.licence}


def read(path: str, endpoint_url: str | None = None) -> dict[str, Any]:
    """Results of before, local or on S3.

    Raises:
        ConfigError: It is no such file.
    """
    try:
        folder, _, name = path.rpartition("/")
        found = Root(folder or ("/" if path.startswith("/") else "."), endpoint_url).read_json(name)
    except (OSError, ValueError, StoreError) as error:
        raise ConfigError(f"compare: {path}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ConfigError(f"compare: {path}: not a results.json of evaluate")
    return found


@dataclass(frozen=True)
class Change:
    """A score that is another one than before; ``now`` is None where it is not there any more."""

    model: str
    task: str
    metric: str
    before: float
    now: float | None

    @property
    def fell(self) -> float:
        """By how much."""
        return 0.0 if self.now is None else self.before - self.now

    def __str__(self) -> str:
        now = "not there" if self.now is None else f"{self.now:.4f}"
        return f"{self.model} on {self.task}: {self.metric} was {self.before:.4f} and is {now}"


def changes(before: dict[str, Any], now: dict[str, Any], asked: Collection[str]) -> list[Change]:
    """Scores, in the tasks' own metrics, that differ for the models that both have, those that fell most first.

    Args:
        before: Results of before.
        now: Results of now; scores without leaked images are compared where both left out the same ones.
        asked: The tasks that were to be done now; others of before are left out.
    """
    found = []
    for model in before["models"]:
        if model not in now["models"]:
            continue
        for name, task in before["tasks"].items():
            if name not in asked:
                continue
            metric = task["metric"]
            was, is_ = (_value(results, name, model, metric) for results in (before, now))
            if was is not None and was != is_:
                found.append(Change(model, name, metric, was, is_))
            clean, cleaner = (_without_leaked(results, name, model) for results in (before, now))
            # Scores on other images say nothing of the model.
            if clean and cleaner and clean["left_out"] == cleaner["left_out"]:
                was, is_ = (each["scores"].get(metric) for each in (clean, cleaner))
                if was is not None and was != is_:
                    found.append(Change(model, name, f"{metric} without leaked images", was, is_))
    return sorted(found, key=lambda change: (change.now is not None, -change.fell))


def _value(results: dict[str, Any], task: str, model: str, metric: str) -> float | None:
    scores = (results["tasks"].get(task) or {"models": {}})["models"].get(model)
    return None if scores is None else scores["scores"].get(metric)


def _without_leaked(results: dict[str, Any], task: str, model: str) -> dict[str, Any] | None:
    scores = (results["tasks"].get(task) or {"models": {}})["models"].get(model)
    found: dict[str, Any] | None = (scores or {}).get(WITHOUT)  # not known to earlier versions
    return found


def left_out_otherwise(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Tasks of which other images were left out as leaked than before, so that scores without them are not compared."""
    found = []
    for name in before["tasks"]:
        for model in before["models"]:
            clean, cleaner = (_without_leaked(results, name, model) for results in (before, now))
            if clean and cleaner and clean["left_out"] != cleaner["left_out"] and name not in found:
                found.append(name)
    return found
