"""Which hashes are within a Hamming distance of others: an index of the fewer, in which the more are looked up.

The index is that of :mod:`biomedica_ray.dedupe.hamming`: two hashes within the distance are near in at least one of
some bands of bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from biomedica_ray.dedupe.hamming import Hashes, Ints, choose_bands, popcount, sort_by_band

_QUERY_COST = 4
"""There are more queries than hashes here, so that buckets should be as much smaller."""


class HashIndex(NamedTuple):
    """Hashes (n,) by each of b bands.

    Attributes:
        hashes: (b, n) the hashes, by band.
        order: (b, n) which ones they are.
        starts: (b, 2^bits + 1) where the buckets of a band begin.
        shifts: (b,) where the bands begin.
        flips: The flips of all bands, and in ``flip_starts`` (b + 1,) where those of each begin.
        flip_starts: See there.
        max_distance: The distance, in bits.
    """

    hashes: Hashes
    order: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    shifts: Hashes
    flips: Hashes
    flip_starts: Ints
    max_distance: int


def build_index(hashes: Hashes, max_distance: int) -> HashIndex:
    """The index of hashes (n,), of which equal ones may occur, for a distance from 0 to 8."""
    bands = choose_bands(max(_QUERY_COST * len(hashes), 1), max_distance)
    by_band = [sort_by_band(hashes, band.shift, band.bits) for band in bands]
    flips = [band.flips for band in bands]
    return HashIndex(
        np.stack([hashes[order] for _, order in by_band]),
        np.stack([order for _, order in by_band]),
        np.stack([starts for starts, _ in by_band]),
        np.array([band.shift for band in bands], np.uint64),
        np.concatenate(flips),
        np.cumsum([0, *map(len, flips)]),
        max_distance,
    )


def nearest(index: HashIndex, queries: Hashes, owners: npt.NDArray[np.int32], most: int) -> npt.NDArray[np.int32]:
    """Of each row of queries and each owner of hashes the nearest pair, if within the index's distance.

    Memory is 9 bytes for each row and owner, and more for each pair that is found.

    Args:
        index: The index of n hashes.
        queries: (r, w) w hashes a row.
        owners: (n,) whose each hash of the index is, from 0.
        most: Owners of a row at most, the nearest.

    Returns:
        (k, 4) row, which of its queries, which hash, and their distance.
    """
    n_owners = int(owners.max(initial=-1)) + 1
    bits = np.full((len(queries), n_owners), index.max_distance + 1, np.uint8)
    places = np.empty((len(queries), n_owners, 2), np.int32)
    _look_up(index, queries, owners, bits, places)
    rows, found = np.nonzero(bits <= index.max_distance)
    result = np.column_stack([rows, places[rows, found], bits[rows, found]]).astype(np.int32)
    result = result[np.lexsort((result[:, 2], result[:, 3], result[:, 0]))]
    return result[np.arange(len(result)) - np.searchsorted(result[:, 0], result[:, 0]) < most]


@njit(nogil=True, cache=True)
def _look_up(
    index: HashIndex,
    queries: Hashes,
    owners: npt.NDArray[np.int32],
    bits: npt.NDArray[np.uint8],
    places: npt.NDArray[np.int32],
) -> None:
    """Writes the least distance of each row and owner where it is less than what ``bits`` has, and its two places."""
    low = np.uint64(index.starts.shape[1] - 2)
    for row in range(queries.shape[0]):
        for column in range(queries.shape[1]):
            query = queries[row, column]
            for band in range(len(index.shifts)):
                bucket = (query >> index.shifts[band]) & low
                for flip in index.flips[index.flip_starts[band] : index.flip_starts[band + 1]]:
                    near = bucket ^ flip
                    for at in range(index.starts[band, near], index.starts[band, near + np.uint64(1)]):
                        distance = popcount(query ^ index.hashes[band, at])
                        which = index.order[band, at]
                        if distance < bits[row, owners[which]]:
                            bits[row, owners[which]] = distance
                            places[row, owners[which], 0] = column
                            places[row, owners[which], 1] = which
