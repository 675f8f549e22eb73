"""Zero-shot classification: an image is of the class whose prompts it is most similar to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biomedica_ray.evaluate.statistics import Estimate, Indices, bootstrap

Vectors = npt.NDArray[np.float32]

TIED = -1
"""Prediction where no class is more similar than all others, which counts as wrong."""


@dataclass(frozen=True)
class Classification:
    """Scores of a classification.

    Attributes:
        accuracy: Share of right predictions; chance is 1 / number of classes.
        balanced_accuracy: Mean over the classes of the share of right predictions.
        majority: Accuracy of always naming the most frequent class.
        recall: Share of right predictions of each class, by its index.
        samples: Samples of each class, by its index.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    majority: float
    recall: list[float]
    samples: list[int]


def class_vectors(prompts: Sequence[Vectors]) -> Vectors:
    """One vector for each class: the normalised mean of its prompts' normalised vectors (Radford et al. 2021, 3.1.4).

    Args:
        prompts: For each class, vectors of shape (prompts, d).
    """
    means = np.stack([normalised(vectors).mean(axis=0) for vectors in prompts])
    return normalised(means)


def predict(images: Vectors, classes: Vectors) -> Indices:
    """The most similar class of each image, or :data:`TIED`.

    Args:
        images: Normalised, shape (n, d).
        classes: Normalised, shape (c, d) with c >= 2.

    Returns:
        Shape (n,).
    """
    similarity = images @ classes.T
    best = similarity.argmax(axis=1)
    second, first = np.sort(similarity, axis=1)[:, -2:].T
    return np.where(first > second, best, TIED).astype(np.int64)


def score(
    predictions: Indices, truth: Indices, n_classes: int, *, articles: Indices, resamples: int, seed: int
) -> Classification:
    """Scores of predictions against the truth, both of shape (n,); every class occurs in the truth.

    Articles, resamples and seed are those of :func:`~biomedica_ray.evaluate.statistics.bootstrap`.
    """
    right = predictions == truth
    samples = np.bincount(truth, minlength=n_classes)

    def accuracy(chosen: Indices) -> float:
        return float(right[chosen].mean())

    def recalls(chosen: Indices) -> npt.NDArray[np.float64]:
        count = np.bincount(truth[chosen], minlength=n_classes)
        hits = np.bincount(truth[chosen], weights=right[chosen], minlength=n_classes)
        return hits[count > 0] / count[count > 0]

    def balanced(chosen: Indices) -> float:
        return float(recalls(chosen).mean())

    everything = np.arange(len(truth))
    return Classification(
        Estimate(accuracy(everything), *bootstrap(accuracy, articles, resamples, seed), 1 / n_classes),
        Estimate(balanced(everything), *bootstrap(balanced, articles, resamples, seed), 1 / n_classes),
        float(samples.max() / len(truth)),
        recalls(everything).tolist(),
        samples.tolist(),
    )


def normalised(vectors: Vectors) -> Vectors:
    """Vectors (..., d) at length 1; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: Vectors = (vectors / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
    return result
