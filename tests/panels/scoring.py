"""How well found panels agree with true ones, over many figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Rectangle = Sequence[float]
"""Left, top, right, bottom, in pixels; what follows is not looked at."""


@dataclass(frozen=True)
class Scores:
    """Shares, 0 to 1.

    Attributes:
        precision: Found boxes that match a true one.
        recall: True boxes that a found one matches.
        exact_count: Figures with as many boxes found as there are.
        compound_f1: F1 of telling figures of several panels from those of one. 1 where there are none and none is
            found.
    """

    precision: float
    recall: float
    exact_count: float
    compound_f1: float


def score(
    true: Mapping[str, Sequence[Rectangle]], found: Mapping[str, Sequence[Rectangle]], least_iou: float = 0.5
) -> Scores:
    """Score the boxes found in figures, all figures' boxes counted together.

    Args:
        true: Figure -> its boxes, of which each figure has at least one.
        found: The same figures -> the boxes that were found.
        least_iou: Intersection over union from which on two boxes match.

    Raises:
        ValueError: The figures are not the same.
    """
    if true.keys() != found.keys():
        raise ValueError(f"boxes are of different figures, as {min(true.keys() ^ found.keys())}")
    matched = sum(len(matches(boxes, found[figure], least_iou)) for figure, boxes in true.items())
    counts = [(len(boxes), len(found[figure])) for figure, boxes in true.items()]
    said, are = sum(b > 1 for _, b in counts), sum(a > 1 for a, _ in counts)
    both = sum(a > 1 and b > 1 for a, b in counts)
    return Scores(
        precision=matched / max(1, sum(b for _, b in counts)),
        recall=matched / max(1, sum(a for a, _ in counts)),
        exact_count=sum(a == b for a, b in counts) / max(1, len(counts)),
        compound_f1=2 * both / (said + are) if said + are else 1.0,
    )


def matches(true: Sequence[Rectangle], found: Sequence[Rectangle], least_iou: float) -> list[tuple[int, int]]:
    """Pairs (index in ``true``, index in ``found``), each box in at most one: the highest overlap first."""
    overlaps = [(iou(one, other), i, j) for i, one in enumerate(true) for j, other in enumerate(found)]
    pairs: list[tuple[int, int]] = []
    left, right = set(range(len(true))), set(range(len(found)))
    for overlap, i, j in sorted(overlaps, key=lambda each: (-each[0], each[1], each[2])):
        if overlap >= least_iou and i in left and j in right:
            pairs.append((i, j))
            left.remove(i)
            right.remove(j)
    return pairs


def iou(one: Rectangle, other: Rectangle) -> float:
    """Intersection over union of two rectangles, 0 to 1; 0 where both are empty."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - shared
    return shared / union if union else 0.0


def _area(box: Rectangle) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
