"""Models against one another: means over the tasks that all of them have, and paired tests on the same images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from biomedica_ray.evaluate.scored import Scored

OVERALL = "overall"
RETRIEVAL = "retrieval"
"""The kind of tasks that the overall mean leaves out, as their scores are of another sort."""


def means(
    tasks: Mapping[str, Mapping[str, Any]], models: list[str]
) -> tuple[dict[str, dict[str, float]], dict[str, list[str]]]:
    """Means of the tasks' own metrics: each task counts once, and only where all models have a score of it.

    A model that has no score at all is compared with nobody and does not take tasks from the others.

    Args:
        tasks: The tasks' results.
        models: The models.

    Returns:
        Model -> domain -> mean, with ``overall`` over all tasks but retrieval; and domain -> the tasks that its means
        are taken over.
    """
    values: dict[str, dict[str, float]] = {}
    for name, task in tasks.items():
        of_models = {model: _value(task, model) for model in models}
        values[name] = {model: value for model, value in of_models.items() if value is not None}
    compared = {model for of_task in values.values() for model in of_task}
    over = defaultdict[str, list[str]](list)
    for name, task in tasks.items():
        if compared and values[name].keys() == compared:
            over[task["domain"]].append(name)
            if task["kind"] != RETRIEVAL:
                over[OVERALL].append(name)
    found = {
        model: {domain: float(np.mean([values[name][model] for name in names])) for domain, names in over.items()}
        if model in compared
        else {}
        for model in models
    }
    return found, dict(over)


def _value(task: Mapping[str, Any], model: str) -> float | None:
    found = task["models"].get(model)
    return None if found is None else found["scores"].get(task["metric"])


@dataclass(frozen=True)
class Paired:
    """A paired test of two models on a task: by how much the first one is better on average, and the p-value."""

    task: str
    models: tuple[str, str]
    difference: float
    p: float


def against(model: str, scored: Mapping[str, Mapping[str, Scored]]) -> list[Paired]:
    """The tests of a model and each other one that is scored, on every task that both have, on the same images."""
    found = []
    for other, of_other in scored.items():
        if other == model:
            continue
        for name, b in of_other.items():
            a = scored[model][name]
            if a.scores is None or b.scores is None:
                continue
            _, of_a, of_b = np.intersect1d(a.rows, b.rows, return_indices=True)
            if len(of_a):
                difference = b.scores.outcomes[of_b] - a.scores.outcomes[of_a]
                found.append(Paired(name, (other, model), float(difference.mean()), paired(difference)))
    return found


def adjusted(tests: list[Paired]) -> list[dict[str, Any]]:
    """The tests as plain data, their p-values adjusted for their number by Benjamini and Hochberg (1995)."""
    from scipy.stats import false_discovery_control  # noqa: PLC0415 - takes a second

    values = false_discovery_control([test.p for test in tests]) if tests else []
    return [
        {
            "task": test.task,
            "models": list(test.models),
            "difference": test.difference,
            "p": test.p,
            "adjusted_p": float(p),
        }
        for test, p in zip(tests, values, strict=True)
    ]


def paired(difference: npt.NDArray[np.float64]) -> float:
    """Two-sided p-value of no difference between two models on the same images.

    Where images are right or wrong, McNemar's exact test (McNemar 1947); else Wilcoxon's signed-rank test.

    Args:
        difference: Of how right the models are on each image, shape (n,).
    """
    from scipy.stats import binomtest, wilcoxon  # noqa: PLC0415

    apart = difference[difference != 0]
    if not len(apart):
        return 1.0
    if set(np.abs(apart)) == {1.0}:
        return float(binomtest(int((apart > 0).sum()), len(apart)).pvalue)
    return float(wilcoxon(apart).pvalue)
