"""What a store says of the classifiers of images that classify made: ``classifiers/<model>.json``, and of panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biomedica_ray.annotate.vectors import Kind, model_slug
from biomedica_ray.labelling.classifier import How
from biomedica_ray.store import Store


@dataclass(frozen=True)
class Made:
    """A classifier that a store has: ``classifiers/<model>.json``, and for panels ``classifiers/<model>.panels.json``.

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


def classifier_path(model: str, kind: Kind = "figures") -> str:
    """Where the classifier of a model's embeddings of figures, or of panels, is described, relative to the root."""
    return f"classifiers/{model_slug(model)}{'' if kind == 'figures' else f'.{kind}'}.json"


def read_made(store: Store, model: str, kind: Kind = "figures") -> Made | None:
    """The classifier of a model's embeddings; None where there is none yet."""
    try:
        return Made(**store.read_json(classifier_path(model, kind)))
    except FileNotFoundError:
        return None
