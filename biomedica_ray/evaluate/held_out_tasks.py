"""The tasks that a model is evaluated on; a further one is a function more in :data:`TASKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from biomedica_ray.evaluate.prompts import papers_prompts
from biomedica_ray.evaluate.retrieval import recall
from biomedica_ray.evaluate.zero_shot import class_vectors, predict, score

if TYPE_CHECKING:
    from biomedica_ray.evaluate.encode import Encoded, Model


class NotApplicableError(Exception):
    """The held-out samples do not allow a task; the message says why."""


@dataclass(frozen=True)
class Settings:
    """Settings of all tasks.

    Attributes:
        recall_at: Cutoffs of retrieval.
        bootstrap: Resamples for the confidence intervals.
        seed: Seed of the resamples.
    """

    recall_at: list[int]
    bootstrap: int
    seed: int


def primary_label(model: Model, samples: Encoded, settings: Settings) -> dict[str, Any]:
    """Zero-shot classification of the global concept, among those that the samples show.

    Only samples with exactly one global concept count.
    """
    single = [number for number, labels in enumerate(samples.labels) if len(labels) == 1]
    names = sorted({samples.labels[number][0] for number in single})
    if len(names) < 2:
        raise NotApplicableError(
            f"{len(single)} of {len(samples.labels)} held-out samples have exactly one global concept, "
            f"{len(names)} different ones; expected at least 2 (run `biomedica label` with labels, then serialize)"
        )
    classes = class_vectors([model.encode_texts(papers_prompts().sentences(name)) for name in names])
    truth = np.array([names.index(samples.labels[number][0]) for number in single])
    predictions = predict(samples.images[single], classes)
    how = {"resamples": settings.bootstrap, "seed": settings.seed}
    scores = score(predictions, truth, len(names), articles=samples.articles[single], **how)
    return {
        "samples": len(single),
        "accuracy": scores.accuracy.to_json(),
        "balanced_accuracy": scores.balanced_accuracy.to_json(),
        "majority": scores.majority,
        "classes": [
            {"label": name, "samples": count, "recall": share}
            for name, count, share in zip(names, scores.samples, scores.recall, strict=True)
        ],
    }


def retrieval(_: Model, samples: Encoded, settings: Settings) -> dict[str, Any]:
    """Recall of the own caption among all, and of the own image."""
    pairs = {"image_to_text": (samples.images, samples.texts), "text_to_image": (samples.texts, samples.images)}
    result: dict[str, Any] = {"samples": len(samples.labels)}
    for name, (queries, candidates) in pairs.items():
        how = {"resamples": settings.bootstrap, "seed": settings.seed}
        found = recall(queries, candidates, settings.recall_at, articles=samples.articles, **how)
        result[name] = {f"recall@{k}": estimate.to_json() for k, estimate in found.items()}
    return result


TASKS: dict[str, Callable[[Model, Encoded, Settings], dict[str, Any]]] = {
    "zero_shot_primary_label": primary_label,
    "retrieval": retrieval,
}
