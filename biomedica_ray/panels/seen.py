"""A panel as a detector sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Seen(NamedTuple):
    """A panel that a detector sees.

    Attributes:
        box: left, top, right, bottom in pixels of the image.
        confidence: 0 to 1.
    """

    box: tuple[int, int, int, int]
    confidence: float


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom, ...)."""
    common = _common(one, other)
    return common / (_area(one) + _area(other) - common) if common else 0.0


def inside(one: Sequence[float], other: Sequence[float]) -> float:
    """The share of the smaller one of two boxes that lies in the other."""
    common = _common(one, other)
    return common / min(_area(one), _area(other)) if common else 0.0


def _common(one: Sequence[float], other: Sequence[float]) -> float:
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
