"""Hashes of windows of thumbnails: what a crop of an image would hash to, told without the image.

The hash is of the same kind as ImageHash's phash: signs of the 8 x 8 lowest frequencies of a cosine transform of 32 x
32 grey values. Cropping, scaling back to 32 x 32 and the transform are linear, so the frequencies of a window of a
thumbnail are a product of three matrices: one for its rows, the thumbnail, one for its columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dct

from biomedica_ray.images.thumbnails import SIDE

Interval = tuple[float, float]
"""From where to where on an axis, in shares of its length."""
Thumbnails = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]

_FREQUENCIES = 8
_CHUNK = 256
"""Thumbnails whose windows are hashed at a time: of 400 windows, 26 MB."""

WHOLE: tuple[Interval, ...] = ((0.0, 1.0),)


def _cut(step: float, most: float) -> tuple[Interval, ...]:
    """What is left of an axis when steps are cut off its ends, ``most`` of it in all; the whole first."""
    ends = np.arange(0, most + 1e-9, step)
    return tuple((float(a), float(1 - b)) for a in ends for b in ends if a + b <= most + 1e-9)


CROPS = _cut(1 / 30, 0.1)
"""Where crops are looked for on each axis: a crop must be near enough to one of these to hash alike."""
COARSE = _cut(1 / 20, 0.1)
"""The same with fewer windows, for pictures in which a figure may be a crop."""
_THIRD = 1 / 3
PARTS: tuple[Interval, ...] = (
    *((0.0, 1.0), (0.0, 0.5), (0.5, 1.0)),
    *((0.0, 0.46), (0.04, 0.5), (0.54, 1.0), (0.5, 0.96), (0.04, 0.46), (0.54, 0.96)),
    *((0.0, _THIRD), (_THIRD, 2 * _THIRD), (2 * _THIRD, 1.0), (0.0, 2 * _THIRD), (_THIRD, 1.0)),
)
"""Where panels are looked for on each axis, in figures whose panels are not known, and in panels that are two: halves,
with and without half of a gutter, and thirds."""

TURNS: tuple[tuple[str, Image.Transpose | None], ...] = (
    ("", None),
    ("flipped left to right", Image.Transpose.FLIP_LEFT_RIGHT),
    ("flipped top to bottom", Image.Transpose.FLIP_TOP_BOTTOM),
    ("rotated by 180", Image.Transpose.ROTATE_180),
    ("rotated by 90", Image.Transpose.ROTATE_270),
    ("rotated by 270", Image.Transpose.ROTATE_90),
    ("transposed", Image.Transpose.TRANSPOSE),
    ("transversed", Image.Transpose.TRANSVERSE),
)
"""How a copy was turned (degrees counter-clockwise), and what turns it back."""


def turned_back(thumbnails: Thumbnails) -> Thumbnails:
    """Thumbnails (n, 1024) turned back from each of :data:`TURNS`: (n, 8, 1024)."""
    grey = thumbnails.reshape(-1, SIDE, SIDE)
    across = grey.transpose(0, 2, 1)
    ways = (
        *(grey, grey[:, :, ::-1], grey[:, ::-1], grey[:, ::-1, ::-1]),
        *(across[:, :, ::-1], across[:, ::-1], across, across[:, ::-1, ::-1]),
    )
    return np.stack(ways, axis=1).reshape(-1, len(TURNS), SIDE * SIDE)


def window_hashes(thumbnails: Thumbnails, intervals: Sequence[Interval]) -> Hashes:
    """Hashes (n, k, k) of windows of thumbnails (n, 1024): of the rows of each interval and the columns of each.

    Args:
        thumbnails: Grey values of 32 x 32 boxes.
        intervals: k of them.
    """
    matrices = np.stack([_frequencies_of(*each) for each in intervals])
    result = np.empty((len(thumbnails), len(intervals), len(intervals)), np.uint64)
    for start in range(0, len(thumbnails), _CHUNK):
        grey = thumbnails[start : start + _CHUNK].reshape(-1, 1, SIDE, SIDE).astype(np.float32)
        rows = matrices @ grey  # (n, k, 8, 32)
        frequencies = rows[:, :, None] @ matrices.transpose(0, 2, 1)  # (n, k, k, 8, 8)
        bits = (frequencies > 0).reshape(*frequencies.shape[:3], _FREQUENCIES**2)
        bits[..., 0] = False  # the mean, which says nothing
        result[start : start + _CHUNK] = np.packbits(bits, axis=-1).view(np.uint64)[..., 0]
    return result


def _frequencies_of(start: float, stop: float) -> npt.NDArray[np.float32]:
    """(8, 32) what makes of 32 values the lowest frequencies of an interval of them, sampled at 32 places."""
    at = np.clip((start + (np.arange(SIDE) + 0.5) * (stop - start) / SIDE) * SIDE - 0.5, 0, SIDE - 1)
    left = np.minimum(at.astype(np.int64), SIDE - 2)
    sampled = np.zeros((SIDE, SIDE))
    sampled[np.arange(SIDE), left] = 1 - (at - left)
    sampled[np.arange(SIDE), left + 1] = at - left
    return np.asarray(dct(np.eye(SIDE), axis=0, norm="ortho")[:_FREQUENCIES] @ sampled, np.float32)
