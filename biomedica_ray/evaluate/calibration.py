"""What explains a score: whether a model is right as often as its probabilities say, and where it is most wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from biomedica_ray.evaluate.task_scores import MISTAKES, Bin, Calibration, Floats, Mistake

BINS = 15
"""Bins of equal width, as Guo et al. 2017 have them."""


def calibration(confidence: Floats, right: npt.NDArray[np.bool_]) -> Calibration:
    """How a model's answers are calibrated.

    Args:
        confidence: Probability of each answer given, shape (n,) with n >= 1.
        right: Whether it is right, shape (n,).
    """
    # Bin m is (m/BINS, (m+1)/BINS].
    number = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    chosen = [number == m for m in range(BINS) if (number == m).any()]
    bins = [Bin(int(each.sum()), float(confidence[each].mean()), float(right[each].mean())) for each in chosen]
    return Calibration(bins, sum(each.n * abs(each.accuracy - each.confidence) for each in bins) / len(confidence))


def worst(
    probability: Floats, right: npt.NDArray[np.bool_], position: Sequence[int], names: Callable[[int], tuple[str, str]]
) -> list[Mistake]:
    """The wrong answers of the greatest probability, greatest first; one that is as probable as another is wrong too.

    Args:
        probability: Of each answer given, shape (n,).
        right: Whether it is right, shape (n,).
        position: Of each, its image.
        names: Of an answer by its number, what was said, and what is right.
    """
    wrong = np.flatnonzero(~right)
    order = wrong[np.argsort(-probability[wrong], kind="stable")][:MISTAKES]
    found = []
    for n in order:
        said, true = names(int(n))
        tied = " (and another)" if said == true else ""
        found.append(Mistake(int(position[n]), said + tied, true, float(probability[n])))
    return found
