"""A line chart as the numbers that the template draws as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from biomedica_ray.pages.formats import number

MAX_POINTS = 300
"""Longer series are drawn as means of this many stretches."""

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 24
"""The drawing's size and the margins that hold the tick labels, in SVG user units."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it is drawn, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class LineChart:
    """One series over an axis; coordinates are SVG user units from the top left corner.

    Attributes:
        line: The series as the ``points`` of a polyline.
        x_ticks: Marks below.
        y_ticks: Marks on the left.
        reference: Height of a horizontal line to compare with, where there is one.
    """

    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    reference: float | None


def line_chart(xs: Sequence[float], ys: Sequence[float], reference: float | None = None) -> LineChart:
    """Lay out a series.

    Args:
        xs: Where the values stand, ascending; at least one.
        ys: The values, as many.
        reference: A value to compare with; the axis reaches it.
    """
    xs, ys = _means(xs), _means(ys)
    shown = [*ys, *([] if reference is None else [reference])]
    y_marks = nice_ticks(min(0.0, *shown), max(shown), 5)
    low, high = y_marks[0], y_marks[-1]
    first, last = xs[0], max(xs[-1], xs[0] + 1)

    def place_x(value: float) -> float:
        return round(LEFT + (value - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def place_y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    x_marks = [mark for mark in nice_ticks(first, last, 8) if first <= mark <= last]
    return LineChart(
        " ".join(f"{place_x(x)},{place_y(y)}" for x, y in zip(xs, ys, strict=True)),
        tuple(Tick(place_x(mark), number(mark)) for mark in x_marks),
        tuple(Tick(place_y(mark), number(mark)) for mark in y_marks),
        None if reference is None else place_y(reference),
    )


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers, a step of 1, 2 or 5 times a power of ten apart, that enclose ``[low, high]``.

    Args:
        low: Least value.
        high: Greatest value.
        most: About how many marks to have, from 2.
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [mark * step for mark in range(first, max(last, first + 1) + 1)]


def _means(values: Sequence[float]) -> list[float]:
    """The values, or the means of :data:`MAX_POINTS` stretches of them."""
    stretches = min(MAX_POINTS, len(values))
    edges = [len(values) * index // stretches for index in range(stretches + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
