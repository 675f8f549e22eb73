"""Whether an image is a crop of another, for certain: it is laid over its place there, and compared pixel by pixel.

Hashes and thumbnails say about where the one would be in the other. From there it is moved and stretched, coarsely
first and then finely, to where the grey values differ least (Lucas and Kanade, "An iterative image registration
technique", IJCAI 1981). Local features with RANSAC would find a place without a guess, but in small and smooth images
there are few, and they cannot decide either: plots of other data with the same axes have the same corners in the same
places.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import uniform_filter

Grey = npt.NDArray[np.float32]
Window = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""

FINEST = 192
"""Two images are compared last with as many pixels as a square of this side has; a smaller one as it is."""
_SIDES = (FINEST // 8, FINEST // 4, FINEST // 2, FINEST)
_STEPS = 6
_LEAST_SIDE = 8
_MOST_MOVED = 3.0
"""Pixels that an edge moves at most in one step: farther, grey values say nothing of where to go."""
_STILL = 0.02
"""Pixels; where no edge moves as far, the place is found."""
_TONES = 16
_PATCH = 12
"""Pixels of the side of the patches whose correlation is taken."""
_NOISE = 4.0
"""Standard deviation of the grey values of a patch that may be noise, of a JPEG's compression at most."""

MIN_CORRELATION = 0.93
MIN_AGREEING = 0.99
MIN_STRUCTURED = 0.03
_AGREEMENT = 0.5


class Aligned(NamedTuple):
    """Where an image lies best over another, and how well.

    Attributes:
        window: Its place there.
        correlation: Of the grey values of both, -1 to 1.
        agreeing: Of the places where one of them has structure, the share with patches that correlate by 0.5.
        structured: The share of such places.
    """

    window: Window
    correlation: float
    agreeing: float
    structured: float

    @property
    def is_copy(self) -> bool:
        """Whether the image shows what its place in the other one does.

        Plots of other data with the same axes correlate as copies do, and have patches that do not. Where there is next
        to no structure, nothing is certain.
        """
        return (
            self.correlation >= MIN_CORRELATION and self.agreeing >= MIN_AGREEING and self.structured >= MIN_STRUCTURED
        )


def align(container: Image.Image, image: Image.Image, window: Window, sides: tuple[int, ...] = _SIDES) -> Aligned:
    """Lay an image over about this place of another one, and move its edges to where both agree best.

    Brightness and contrast may differ: grey values of the place are compared as those that they are in the image, by a
    curve that only rises.

    Args:
        container: Mode L or F.
        image: Mode L or F.
        window: About where it is in the container.
        sides: At which sizes they are compared, as :func:`size_within` has them, coarsest first.
    """
    place = np.clip(np.array(window, np.float64), 0, [*container.size, *container.size])
    grey = there = np.zeros((1, 1), np.float32)
    correlation = 0.0
    for side in sides:
        width, height = (max(_LEAST_SIDE, length) for length in size_within(image.size, side))
        grey = _scaled(image, (0, 0, *image.size), (width, height))
        place = _moved(container, grey, place)
        there = _toned(_scaled(container, place, (width, height)), grey)
        correlation = _correlation(there, grey)
        if (width, height) == image.size:
            break
    agreeing, structured = _compared(there, grey)
    left, top, right, bottom = place.tolist()
    return Aligned((left, top, right, bottom), correlation, agreeing, structured)


def size_within(size: tuple[int, int], side: float) -> tuple[int, int]:
    """Width and height reduced, in proportion, to no more pixels than a square of this side has."""
    scale = min(1.0, side / math.sqrt(size[0] * size[1]))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _moved(container: Image.Image, grey: Grey, place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The place (4,) near this one where the container is most like ``grey``."""
    height, width = grey.shape
    limits = np.array([*container.size, *container.size])
    # Shares of the way from the left edge to the right one, and from the top to the bottom.
    across, down = (np.arange(width) + 0.5) / width, ((np.arange(height) + 0.5) / height)[:, None]
    best, best_correlation = place, -2.0
    for step in range(_STEPS + 1):
        there = _toned(_scaled(container, place, (width, height)), grey)
        correlation = _correlation(there, grey)
        if correlation > best_correlation:
            best, best_correlation = place, correlation
        if step == _STEPS:
            break
        pixel = np.array([place[2] - place[0], place[3] - place[1]]) / (width, height)
        down_slope, slope = (np.asarray(each, np.float64) for each in np.gradient(there))
        slope, down_slope = slope / pixel[0], down_slope / pixel[1]
        # How the grey values there change with each edge, and with contrast and brightness of the image.
        changes = (slope * (1 - across), down_slope * (1 - down), slope * across, down_slope * down)
        matrix = np.stack([*(each.ravel() for each in changes), -grey.ravel(), -np.ones(grey.size)], axis=1)
        square = matrix.T @ matrix
        damping = 1e-6 * np.trace(square) / 6 * np.array([1, 1, 1, 1, 1e-6, 1e-6]) + 1e-12
        move = np.linalg.solve(square + np.diag(damping), -matrix.T @ there.ravel())[:4]
        most = _MOST_MOVED * np.tile(pixel, 2)
        moved = np.clip(place + np.clip(move, -most, most), 0, limits)
        if min(moved[2] - moved[0], moved[3] - moved[1]) < _LEAST_SIDE:
            break
        if (np.abs(moved - place) < _STILL * np.tile(pixel, 2)).all():
            break
        place = moved
    return best


def _scaled(image: Image.Image, box: npt.NDArray[np.float64] | Window, size: tuple[int, int]) -> Grey:
    left, top, right, bottom = (float(edge) for edge in box)
    scaled = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.asarray(scaled, np.float32)


def _toned(there: Grey, grey: Grey) -> Grey:
    """Grey values as those that they are in the other image on average, by a curve that only rises."""
    tones = np.clip(there * (_TONES / 256), 0, _TONES - 1).astype(np.int64).ravel()
    n = np.bincount(tones, minlength=_TONES)
    has = n > 0
    here, other = (np.bincount(tones, each.ravel(), _TONES)[has] / n[has] for each in (there, grey))
    return np.interp(there, here, np.maximum.accumulate(other)).astype(np.float32)


def _correlation(a: Grey, b: Grey) -> float:
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread > 0 else 0.0


def _compared(a: Grey, b: Grey) -> tuple[float, float]:
    """The share of patches that agree among those with structure, and the share of these."""
    mean_a, mean_b = uniform_filter(a, _PATCH), uniform_filter(b, _PATCH)
    spread_a = np.maximum(uniform_filter(a * a, _PATCH) - mean_a**2, 0)
    spread_b = np.maximum(uniform_filter(b * b, _PATCH) - mean_b**2, 0)
    together = uniform_filter(a * b, _PATCH) - mean_a * mean_b
    structured = np.maximum(spread_a, spread_b) > 4 * _NOISE**2
    if not structured.any():
        return 0.0, 0.0
    agree = together >= _AGREEMENT * np.sqrt(spread_a * spread_b + _NOISE**4)
    return float(agree[structured].mean()), float(structured.mean())
