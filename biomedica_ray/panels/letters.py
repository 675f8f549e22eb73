"""Printed letters of panels: patches of ink that may be one, and the run of letters that a figure's panels have.

A letter is a connected patch of ink of the size that letters have, which stands alone. What reads them
(:mod:`biomedica_ray.panels.reader`) sees each with what is around it; what is read is believed where letters are of
one size and run on from A, as those of panels do and other single letters do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_SIDE = 1100
"""Pixels of the longer side at which letters are looked for."""
_ENLARGED = 1.5
"""Small images are made this much larger at most: their letters are of few pixels, and touch."""
_DARK, _LIGHT = 150, 190
"""Ink is what is darker, or lighter, than this out of 255 in its darkest channel."""
_LEAST, _MOST = 7, 0.085
"""Height of a letter: least pixels, and most as a share of the longer side."""
_NARROW, _WIDE = 0.12, 1.7
"""Width of a letter as a share of its height: I and W."""
_MANY = 400
"""Candidates at most, those that are largest."""

TIGHT, AROUND, CROP = 1.35, 5.0, 32
"""A candidate is seen twice in `CROP` pixels: as wide as this share of its longer side, and what is around it."""

Pixels = npt.NDArray[np.uint8]


class Candidate(NamedTuple):
    """A patch of ink that may be a letter, in pixels of the reduced image."""

    left: int
    top: int
    right: int
    bottom: int
    light: bool

    @property
    def height(self) -> int:
        """Pixels from its top to its bottom."""
        return self.bottom - self.top


class Letter(NamedTuple):
    """A letter of a panel: which, in upper case; where, in pixels of the image; and how surely, 0 to 1."""

    letter: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float


def reduced(image: Image.Image) -> tuple[Image.Image, float]:
    """The image at the size at which letters are looked for, and how many of its pixels one of those is."""
    scale = max(max(image.size) / _SIDE, 1 / _ENLARGED)
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    how = Image.Resampling.BOX if scale > 1 else Image.Resampling.BICUBIC
    return image.resize(size, how), scale


def candidates(rgb: Pixels) -> list[Candidate]:
    """Patches of ink, dark or light, of a letter's size that are no part of a word.

    Args:
        rgb: A reduced image (height, width, 3).
    """
    darkest = np.minimum(np.minimum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])  # faster than along the axis
    found = [*_patches(darkest < _DARK, light=False), *_patches(darkest > _LIGHT, light=True)]
    return sorted(found, key=lambda each: -each.height)[:_MANY]


def _patches(ink: npt.NDArray[np.bool_], *, light: bool) -> list[Candidate]:
    labels, _ = ndimage.label(ink, structure=np.ones((3, 3)))
    slices = ndimage.find_objects(labels)
    if not slices:
        return []
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices])
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    most = _MOST * max(ink.shape)
    sized = (high >= _LEAST) & (high <= most) & (wide >= _NARROW * high) & (wide <= _WIDE * high)
    alone = sized.copy()
    chosen = np.flatnonzero(sized)
    by_left = boxes[np.flatnonzero((high >= 0.5 * _LEAST) & (high <= 2 * most) & (wide <= 3 * most))]
    by_left = by_left[np.argsort(by_left[:, 0])]
    lefts = by_left[:, 0]
    for n in chosen:
        left, top, right, bottom = boxes[n]
        height = bottom - top
        near = by_left[np.searchsorted(lefts, left - 3 * height) : np.searchsorted(lefts, right + height)]
        alone[n] = not _in_a_word(near, (left, top, right, bottom))
    return [
        Candidate(left, top, right, bottom, light) for left, top, right, bottom in boxes[np.flatnonzero(alone)].tolist()
    ]


def _in_a_word(near: npt.NDArray[np.int64], box: tuple[int, int, int, int]) -> bool:
    """Whether letters of about its height are right before or after it; brackets, which are narrow, are none."""
    left, top, right, bottom = box
    height = bottom - top
    heights, widths = near[:, 3] - near[:, 1], near[:, 2] - near[:, 0]
    common = np.minimum(near[:, 3], bottom) - np.maximum(near[:, 1], top)
    like = (common > 0.5 * np.minimum(heights, height)) & (heights > 0.55 * height) & (heights < 1.8 * height)
    like &= widths > 0.36 * heights
    before = like & (near[:, 2] <= left + 1) & (left - near[:, 2] < 0.45 * height)
    after = like & (near[:, 0] >= right - 1) & (near[:, 0] - right < 0.22 * height)
    return bool((before | after).any())


def crops(rgb: Pixels, found: Sequence[Candidate]) -> npt.NDArray[np.float32]:
    """What the reader sees of candidates: (n, 2, CROP, CROP), ink 1 and ground 0 whichever is darker.

    Args:
        rgb: The reduced image.
        found: Its candidates.
    """
    grey = Image.fromarray(rgb).convert("L")
    seen = np.empty((len(found), 2, CROP, CROP), np.float32)
    for n, each in enumerate(found):
        x, y = (each.left + each.right) / 2, (each.top + each.bottom) / 2
        side = max(each.right - each.left, each.height)
        for k, times in enumerate((TIGHT, AROUND)):
            half = side * times / 2
            area = (x - half, y - half, x + half, y + half)
            patch = grey.transform((CROP, CROP), Image.Transform.EXTENT, area, Image.Resampling.BILINEAR, fillcolor=255)
            levels = np.asarray(patch, np.float32) / 255
            seen[n, k] = levels if each.light else 1 - levels
    return seen


_ALIKE = 0.3
"""Spread of the logarithm of letters' heights: a is lower than b in lower case."""
_EVEN = 0.3
"""Probability of a letter that speaks neither for nor against a run: a letter's worth is the logarithm of its own by
this one."""
_UNREAD = -1.5
"""Worth of a letter of the run that was not read."""
_READ = 0.15
"""Probability from which a letter was read."""
_ENOUGH = 0.6
"""Worth from which a run is believed: one sure letter and an even one, or two that are likely."""


def run_of_letters(found: Sequence[Candidate], chances: npt.NDArray[np.float64], scale: float = 1.0) -> list[Letter]:
    """The letters of panels: the run from A on, of candidates of about one height, that is worth most.

    Letters in a run may be missing, A too, as they were not read; what was read has to outweigh that. None where fewer
    than two were.

    Args:
        found: Candidates.
        chances: (n, 26), the probability that each is each letter.
        scale: Pixels of the image for one of the candidates'.
    """
    if not found:
        return []
    heights = np.log([each.height for each in found])
    runs = [
        _run(chances * np.exp(-((heights - height) ** 2) / (2 * _ALIKE**2))[:, None])
        for height in np.unique(heights[chances.max(axis=1) > _EVEN])
    ]
    worth, run = max(runs, key=lambda each: each[0], default=(0.0, []))
    if worth < _ENOUGH:
        return []
    return [
        Letter(
            LETTERS[letter],
            found[n].left * scale,
            found[n].top * scale,
            found[n].right * scale,
            found[n].bottom * scale,
            float(min(1.0, chances[n, letter])),
        )
        for letter, n in run
    ]


def _run(chances: npt.NDArray[np.float64]) -> tuple[float, list[tuple[int, int]]]:
    """The worth of the best run from A on, and its letters with their candidates, each used once."""
    free = np.ones(len(chances), bool)
    worth, run = 0.0, []
    best: tuple[float, list[tuple[int, int]]] = (0.0, [])
    for letter in range(len(LETTERS)):
        n = int(np.argmax(chances[:, letter] * free))
        chance = float(chances[n, letter]) * bool(free[n])
        if chance < _READ:
            worth += _UNREAD
            continue
        free[n] = False
        worth += max(_UNREAD, math.log(chance / _EVEN))
        run.append((letter, n))
        if len(run) > 1 and worth > best[0]:
            best = (worth, list(run))
    return best
