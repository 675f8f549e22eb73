"""Scores of a model on a task, as they travel from the worker that made them; needs no scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float] | None


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
    """

    scores: dict[str, float]
    intervals: dict[str, Interval]
    chance: float
    outcomes: Floats
    confusion: list[list[int]]
    per_class: dict[str, float]
