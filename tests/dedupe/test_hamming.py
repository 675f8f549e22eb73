from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.dedupe.hamming import _masks, pairs_within


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


@given(clustered_hashes(), st.integers(0, 8))
def test_pairs_are_those_of_brute_force(hashes: np.ndarray, max_distance: int) -> None:
    assert pairs_within(hashes, max_distance).tolist() == brute_force(hashes, max_distance)


@pytest.mark.parametrize("max_distance", [1, 4, 8])
def test_many_random_hashes_with_planted_neighbours(max_distance: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 1500, dtype=np.uint64)
    flipped = hashes[:100] ^ np.uint64((1 << max_distance) - 1 << 30)
    hashes = np.unique(np.concatenate([hashes, flipped]))
    pairs = pairs_within(hashes, max_distance)
    assert len(pairs) >= 100
    assert pairs.tolist() == brute_force(hashes, max_distance)


@pytest.mark.parametrize("n", [10, 10**5, 3 * 10**7])
@pytest.mark.parametrize("max_distance", range(1, 9))
def test_any_bits_that_differ_leave_a_mask_untouched(n: int, max_distance: int) -> None:
    masks = [int(mask) for mask in _masks(n, max_distance)]
    rng = np.random.default_rng(n)
    for _ in range(50):
        differing = sum(1 << int(bit) for bit in rng.choice(64, max_distance, replace=False))
        assert any(mask & differing == 0 for mask in masks)


def test_few_hashes_have_no_pairs() -> None:
    assert pairs_within(np.array([], np.uint64), 4).shape == (0, 2)
    assert pairs_within(np.array([7], np.uint64), 4).shape == (0, 2)
