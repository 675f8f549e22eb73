"""Panels by their letters, which say what the authors call a panel: a figure is cut so that each part has one.

It is cut along gutters, the widest that divide letters first, also where they are narrower than what would be cut at
without letters; where pictures touch, beside the letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from biomedica_ray.panels.letters import Letter

Ink = npt.NDArray[np.bool_]
PixelBox = tuple[int, int, int, int]

_NEAR = 0.35
"""A gutter just before a letter is taken for one wider by this share of the letters' distance: letters stand above or
left of what they name."""


@dataclass(frozen=True)
class Part:
    """A region of the ink, ``ink[top:bottom, left:right]``, and the letters in it.

    Attributes:
        box: left, top, right, bottom.
        letters: Those whose middle is in it.
        gutter: Width of the narrowest gutter that set it apart, in cells; 0 where pictures touch.
    """

    box: PixelBox
    letters: tuple[Letter, ...]
    gutter: float


def cut_by_letters(ink: Ink, letters: Sequence[Letter]) -> list[Part]:
    """Regions of one letter each that cover the figure.

    Args:
        ink: (height, width), what is not paper.
        letters: Of the panels, in cells of the ink.
    """
    height, width = ink.shape
    return _cut(ink, Part((0, 0, width, height), tuple(letters), float(max(ink.shape))))


def _middle(letter: Letter, axis: int) -> float:
    return (letter.top + letter.bottom) / 2 if axis == 0 else (letter.left + letter.right) / 2


def _start(letter: Letter, axis: int) -> float:
    return letter.top if axis == 0 else letter.left


@dataclass(frozen=True)
class _Line:
    axis: int
    at: int
    width: float
    worth: float


def _cut(ink: Ink, part: Part) -> list[Part]:
    if len(part.letters) < 2:
        return [part]
    lines = [line for axis in (0, 1) if (line := _best(ink, part, axis))]
    line = max(lines, key=lambda each: each.worth) if lines else _beside(part)
    if line is None:
        return [part]
    return [found for half in _halves(part, line) for found in _cut(ink, half)]


def _halves(part: Part, line: _Line) -> tuple[Part, Part]:
    left, top, right, bottom = part.box
    boxes = (
        ((left, top, right, line.at), (left, line.at, right, bottom))
        if line.axis == 0
        else ((left, top, line.at, bottom), (line.at, top, right, bottom))
    )
    sides = [tuple(each for each in part.letters if (_middle(each, line.axis) >= line.at) == later) for later in (0, 1)]
    gutter = min(part.gutter, line.width)
    return Part(boxes[0], sides[0], gutter), Part(boxes[1], sides[1], gutter)


def _best(ink: Ink, part: Part, axis: int) -> _Line | None:
    """The best gutter across an axis (0: rows, 1: columns) that has letters on both of its sides and cuts none."""
    left, top, right, bottom = part.box
    region = ink[top:bottom, left:right]
    start, size = (top, bottom - top) if axis == 0 else (left, right - left)
    filled = region.any(axis=1 - axis)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], filled, [True]])))
    ordered = sorted(part.letters, key=lambda each: _middle(each, axis))
    best: _Line | None = None
    for begin, end in edges.reshape(-1, 2).tolist():
        at = start + (begin + end) // 2
        if begin == 0 or end == size:
            continue
        before = [each for each in ordered if _middle(each, axis) < at]
        after = ordered[len(before) :]
        if not before or not after:
            continue
        first = min(_start(each, axis) for each in after)
        last = max(_middle(each, axis) for each in before)
        span = max(1.0, first - last)
        near = max(0.0, 1 - abs(first - (start + end)) / span)
        worth = (end - begin) / max(ink.shape) + _NEAR * near * min(1.0, span / max(ink.shape))
        if best is None or worth > best.worth:
            best = _Line(axis, at, end - begin, worth)
    return best


def _beside(part: Part) -> _Line | None:
    """A line just before letters, where the letters are farthest apart: pictures touch there."""
    best: _Line | None = None
    for axis in (0, 1):
        start, stop = part.box[1 - axis], part.box[3 - axis]
        ordered = sorted(part.letters, key=lambda each: _middle(each, axis))
        for one, other in pairwise(ordered):
            worth = _middle(other, axis) - _middle(one, axis)
            at = round(_start(other, axis))
            at = min(max(at, start + 1), stop - 1)
            if worth > (other.bottom - other.top) and (best is None or worth > best.worth):
                best = _Line(axis, at, 0.0, worth)
    return best


def to_ink(ink: Ink, part: Part) -> Part:
    """The part without the paper at its sides."""
    left, top, right, bottom = part.box
    region = ink[top:bottom, left:right]
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return part
    box = (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)
    return replace(part, box=box)
