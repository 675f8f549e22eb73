"""Which of many images repeat which: those near one another by hash that also look the same, in groups around one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from biomedica_ray.dedupe.hamming import Hashes, Ints, choose_bands, in_any, popcount
from biomedica_ray.dedupe.thumbnails import bound, coarse, correlation

_LIST_COST = 8
"""Walking a list costs this many times what reading a bucket in one go costs, so buckets should be as much smaller."""
_ROUNDING = 1e-4
"""More than what single precision takes from the bound on a correlation."""


def best_alike(
    hashes: Hashes,
    max_distance: int,
    thumbnails: npt.NDArray[np.uint8],
    min_correlation: float,
    owners: Ints | None = None,
) -> Ints:
    """Best first, each image repeats the best kept one that is near and looks the same, or else is kept itself.

    Of the images that are linked, directly or through others, the best is kept and those linked to it directly repeat
    it; what is left of them is a group of its own, and so on. So no chain of small steps makes one group of images that
    are unlike: every image is within the distance of the one it repeats.

    The kept ones are indexed by the bands of their hashes (:func:`biomedica_ray.dedupe.hamming.choose_bands`), and each
    image looks up those near it. No list of pairs is made, so memory does not depend on how many there are.

    Args:
        hashes: (n,) one an image, best first; equal ones may occur.
        max_distance: Greatest Hamming distance, from 0 to 8.
        thumbnails: (n, 1024) grey values; a blank one is like no other.
        min_correlation: Least correlation of the thumbnails, above 0.
        owners: (n,) a code of what an image belongs to: it repeats none of the same owner. None: each its own.

    Returns:
        (n,) the index of the image that each one repeats, its own if it is kept.
    """
    bands = choose_bands(_LIST_COST * len(hashes), max_distance)
    flips = [band.flips for band in bands]
    index = _Index(
        np.array([band.shift for band in bands], np.uint64),
        np.array([band.mask for band in bands], np.uint64),
        np.array([band.radius for band in bands], np.int64),
        np.concatenate(flips),
        np.cumsum([0, *map(len, flips)]),
        # The kept images of a bucket are a linked list: its last one, and before each the one kept before.
        np.full((len(bands), 1 << bands[0].bits), -1, np.int32),
        np.full((len(bands), len(hashes)), -1, np.int32),
    )
    looks = _Looks(thumbnails, coarse(thumbnails), min_correlation)
    owners = np.arange(len(hashes)) if owners is None else owners
    best: Ints = _best_alike(index, hashes, max_distance, looks, owners)
    return best


class _Index(NamedTuple):
    """The kept images by the bands of their hashes."""

    shifts: Hashes
    masks: Hashes
    radii: Ints
    flips: Hashes
    flip_starts: Ints
    last: npt.NDArray[np.int32]
    before: npt.NDArray[np.int32]


class _Looks(NamedTuple):
    """What the images look like, in full and coarsely, and how alike two must be."""

    thumbnails: npt.NDArray[np.uint8]
    coarse: npt.NDArray[np.float32]
    min_correlation: float


@njit(nogil=True, cache=True)
def _alike(looks: _Looks, a: int, b: int) -> bool:
    """Whether two images look the same; that most do not is seen by a sixteenth of the numbers."""
    if bound(looks.coarse[a], looks.coarse[b]) < looks.min_correlation - _ROUNDING:
        return False
    return correlation(looks.thumbnails[a], looks.thumbnails[b]) >= looks.min_correlation


@njit(nogil=True, cache=True)
def _best_alike(index: _Index, hashes: Hashes, max_distance: int, looks: _Looks, owners: Ints) -> Ints:
    best = np.arange(len(hashes))
    low = np.uint64(index.last.shape[1] - 1)
    for image in range(len(hashes)):
        for band in range(len(index.shifts)):
            bucket = (hashes[image] >> index.shifts[band]) & low
            for flip in index.flips[index.flip_starts[band] : index.flip_starts[band + 1]]:
                kept = index.last[band, bucket ^ flip]
                while kept >= 0:
                    differing = hashes[image] ^ hashes[kept]
                    if (
                        kept < best[image]
                        and owners[kept] != owners[image]
                        and popcount(differing) <= max_distance
                        and not in_any(differing, index.masks[:band], index.radii[:band])
                        and _alike(looks, image, kept)
                    ):
                        best[image] = kept
                    kept = index.before[band, kept]
        if best[image] == image:
            for band in range(len(index.shifts)):
                bucket = (hashes[image] >> index.shifts[band]) & low
                index.before[band, image] = index.last[band, bucket]
                index.last[band, bucket] = image
    return best
