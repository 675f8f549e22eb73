"""How answers are calibrated, and which mistakes are the worst."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve

from biomedica_ray.evaluate.calibration import BINS, calibration
from biomedica_ray.evaluate.questions import Choice, Questions
from biomedica_ray.evaluate.scores import SCALE, score
from biomedica_ray.evaluate.task_scores import MISTAKES, Bin, Mistake
from biomedica_ray.evaluate.zero_shot import normalised
from tests.evaluate.test_scores import multiclass, task


def test_the_error_is_the_mean_distance_of_accuracy_and_confidence() -> None:
    found = calibration(np.array([0.95, 0.95, 0.95, 0.95, 0.5]), np.array([True, True, True, False, True]))
    assert found.bins == [Bin(1, 0.5, 1.0), Bin(4, pytest.approx(0.95), 0.75)]
    assert found.ece == pytest.approx((1 * 0.5 + 4 * 0.2) / 5)
    assert calibration(np.array([1.0, 1.0]), np.array([True, True])).ece == 0
    # An edge belongs to the bin below it.
    assert [each.n for each in calibration(np.array([6 / BINS, 6.5 / BINS]), np.array([True, True])).bins] == [1, 1]


def test_bins_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(size=3000)
    right = generator.uniform(size=3000) < confidence**2
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    found = calibration(confidence, right)
    assert [each.accuracy for each in found.bins] == pytest.approx(accuracy.tolist())
    assert [each.confidence for each in found.bins] == pytest.approx(mean.tolist())
    sizes = np.array([each.n for each in found.bins])
    assert found.ece == pytest.approx((sizes * abs(accuracy - mean)).sum() / 3000)
    assert 0.1 < found.ece < 0.25  # confidence - confidence**2 is 1/6 on average


def test_mistakes_of_classes_are_the_surest_wrong_answers() -> None:
    questions, images, texts = multiclass(400, 8)
    found = score(questions, images, texts, 0, 0)
    classes = normalised(np.stack([texts[numbers].mean(axis=0) for numbers in questions.prompts]))
    chances = softmax(SCALE * (images @ classes.T).astype(np.float64), axis=1)
    given, truth = chances.argmax(axis=1), questions.truth
    wrong = sorted(np.flatnonzero(given != truth), key=lambda n: -chances[n].max())
    assert len(found.mistakes) == MISTAKES < len(wrong)
    first = found.mistakes[0]
    assert first == Mistake(
        wrong[0], str(given[wrong[0]]), str(truth[wrong[0]]), pytest.approx(chances[wrong[0]].max())
    )
    assert [each.position for each in found.mistakes] == wrong[:MISTAKES]
    assert found.calibration is not None
    assert sum(each.n for each in found.calibration.bins) == 400
    mean = sum(each.n * each.accuracy for each in found.calibration.bins) / 400
    assert mean == pytest.approx(found.scores["accuracy"])


def test_mistakes_of_findings_and_of_options_are_named() -> None:
    texts = np.eye(5, dtype=np.float32)[:4]
    # Findings a and b: texts 0 and 1 show them, 2 and 3 do not; the image shows a and is taken to show b alone.
    shown = Questions(
        task("multilabel", 2),
        np.arange(2),
        ["a", "b", "no a", "no b"],
        np.array([[True, False], [True, True]]),
        ["a", "b"],
        [np.array([0]), np.array([1])],
        [np.array([2]), np.array([3])],
    )
    images = normalised(np.array([[0, 0.02, 0.01, 0, 1], [0.02, 0.02, 0, 0, 1]], np.float32))
    found = score(shown, images, texts, 0, 0)
    assert [(each.position, each.predicted, each.true) for each in found.mistakes] == [
        (0, "b", "no b"),
        (0, "no a", "a"),
    ]
    assert found.calibration is not None and sum(each.n for each in found.calibration.bins) == 4

    options = np.array([0, 1, 2])
    asked = Questions(
        task("choice"),
        np.arange(2),
        ["a", "b", "c", "d"],
        np.array([0, 0]),
        ["x"],
        choices=[[Choice(options, 0)], [Choice(options, 1), Choice(options, 1)]],
    )
    # The second image is as similar to a as to b, which is wrong.
    found = score(asked, images, texts, 0, 0)
    assert [(each.position, each.predicted, each.true) for each in found.mistakes] == [
        (0, "b", "a"),
        (1, "a", "b"),
        (1, "a", "b"),
    ]
    images[1] = normalised(np.array([0, 1, 0, 0, 1], np.float32))
    assert len(score(asked, images, texts, 0, 0).mistakes) == 1


def test_an_answer_as_probable_as_the_right_one_is_named_so() -> None:
    questions, _, texts = multiclass(6, 3)
    blind = score(questions, np.repeat(texts[:1], 6, axis=0), np.repeat(texts[:1], len(texts), axis=0), 0, 0)
    assert {each.predicted for each in blind.mistakes if each.true == "0"} == {"0 (and another)"}
    assert {each.predicted for each in blind.mistakes if each.true == "1"} == {"0"}
