"""The second look at near duplicates: small grey thumbnails, compared by correlation.

Perceptual hashes collide on plots and line drawings. Of 372 images of 47 articles, three pairs are within 4 bits of one
another and correlate by 0.95 without being one file in two formats, and each is one figure (smaller or translated); the
one more that the hashes alone would take are two equations. Thumbnails of 16x16 would take these for one (0.955), and
within 8 bits four pairs of different figures where these take one (of 241 images). The price is that most resized
copies of images whose shorter side has under 64 pixels are kept beside the original; of others 1 to 4 in 100 are.
``benchmarks/copies.py`` measures it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from biomedica_ray.images.thumbnails import SIDE

BOX = 4
BOXES = SIDE // BOX


@njit(nogil=True, cache=True)
def correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Pearson correlation of two thumbnails, from -1 to 1; a blank one correlates with nothing (0).

    It is of exact integers up to the last step, so equal thumbnails give 1 and the order of the two does not matter.

    Args:
        a: (1024,) grey values.
        b: (1024,) grey values.
    """
    sum_a = sum_b = sum_aa = sum_bb = sum_ab = np.int32(0)
    for i in range(len(a)):
        x, y = np.int32(a[i]), np.int32(b[i])
        sum_a += x
        sum_b += y
        sum_aa += x * x
        sum_bb += y * y
        sum_ab += x * y
    n = len(a)
    spread_a = n * np.int64(sum_aa) - np.int64(sum_a) * np.int64(sum_a)
    spread_b = n * np.int64(sum_bb) - np.int64(sum_b) * np.int64(sum_b)
    if spread_a == 0 or spread_b == 0:
        return 0.0
    together = n * np.int64(sum_ab) - np.int64(sum_a) * np.int64(sum_b)
    return float(together / np.sqrt(np.float64(spread_a) * np.float64(spread_b)))


@njit(nogil=True, cache=True)
def coarse(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Vectors (n, 65) whose dot product is at least the correlation of two thumbnails, up to rounding (1e-5).

    Correlation is the dot product of thumbnails less their mean, at unit length. The first 64 numbers are what is left
    of one in boxes of 4x4 pixels, the last the length of the rest: by Cauchy and Schwarz the rests of two add no more
    to their dot product than the product of their lengths. Of a blank thumbnail it is all zeros.

    Args:
        thumbnails: (n, 1024) grey values.
    """
    result = np.zeros((len(thumbnails), BOXES * BOXES + 1), np.float32)
    for i in range(len(thumbnails)):
        mean = thumbnails[i].mean()
        sums = np.zeros(BOXES * BOXES)
        square = 0.0
        for pixel in range(SIDE * SIDE):
            value = thumbnails[i, pixel] - mean
            sums[pixel // SIDE // BOX * BOXES + pixel % SIDE // BOX] += value
            square += value * value
        if square == 0:
            continue
        rest = square
        for box in range(BOXES * BOXES):
            part = sums[box] / BOX  # along the vector of length 1 that is even over the box and 0 elsewhere
            rest -= part * part
            result[i, box] = part / np.sqrt(square)
        result[i, -1] = np.sqrt(max(rest, 0.0) / square)
    return result


@njit(nogil=True, cache=True, fastmath=True)
def bound(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """What the correlation of two thumbnails is at most, up to rounding: the dot product of their :func:`coarse`."""
    result = np.float32(0)
    for i in range(len(a)):
        result += a[i] * b[i]
    return float(result)
