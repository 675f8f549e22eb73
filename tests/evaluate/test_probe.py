from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from biomedica_ray.evaluate.probe import REGULARISATION, Labelled, choose, few_shot, probe
from biomedica_ray.evaluate.zero_shot import normalised


def blobs(n: int, seed: int, classes: int = 4, dim: int = 12, noise: float = 0.35) -> Labelled:
    """Classes around centres of their own, which are the same for all seeds."""
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    vectors = normalised((centres[truth] / 3 + noise * generator.normal(size=(n, dim))).astype(np.float32))
    return Labelled(vectors, truth)


def test_a_probe_is_scikit_learns_with_the_penalty_that_is_best_on_validation() -> None:
    train, validation, test = blobs(300, 0), blobs(150, 1), blobs(400, 2)
    scores = {}
    for penalty in REGULARISATION:
        model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(train.vectors, train.truth)
        scores[penalty] = model.score(validation.vectors, validation.truth)
    best = choose(train, validation)
    assert scores[best] == max(scores.values()) > min(scores.values())
    assert all(score < scores[best] for penalty, score in scores.items() if penalty > best)
    both = train + validation
    expected = LogisticRegression(C=1 / best, max_iter=1000).fit(both.vectors, both.truth).predict(test.vectors)
    predicted = probe(train, validation, test.vectors, 0)
    assert (predicted == expected).all()
    assert (predicted == test.truth).mean() > 0.8


def test_without_a_validation_split_a_part_of_train_is_one() -> None:
    train, test = blobs(300, 0), blobs(400, 2)
    predicted = probe(train, None, test.vectors, 0)
    assert (predicted == test.truth).mean() > 0.8
    assert (predicted == probe(train, None, test.vectors, 0)).all()


def test_more_shots_are_better_and_draws_are_the_same_each_time() -> None:
    train, validation, test = blobs(400, 0), blobs(100, 1), blobs(400, 2)
    means = [
        np.mean([(each == test.truth).mean() for each in few_shot(train, validation, test.vectors, shots, 0)])
        for shots in (1, 4, 32)
    ]
    assert means == sorted(means) and means[2] > means[0] + 0.1
    once, again = (few_shot(train, None, test.vectors, 2, 0) for _ in range(2))
    assert len(once) == 3
    assert all((a == b).all() for a, b in zip(once, again, strict=True))
    assert any((once[0] != other).any() for other in once[1:])


def test_a_model_that_sees_nothing_guesses() -> None:
    train = Labelled(np.ones((80, 4), np.float32) / 2, np.tile([0, 1, 2, 3], 20))
    predicted = probe(train, train, np.ones((40, 4), np.float32) / 2, 0)
    assert len(set(predicted.tolist())) == 1
    assert (predicted == np.tile([0, 1, 2, 3], 10)).mean() == pytest.approx(0.25)
