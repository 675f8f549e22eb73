from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.dedupe.hamming import pairs_within
from biomedica_ray.dedupe.shuffle import choose_masks, copies_by_band, near_within_buckets, pair_blocks_by_shuffle


def planted(n: int, max_distance: int) -> np.ndarray:
    """Sorted random hashes, and some that differ from others in ``max_distance`` bits or in one more, anywhere."""
    rng = np.random.default_rng(max_distance)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    flips = [
        sum(1 << int(bit) for bit in rng.choice(64, max_distance + extra, replace=False))
        for extra in (0, 1)
        for _ in range(n // 10)
    ]
    return np.unique(np.concatenate([hashes, hashes[: len(flips)] ^ np.array(flips, np.uint64)]))


def in_parts(hashes: np.ndarray, max_distance: int, masks: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """What the shuffle does, without a cluster: rows with the same mask and bits come to the same part."""
    copies = copies_by_band(pa.table({"hash": hashes}), masks)
    part = (copies["bits"].to_numpy() % np.uint64(1009) + copies["mask"].to_numpy().astype(np.uint64)) % np.uint64(
        parts
    )
    found: list[tuple[int, int]] = []
    for number in range(parts):
        near = near_within_buckets(copies.filter(pa.array(part == number)), masks, max_distance)
        found += zip(near["a"].to_pylist(), near["b"].to_pylist(), strict=True)
    return found


@pytest.mark.parametrize("max_distance", range(1, 9))
def test_parts_find_each_pair_once(max_distance: int) -> None:
    hashes = planted(1000, max_distance)
    found = in_parts(hashes, max_distance, choose_masks(len(hashes), max_distance), 5)
    wanted = hashes[pairs_within(hashes, max_distance)]
    assert len(wanted) >= 100
    assert sorted(found) == sorted(map(tuple, wanted.tolist()))


@settings(deadline=None)
@given(st.sets(st.integers(0, 2**12 - 1), max_size=40), st.integers(1, 8), st.sampled_from([2, 10**5, 10**9]))
def test_any_choice_of_bands_finds_the_same(values: set[int], max_distance: int, n: int) -> None:
    spread = [sum((value >> bit & 1) << (5 * bit) for bit in range(12)) for value in values]
    hashes = np.array(sorted(spread), np.uint64)
    masks = choose_masks(n, max_distance)[:200] if max_distance > 4 else choose_masks(n, max_distance)
    complete = len(masks) == len(choose_masks(n, max_distance))
    found = in_parts(hashes, max_distance, masks, 3)
    wanted = set(map(tuple, hashes[pairs_within(hashes, max_distance)].tolist()))
    assert len(found) == len(set(found))
    assert set(found) == wanted if complete else set(found) <= wanted


@pytest.mark.parametrize("n", [10, 10**6, 10**9])
@pytest.mark.parametrize("max_distance", range(1, 9))
def test_any_bits_that_differ_leave_a_mask_untouched(n: int, max_distance: int) -> None:
    masks = choose_masks(n, max_distance)
    rng = np.random.default_rng(n)
    for _ in range(30):
        differing = np.uint64(sum(1 << int(bit) for bit in rng.choice(64, max_distance, replace=False)))
        assert np.any(masks & differing == 0)


@pytest.mark.cluster
def test_on_a_cluster(ray_cluster: None) -> None:
    hashes = planted(2000, 8)
    blocks = list(pair_blocks_by_shuffle(hashes, 8, copies_per_task=5000))
    pairs = sorted(np.concatenate(blocks).tolist())
    assert len(pairs) >= 200
    assert len(blocks) > 1
    assert pairs == pairs_within(hashes, 8).tolist()
    assert list(pair_blocks_by_shuffle(hashes[:1], 8)) == list(pair_blocks_by_shuffle(hashes, 0)) == []
