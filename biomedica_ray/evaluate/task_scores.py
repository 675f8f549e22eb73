"""Scores of a model on a task and what explains them, as they travel from their worker; needs no scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float] | None

MISTAKES = 24
"""Mistakes of a model on a task that are kept."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes:
        position: Its image, in the order of the questions' rows.
        predicted: The answer given.
        true: The right one.
        probability: Of the answer given, by a softmax over all answers at scale 100.
    """

    position: int
    predicted: str
    true: str
    probability: float


@dataclass(frozen=True)
class Bin:
    """Answers that a model gave with about the same confidence.

    Attributes:
        n: How many.
        confidence: Their mean probability.
        accuracy: The share of them that are right.
    """

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram, and the expected calibration error.

    Attributes:
        bins: Of a reliability diagram (Guo et al. 2017, section 2), by confidence; empty ones are left out.
        ece: Expected calibration error: the mean over the answers of the distance between accuracy and confidence in
            their bin (Naeini et al. 2015; Guo et al. 2017, equation 3).
    """

    bins: list[Bin]
    ece: float


@dataclass(frozen=True)
class TaskScores:
    """Scores of one model on one task.

    Attributes:
        scores: Score -> value.
        intervals: Score -> its 95 % interval, of those that have one.
        chance: What guessing gives in the task's metric.
        outcomes: How right each image is, 0 to 1, in the order of the questions' rows, shape (n,).
        confusion: Of single-label tasks, images of each class (row) that were taken for each class (column), and in a
            last column those that were tied between classes; else empty.
        per_class: Of each class, the share of right predictions.
        calibration: Of all answers; None of retrieval.
        mistakes: Those of the greatest probability, at most :data:`MISTAKES`; none of retrieval.
    """

    scores: dict[str, float]
    intervals: dict[str, Interval]
    chance: float
    outcomes: Floats
    confusion: list[list[int]]
    per_class: dict[str, float]
    calibration: Calibration | None = None
    mistakes: list[Mistake] = field(default_factory=list)
