"""All pairs of 64-bit hashes within a Hamming distance, exactly, without comparing every pair.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012):
cut bands out of the 64 bits and give each a radius, so that the sum of ``radius + 1`` is more than the distance. Two
hashes within the distance then differ in no more bits than the radius in at least one band; otherwise they would
differ in too many overall. So for each band sort the hashes into buckets by its bits, and compare each bucket with
itself and with those whose number differs in up to ``radius`` bits. Buckets are visited in order, so memory is read in
streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, pairwise
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

HASH_BITS = 64
_MOST_BAND_BITS = 24
_SORT_COST, _VISIT_COST, _ROW_COST = 45, 7, 10
"""What sorting a hash into its bucket, visiting a pair of buckets and setting out to compare a hash with a bucket cost,
in comparisons of two hashes (0.6 ns): least squares of 18 times between 0.3 and 10 s, all met within 20 %."""
_PIECE = 1 << 14
"""Hashes whose buckets are joined in one go; only the pairs of a few such pieces are in memory at once."""
_ROOM = 16 * _PIECE
"""Pairs that a piece has room for at first; where there are more, it is joined once more."""


@dataclass(frozen=True)
class Band:
    """Bits ``shift`` to ``shift + bits`` of the hashes, and in how many of them near ones may differ."""

    shift: int
    bits: int
    radius: int

    @property
    def flips(self) -> Hashes:
        """(p,) what to xor with a bucket's number for each bucket within the radius, itself first."""
        chosen = chain.from_iterable(combinations(range(self.bits), size) for size in range(self.radius + 1))
        return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.uint64)

    @property
    def mask(self) -> int:
        """The bits of the band, in place."""
        return ((1 << self.bits) - 1) << self.shift


def choose_bands(n: int, max_distance: int) -> list[Band]:
    """The bands that find all pairs within ``max_distance`` among ``n`` hashes with the least work."""
    options = [
        _even_bands(number, bits, max_distance)
        for number in range(1, max_distance + 2)
        for bits in range(min(HASH_BITS // number, _MOST_BAND_BITS) + 1)
    ]
    return min(options, key=lambda bands: sum(_cost(n, band) for band in bands))


def pairs_within(hashes: Hashes, max_distance: int, threads: int = 1) -> Ints:
    """Every pair of hashes that differ in at most ``max_distance`` bits.

    Args:
        hashes: (n,) distinct hashes; equal ones must have been collapsed.
        max_distance: From 0 to 8; work grows steeply with it.
        threads: How many work at a time.

    Returns:
        (k, 2) indices ``i < j`` into ``hashes``, sorted, each pair once.
    """
    pairs = np.concatenate([np.empty((0, 2), np.int64), *pair_blocks(hashes, max_distance, threads)])
    # One number a pair sorts several times faster than rows of two.
    keys = (pairs[:, 0] << 32) | pairs[:, 1]
    keys.sort()
    pairs[:, 0], pairs[:, 1] = keys >> 32, keys & 0xFFFFFFFF
    return pairs


def pair_blocks(hashes: Hashes, max_distance: int, threads: int = 1) -> Iterator[Ints]:
    """The pairs of :func:`pairs_within` piece by piece: in memory are those of a few pieces, however many there are.

    A piece is at least one bucket, so 100,000 distinct hashes around one centre would still be too much.

    Args:
        hashes: (n,) distinct hashes, n below 2^31.
        max_distance: From 0 to 8.
        threads: How many work at a time. The blocks are the same with any number.

    Yields:
        (k, 2) indices ``i < j`` into ``hashes``; each pair is in one block only.
    """
    yield from joined(hashes, max_distance, choose_bands(len(hashes), max_distance), threads)


def joined(hashes: Hashes, max_distance: int, bands: list[Band], threads: int = 1) -> Iterator[Ints]:
    """:func:`pair_blocks` by given bands."""
    masks = np.array([band.mask for band in bands], np.uint64)
    radii = np.array([band.radius for band in bands], np.int64)
    with ThreadPoolExecutor(threads) as pool:
        for number, band in enumerate(bands):
            starts, order = sort_by_band(hashes, band.shift, band.bits)
            buckets = _Buckets(hashes[order], order, starts, band.flips, masks[:number], radii[:number])
            edges = np.unique([*np.searchsorted(starts, np.arange(0, len(hashes), _PIECE)), len(starts) - 1])
            join = partial(_piece, buckets, max_distance)
            pieces = list(pairwise(edges.tolist()))
            for at in range(0, len(pieces), 8 * threads):
                yield from pool.map(join, pieces[at : at + 8 * threads])


class _Buckets(NamedTuple):
    """The hashes by one band, and the bands that were before it, which have found what they find."""

    hashes: Hashes
    order: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    flips: Hashes
    earlier_masks: Hashes
    earlier_radii: Ints


def _piece(buckets: _Buckets, max_distance: int, edges: tuple[int, int]) -> Ints:
    """The pairs of the buckets from one edge to the other with those within the radius that come after them."""
    room = _ROOM
    while True:
        pairs = np.empty((room, 2), np.int64)
        found = _join(buckets, max_distance, *edges, pairs)
        if found <= room:
            return pairs[:found].copy()
        room = found


def _even_bands(number: int, bits: int, max_distance: int) -> list[Band]:
    radius, wider = divmod(max_distance + 1 - number, number)
    return [Band(i * bits, bits, radius + (i < wider)) for i in range(number)]


def _cost(n: int, band: Band) -> float:
    probes = sum(comb(band.bits, r) for r in range(band.radius + 1))
    buckets = 1 << band.bits
    return _SORT_COST * n + (_VISIT_COST * buckets + _ROW_COST * n + n * n / buckets) * probes / 2


@njit(nogil=True, cache=True)
def popcount(x: np.uint64) -> np.int64:
    """The bits set in ``x`` (Warren, "Hacker's Delight", figure 5-2); LLVM makes one instruction of it."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(nogil=True, cache=True)
def in_any(differing: np.uint64, masks: Hashes, radii: Ints) -> bool:
    """Whether one of these bands finds a pair of hashes that differ in the bits ``differing``."""
    for band in range(len(masks)):  # noqa: SIM110 - generators are not compiled
        if popcount(differing & masks[band]) <= radii[band]:
            return True
    return False


@njit(nogil=True, cache=True)
def sort_by_band(hashes: Hashes, shift: int, bits: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """First place of each bucket (2^bits + 1,) and the indices (n,) int32 of the hashes by bucket."""
    low = np.uint64((1 << bits) - 1)
    starts = np.zeros((1 << bits) + 1, np.int32)
    for h in hashes:
        starts[((h >> np.uint64(shift)) & low) + np.uint64(1)] += 1
    starts = np.cumsum(starts).astype(np.int32)
    free = starts[:-1].copy()
    order = np.empty(len(hashes), np.int32)
    for i in range(len(hashes)):
        bucket = (hashes[i] >> np.uint64(shift)) & low
        order[free[bucket]] = i
        free[bucket] += 1
    return starts, order


@njit(nogil=True, cache=True)
def _join(buckets: _Buckets, max_distance: int, first: int, last: int, pairs: Ints) -> int:
    """Counts the pairs of the buckets from ``first`` to before ``last``; writes as many as have room in ``pairs``."""
    hashes, order, starts = buckets.hashes, buckets.order, buckets.starts
    found = 0
    for bucket in range(first, last):
        begin, end = starts[bucket], starts[bucket + 1]
        if begin == end:
            continue
        for flip in buckets.flips:
            other = np.int64(np.uint64(bucket) ^ flip)
            if other < bucket:
                continue
            other_begin, other_end = starts[other], starts[other + 1]
            for a in range(begin, end):
                for b in range(a + 1 if flip == 0 else other_begin, other_end):
                    differing = hashes[a] ^ hashes[b]
                    if popcount(differing) > max_distance:
                        continue
                    if in_any(differing, buckets.earlier_masks, buckets.earlier_radii):
                        continue
                    if found < len(pairs):
                        pairs[found, 0] = min(order[a], order[b])
                        pairs[found, 1] = max(order[a], order[b])
                    found += 1
    return found
