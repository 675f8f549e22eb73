"""Linear probes: a linear classifier on the vectors of a model's images, fitted on a set's train split.

Logistic regression by L-BFGS, with the regularisation that is best on the validation split, and then fitted anew on
train and validation together: Radford et al. 2021 (appendix A.3), whose library, range of regularisation and number of
iterations these are; CLIP_benchmark likewise chooses on validation and fits on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.zero_shot import Vectors

REGULARISATION = tuple(10.0**exponent for exponent in range(-6, 7))
"""Weights of the penalty, from 1e-6 to 1e6."""

ITERATIONS = 1000
DRAWS = 3
"""How often few shots are drawn; the score is the mean."""

VALIDATION = 5
"""Without a validation split each fifth image of the train split, in an order drawn from the seed, is one."""

SHOTS_OF_VALIDATION = 4
"""Most images of each class that few-shot probes are validated on (Zhou et al. 2022, arXiv:2109.01134, section 3.1)."""


@dataclass(frozen=True)
class Labelled:
    """Vectors of images, normalised, shape (n, d), and their classes, shape (n,)."""

    vectors: Vectors
    truth: Indices

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled(np.concatenate([self.vectors, other.vectors]), np.concatenate([self.truth, other.truth]))

    def some(self, chosen: Indices) -> Labelled:
        """Those with the given positions."""
        return Labelled(self.vectors[chosen], self.truth[chosen])


def probe(train: Labelled, validation: Labelled | None, images: Vectors, seed: int) -> Indices:
    """The class of each image by a linear probe, shape (n,).

    Args:
        train: What it is fitted on; at least two classes.
        validation: What its regularisation is chosen on; None: a part of ``train``.
        images: The images, normalised, shape (n, d).
        seed: Seed of that part.
    """
    if validation is None:
        order = np.random.default_rng(seed).permutation(len(train.truth))
        part = np.arange(len(order)) % VALIDATION == 0
        rest, validation = train.some(order[~part]), train.some(order[part])
        best = choose(rest, validation)
        return _classes(_fit(train, best), images)
    return _classes(_fit(train + validation, choose(train, validation)), images)


def few_shot(train: Labelled, validation: Labelled | None, images: Vectors, shots: int, seed: int) -> list[Indices]:
    """The class of each image by probes on ``shots`` images of each class, drawn :data:`DRAWS` times.

    The regularisation is chosen on at most :data:`SHOTS_OF_VALIDATION` further images of each class.
    """
    found = []
    for draw in range(DRAWS):
        generator = np.random.default_rng([seed, shots, draw])
        chosen = _draw(train.truth, shots, generator)
        n = min(shots, SHOTS_OF_VALIDATION)
        if validation is None:
            others = np.setdiff1d(np.arange(len(train.truth)), chosen)
            held = train.some(others[_draw(train.truth[others], n, generator)])
        else:
            held = validation.some(_draw(validation.truth, n, generator))
        few = train.some(chosen)
        best = choose(few, held) if len(held.truth) else 1.0
        found.append(_classes(_fit(few, best), images))
    return found


def choose(train: Labelled, validation: Labelled, among: Sequence[float] = REGULARISATION) -> float:
    """The penalty that gives the best accuracy on ``validation``; of equal ones the greatest, which fits least."""
    scores = [float(_fit(train, penalty).score(validation.vectors, validation.truth)) for penalty in among]
    best = max(scores)
    return max(penalty for penalty, score in zip(among, scores, strict=True) if score == best)


def _fit(train: Labelled, penalty: float) -> LogisticRegression:
    # The sum of losses is weighed by 1 / penalty, as in CLIP's own code (its C is 1 / lambda).
    model = LogisticRegression(C=1 / penalty, max_iter=ITERATIONS)
    return model.fit(train.vectors, train.truth)


def _classes(model: LogisticRegression, images: Vectors) -> Indices:
    found: Indices = model.predict(images).astype(np.int64)
    return found


def _draw(truth: Indices, shots: int, generator: np.random.Generator) -> Indices:
    """Positions of ``shots`` images of each class, or of all where it has fewer."""
    found = []
    for number in np.unique(truth):
        there = np.flatnonzero(truth == number)
        found.append(generator.permutation(there)[:shots])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)
