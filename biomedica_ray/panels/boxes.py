"""Compound figures: where an image's panels are, from the gutters between them.

A recursive X-Y cut (Nagy and Seth, 1984, "Hierarchical representation of optically scanned documents"): a region is cut
along the axis with the widest gutter, each part again, until no gutter is left. Text is what misleads it, as there is
paper around every axis label and between the columns of every table; so a gutter counts only where something that can
be a panel lies on both of its sides: a connected patch of ink larger than a line of text.

The constants are those that best separated single from compound figures on 239 figures of real articles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

MIN_SIDE = 100
"""Pixels of the shorter side below which an image is not cut: it is a formula or a tiny thumbnail."""

_WORKING_SIDE = 800
"""Pixels of the longer side to which it is reduced, by taking every n-th pixel, so that thin gutters stay white."""
_CONTRAST = 40
"""What differs from the paper by more than this in a channel, out of 255, is ink; JPEG noise and pale frames do not."""
_PALE = 200
"""Where the border's median is darker, the paper is taken to be white: a photograph fills its image to the edge."""
_CORE_SHORT, _CORE_LONG = 0.07, 0.08
"""Least sides of a patch of ink that can be a panel, as a share of the figure's longer side."""
_GUTTER = 0.006
"""Least width of a gutter, as a share of the longer side; narrower ones divide only pictures that fill their panels."""
_BAND, _FILLED = 0.02, 0.5
"""A picture fills its panel where this share of a band of that width beside the gutter is ink."""
_SURE = 0.02
"""A gutter of this width leaves no doubt."""

Ink = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


class Box(NamedTuple):
    """A rectangle ``image[top:bottom, left:right]`` in pixels.

    Attributes:
        confidence: 0 to 1, from the width of the narrowest gutter that set it apart; 1 for a whole figure.
    """

    left: int
    top: int
    right: int
    bottom: int
    confidence: float


@dataclass(frozen=True)
class _Region:
    """Part of a figure.

    Attributes:
        ink: Its ink.
        cores: Middles (y, x) of the patches in it that can be panels.
        top: Where it lies in the figure.
        left: Where it lies in the figure.
        gutter: Width of the narrowest gutter that set it apart.
    """

    ink: Ink
    cores: Points
    top: int
    left: int
    gutter: float

    def part(self, axis: int, start: int, stop: int, gutter: float) -> _Region:
        inside = (self.cores[:, axis] >= start) & (self.cores[:, axis] < stop)
        ink = self.ink[start:stop] if axis == 0 else self.ink[:, start:stop]
        moved = self.cores[inside] - np.eye(2)[axis] * start
        top, left = self.top + start * (axis == 0), self.left + start * (axis == 1)
        return _Region(ink, moved, top, left, min(self.gutter, gutter))


class _Gutter(NamedTuple):
    """White lines ``start`` to ``stop`` between two parts of a region."""

    start: int
    stop: int

    @property
    def width(self) -> int:
        return self.stop - self.start

    @property
    def middle(self) -> int:
        return (self.start + self.stop) // 2


def split_figure(rgb: npt.NDArray[np.uint8], panels: int | None = None) -> list[Box]:
    """The panels of a figure in reading order; one box around everything where it is not compound.

    What has no patch of ink that can be a panel (a title, a label, a legend) belongs to the panel beside it.

    Args:
        rgb: Pixels (height, width, 3).
        panels: How many are expected, as from the caption. Where narrow gutters give more than that, only the widest
            are cut at, if that gives this many panels: a panel may itself be several plots.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        return [Box(0, 0, width, height, 1)]
    ink, step = working_ink(rgb)
    side = max(ink.shape)
    whole = _Region(ink, _cores(ink), 0, 0, side)
    found = list(_cut(whole, _GUTTER * side, side))
    if panels and panels > 1 and len(found) > panels:
        for least in sorted({region.gutter + 1 for region in found}):
            fewer = list(_cut(whole, least, side))
            if len(fewer) == panels:
                found = fewer
                break
    return reading_order([_box(region, step, width, height) for region in found])


def reading_order(boxes: list[Box]) -> list[Box]:
    """Boxes row by row where horizontal lines separate rows, otherwise column by column, and so on within each.

    A grid may be lettered either way; rows are the commoner one.
    """
    for start, end in (("top", "bottom"), ("left", "right")):
        ordered = sorted(boxes, key=attrgetter(start))
        reached = 0
        for n, box in enumerate(ordered):
            if n and getattr(box, start) >= reached:
                return [*reading_order(ordered[:n]), *reading_order(ordered[n:])]
            reached = max(reached, getattr(box, end))
    return boxes


def working_ink(rgb: npt.NDArray[np.uint8]) -> tuple[Ink, int]:
    """What is not paper, at the size at which gutters are looked for; and how many pixels one of its cells is."""
    step = math.ceil(max(rgb.shape[:2]) / _WORKING_SIDE)
    return _ink(rgb[::step, ::step]), step


def gutter_confidence(width: float, side: int) -> float:
    """How sure a gutter makes that it divides panels, 0 to 1.

    Args:
        width: Of the gutter, in pixels.
        side: The longer side of the figure.
    """
    return min(1.0, width / (_SURE * side))


def _ink(rgb: npt.NDArray[np.uint8]) -> Ink:
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    paper = np.median(border, axis=0).astype(np.int16)
    if paper.min() < _PALE:
        paper = np.full(3, 255, np.int16)
    ink: Ink = np.logical_or.reduce(np.abs(rgb - paper) > _CONTRAST, axis=2)
    return ink


def _cores(ink: Ink) -> Points:
    """Middles (y, x) of the connected patches that can be panels."""
    patches, _ = ndimage.label(ink, structure=np.ones((3, 3)))
    side = max(ink.shape)
    middles = [
        ((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2)
        for rows, columns in ndimage.find_objects(patches)
        if min(rows.stop - rows.start, columns.stop - columns.start) >= _CORE_SHORT * side
        and max(rows.stop - rows.start, columns.stop - columns.start) >= _CORE_LONG * side
    ]
    return np.array(middles).reshape(-1, 2)


def _cut(region: _Region, least: float, side: int) -> Iterator[_Region]:
    """The parts of a region that no gutter of at least that width divides."""
    by_axis = [(axis, list(_gutters(region, axis, least, side))) for axis in (0, 1)]
    axis, gutters = max(by_axis, key=lambda each: max((gutter.width for gutter in each[1]), default=0))
    if not gutters:
        yield region
        return
    bounds = [0, *(gutter.middle for gutter in gutters), region.ink.shape[axis]]
    widths = [side, *(gutter.width for gutter in gutters), side]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        yield from _cut(region.part(axis, start, stop, min(widths[number : number + 2])), least, side)


def _gutters(region: _Region, axis: int, least: float, side: int) -> Iterator[_Gutter]:
    """The widest gutter between each two neighbours that have panels, across an axis (0: rows, 1: columns)."""
    ink = region.ink if axis == 0 else region.ink.T
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ink.any(axis=1), [False]])))
    runs = edges.reshape(-1, 2).tolist()
    middles = region.cores[:, axis]
    with_core = [n for n, (start, stop) in enumerate(runs) if ((middles >= start) & (middles < stop)).any()]
    for one, other in pairwise(with_core):
        between = (_Gutter(runs[n][1], runs[n + 1][0]) for n in range(one, other))
        gutter = max(between, key=lambda each: each.width)
        if gutter.width >= least or (least <= _GUTTER * side and _filled(ink, gutter, int(_BAND * side))):
            yield gutter


def _filled(ink: Ink, gutter: _Gutter, band: int) -> bool:
    before, after = ink[max(0, gutter.start - band) : gutter.start], ink[gutter.stop : gutter.stop + band]
    return bool(before.mean() > _FILLED and after.mean() > _FILLED)


def _box(region: _Region, step: int, width: int, height: int) -> Box:
    """The box around a region's ink, in pixels of the figure, of which every ``step``-th was examined."""
    rows, columns = (np.flatnonzero(region.ink.any(axis=axis)).tolist() for axis in (1, 0))
    if not rows:
        rows, columns = [0, region.ink.shape[0] - 1], [0, region.ink.shape[1] - 1]
    right, bottom = ((start + end + 1) * step for start, end in ((region.left, columns[-1]), (region.top, rows[-1])))
    confidence = gutter_confidence(region.gutter * step, max(width, height))
    left, top = (region.left + columns[0]) * step, (region.top + rows[0]) * step
    return Box(left, top, min(right, width), min(bottom, height), confidence)
