from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.dedupe.hamming import Band, choose_bands, joined, pair_blocks, pairs_within, popcount


def brute_force(hashes: np.ndarray, max_distance: int) -> list[list[int]]:
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= max_distance
    return np.argwhere(np.triu(near, 1)).tolist()


@st.composite
def clustered_hashes(draw: st.DrawFn) -> np.ndarray:
    """Distinct hashes, many of them a few bits away from one another."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
    flips = st.lists(st.integers(0, 63), max_size=10)
    members = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=40))
    hashes = set(centres)
    for centre, bits in members:
        hashes.add(centre ^ sum(1 << bit for bit in set(bits)))
    return np.array(draw(st.permutations(sorted(hashes))), np.uint64)


def skewed(n: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct hashes, most of them a few bits around a few centres."""
    hashes = rng.choice(rng.integers(0, 2**64, 3, dtype=np.uint64), n)
    for _ in range(4):
        hashes ^= rng.integers(0, 2, n).astype(np.uint64) << rng.integers(0, 64, n).astype(np.uint64)
    return rng.permutation(np.unique(hashes))


@given(clustered_hashes(), st.integers(0, 8))
def test_pairs_are_those_of_brute_force(hashes: np.ndarray, max_distance: int) -> None:
    assert pairs_within(hashes, max_distance).tolist() == brute_force(hashes, max_distance)


@given(clustered_hashes(), st.sampled_from([10**4, 10**5, 10**6, 4 * 10**6]), st.integers(1, 8))
def test_bands_for_many_hashes_find_all_pairs_once(hashes: np.ndarray, n: int, max_distance: int) -> None:
    chosen = choose_bands(n, max_distance)
    narrow = min(10, chosen[0].bits)  # few buckets, to be fast; any disjoint bands do
    bands = [Band(i * narrow, narrow, band.radius) for i, band in enumerate(chosen)]
    blocks = [np.empty((0, 2), np.int64), *joined(hashes, max_distance, bands)]
    assert sorted(np.concatenate(blocks).tolist()) == brute_force(hashes, max_distance)


@pytest.mark.parametrize("max_distance", [1, 4, 5, 8])
def test_many_random_hashes_with_planted_neighbours(max_distance: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 1500, dtype=np.uint64)
    flipped = hashes[:100] ^ np.uint64((1 << max_distance) - 1 << 30)
    hashes = np.unique(np.concatenate([hashes, flipped]))
    pairs = pairs_within(hashes, max_distance)
    assert len(pairs) >= 100
    assert pairs.tolist() == brute_force(hashes, max_distance)


@pytest.mark.parametrize("max_distance", [3, 5, 8])
def test_every_planted_pair_of_many_hashes_is_found(max_distance: int) -> None:
    rng = np.random.default_rng(max_distance)
    hashes = rng.integers(0, 2**64, 200_000, dtype=np.uint64)
    flips = [rng.choice(64, rng.integers(1, max_distance + 1), replace=False).astype(np.uint64) for _ in range(2000)]
    near = hashes[:2000] ^ np.array([np.bitwise_or.reduce(np.uint64(1) << bits) for bits in flips])
    pairs = pairs_within(np.concatenate([hashes, near]), max_distance)
    found = {(i, j) for i, j in pairs.tolist()}
    assert {(i, 200_000 + i) for i in range(2000)} <= found
    assert len(found) == len(pairs)


@pytest.mark.parametrize("max_distance", [1, 5, 8])
def test_hashes_near_a_few_centres(max_distance: int) -> None:
    hashes = skewed(3000, np.random.default_rng(1))
    pairs = pairs_within(hashes, max_distance)
    assert len(pairs) > 100
    assert pairs.tolist() == brute_force(hashes, max_distance)


def test_pairs_come_in_pieces() -> None:
    blocks = list(pair_blocks(skewed(60_000, np.random.default_rng(2)), 3))
    assert len(blocks) > 5
    assert max(map(len, blocks)) < sum(map(len, blocks)) / 2


@given(clustered_hashes(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_order_and_threads_do_not_matter(hashes: np.ndarray, max_distance: int, rng: random.Random) -> None:
    one, four = (list(pair_blocks(hashes, max_distance, threads)) for threads in (1, 4))
    assert [block.tolist() for block in one] == [block.tolist() for block in four]
    order = list(range(len(hashes)))
    rng.shuffle(order)
    pairs = pairs_within(hashes[order], max_distance)
    back = np.sort(np.array(order)[pairs], axis=1).reshape(-1, 2)
    assert sorted(back.tolist()) == pairs_within(hashes, max_distance).tolist()


@pytest.mark.parametrize("n", [10, 10**3, 10**5, 10**6, 24 * 10**6])
@pytest.mark.parametrize("max_distance", range(9))
def test_bits_that_differ_are_few_in_some_band(n: int, max_distance: int) -> None:
    bands = choose_bands(n, max_distance)
    assert sum(band.radius + 1 for band in bands) > max_distance
    masks = [band.mask for band in bands]
    assert sum(masks) < 2**64
    assert all(a & b == 0 for i, a in enumerate(masks) for b in masks[:i])


def test_flips_are_all_masks_within_the_radius() -> None:
    assert Band(shift=5, bits=4, radius=1).flips.tolist() == [0, 1, 2, 4, 8]
    assert sorted(Band(shift=0, bits=3, radius=2).flips.tolist()) == [0, 1, 2, 3, 4, 5, 6]
    assert Band(shift=0, bits=0, radius=8).flips.tolist() == [0]


@given(st.integers(0, 2**64 - 1))
def test_popcount(x: int) -> None:
    assert popcount(np.uint64(x)) == x.bit_count()


def test_few_hashes_have_no_pairs() -> None:
    assert pairs_within(np.array([], np.uint64), 4).shape == (0, 2)
    assert pairs_within(np.array([7], np.uint64), 4).shape == (0, 2)
