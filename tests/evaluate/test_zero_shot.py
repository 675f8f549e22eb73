from __future__ import annotations

import numpy as np
import pytest

from biomedica_ray.evaluate.statistics import Indices, bootstrap
from biomedica_ray.evaluate.zero_shot import TIED, class_vectors, predict, score


def test_class_vector_is_the_normalised_mean_of_normalised_prompts() -> None:
    prompts = np.array([[3.0, 0.0], [0.0, 0.5]], dtype=np.float32)
    assert class_vectors([prompts]) == pytest.approx(np.array([[0.5**0.5, 0.5**0.5]]))


def test_the_most_similar_class_wins_and_a_tie_is_nobodys() -> None:
    images = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.5**0.5, 0.5**0.5]], dtype=np.float32)
    assert predict(images, np.eye(2, dtype=np.float32)).tolist() == [0, 1, 1, TIED]


def test_a_model_that_finds_everything_alike_is_right_nowhere() -> None:
    same = np.ones((4, 2), dtype=np.float32)
    scores = score(predict(same, same[:3]), np.array([0, 0, 1, 2]), 3, articles=np.arange(4), resamples=0, seed=0)
    assert scores.accuracy.value == 0


def test_scores_of_known_predictions() -> None:
    truth = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
    predictions = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, TIED])
    scores = score(predictions, truth, 3, articles=np.arange(10), resamples=200, seed=0)
    assert scores.accuracy.value == pytest.approx(0.6)
    assert scores.recall == pytest.approx([5 / 6, 1 / 2, 0])
    assert scores.balanced_accuracy.value == pytest.approx((5 / 6 + 1 / 2) / 3)
    assert scores.accuracy.chance == pytest.approx(1 / 3)
    assert scores.majority == 0.6
    assert scores.samples == [6, 2, 2]
    assert 0.2 <= scores.accuracy.low < 0.6 < scores.accuracy.high <= 1


def test_bootstrap_of_a_mean_is_near_its_normal_approximation() -> None:
    values = np.repeat([0.0, 1.0], 200)
    low, high = bootstrap(lambda chosen: float(values[chosen].mean()), np.arange(400), 2000, 1)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.005)
    assert (low, high) == bootstrap(lambda chosen: float(values[chosen].mean()), np.arange(400), 2000, 1)


def test_bootstrap_draws_whole_articles() -> None:
    values = np.repeat([0.0, 1.0], 200)
    articles = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 4))
    by_article = values[np.argsort(np.argsort(articles, kind="stable"))]  # all figures of an article are alike

    def mean(chosen: Indices) -> float:
        assert (np.bincount(articles[chosen]) % 4 == 0).all()
        return float(by_article[chosen].mean())

    # Four alike are worth one: the interval is that of 100 samples.
    assert bootstrap(mean, articles, 2000, 1) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.01)
    sizes = np.repeat([5, 9], [1, 3])
    assert bootstrap(lambda chosen: float(len(chosen)), sizes, 500, 0) == (2, 6)


def test_bootstrap_of_equal_values_has_no_width_and_none_without_resamples() -> None:
    assert bootstrap(lambda chosen: float(len(chosen)), np.arange(7), 50, 0) == (7.0, 7.0)
    assert bootstrap(lambda chosen: 0.0, np.arange(7), 0, 0) == (None, None)
