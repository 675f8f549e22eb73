"""All pairs of 64-bit hashes within a Hamming distance, exactly, without comparing every pair.

Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling" (WWW 2007), section 3: cut the 64 bits into
``d + r`` blocks. Two hashes that differ in at most ``d`` bits agree in at least ``r`` whole blocks. So for each choice
of ``r`` blocks, sort by these bits and compare only hashes that agree in all of them.
"""

from __future__ import annotations

from itertools import combinations, count, pairwise
from math import comb

import numpy as np
import numpy.typing as npt

HASH_BITS = 64
_SORT_COST = 5
"""Sorting costs about as much a hash as comparing this many pairs (measured on a million random hashes)."""


def pairs_within(hashes: npt.NDArray[np.uint64], max_distance: int) -> npt.NDArray[np.int64]:
    """Every pair of hashes that differ in at most ``max_distance`` bits.

    Args:
        hashes: (n,) distinct hashes; equal ones must have been collapsed.
        max_distance: From 0 to 8; work grows steeply with it.

    Returns:
        (k, 2) indices ``i < j`` into ``hashes``, sorted, each pair once.
    """
    n = len(hashes)
    if n < 2 or max_distance == 0:
        return np.empty((0, 2), np.int64)
    found = [_agreeing_pairs(hashes, mask, max_distance) for mask in _masks(n, max_distance)]
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def distances(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    """Hamming distances of two arrays of hashes, element by element."""
    differing: npt.NDArray[np.int32] = np.bitwise_count(a ^ b).astype(np.int32)
    return differing


def _masks(n: int, max_distance: int) -> list[np.uint64]:
    """The masks of every choice of blocks; as many blocks as make sorting and comparing ``n`` hashes cheapest."""

    def cost(agreeing: int) -> float:
        bits = HASH_BITS * agreeing / (max_distance + agreeing)
        return comb(max_distance + agreeing, agreeing) * (_SORT_COST + n / 2**bits)

    agreeing = min(range(1, 7), key=cost)
    edges = np.linspace(0, HASH_BITS, max_distance + agreeing + 1).round().astype(int)
    blocks = [(1 << int(stop)) - (1 << int(start)) for start, stop in pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in combinations(blocks, agreeing)]


def _agreeing_pairs(hashes: npt.NDArray[np.uint64], mask: np.uint64, max_distance: int) -> npt.NDArray[np.int64]:
    """The pairs within the distance that agree in all bits of ``mask``; (k, 2) indices in no order."""
    order = np.argsort(hashes & mask)
    ordered = hashes[order]
    keys = ordered & mask
    left = np.arange(len(hashes))
    found = [np.empty((0, 2), np.int64)]
    for shift in count(1):
        left = left[left < len(hashes) - shift]
        left = left[keys[left] == keys[left + shift]]
        if not len(left):
            return np.concatenate(found)
        near = left[distances(ordered[left], ordered[left + shift]) <= max_distance]
        found.append(np.stack([order[near], order[near + shift]], axis=1))
    raise AssertionError("unreachable: every run of equal keys ends")
