"""What a store says of the classifier of images that classify made: ``classifiers/<model>.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biomedica_ray.annotate.vectors import model_slug
from biomedica_ray.labelling.classifier import How
from biomedica_ray.store import Store


@dataclass(frozen=True)
class Made:
    """A classifier that a store has: ``classifiers/<model>.json``.

    Attributes:
        mark: Changes with the examples, their embeddings and the settings.
        file: The :class:`ImageClassifier`, relative to the store's root.
        sha256: Of that file, hex.
        how: What it was made of.
        concepts: The global concepts that it tells apart.
        unknown: Examples without an embedding.
        judged: :class:`~biomedica_ray.labelling.fitting.Judged` as plain data; None where there were too few examples.
        refused: Why nothing was fitted on the examples; empty where that was done.
    """

    mark: str
    file: str
    sha256: str
    how: How
    concepts: list[str]
    unknown: int
    judged: dict[str, Any] | None
    refused: str = ""


def classifier_path(model: str) -> str:
    """Where the classifier of a model's embeddings is described, relative to the store's root."""
    return f"classifiers/{model_slug(model)}.json"


def read_made(store: Store, model: str) -> Made | None:
    """The classifier of a model's embeddings; None where there is none yet."""
    try:
        return Made(**store.read_json(classifier_path(model)))
    except FileNotFoundError:
        return None
