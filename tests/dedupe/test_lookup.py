from __future__ import annotations

import numpy as np
import pytest

from biomedica_ray.dedupe.lookup import build_index, nearest


@pytest.mark.parametrize("distance", [0, 3, 8])
@pytest.mark.parametrize("n", [1, 40, 3000])
def test_as_comparing_each_with_each(n: int, distance: int) -> None:
    rng = np.random.default_rng(n)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    owners = rng.integers(0, max(n // 3, 1), n).astype(np.int32)
    queries = rng.integers(0, 2**64, (8, 6), dtype=np.uint64)
    for row in range(8):  # a hash that differs in so many bits, and one that differs in one more
        for column, bits in enumerate((row, distance, distance + 1)):
            flipped = sum(1 << int(bit) for bit in rng.choice(64, bits, replace=False))
            queries[row, column] = hashes[rng.integers(n)] ^ np.uint64(flipped)
    wanted = {}
    away = np.bitwise_count(queries[:, :, None] ^ hashes)
    for row, column, which in zip(*np.nonzero(away <= distance), strict=True):
        key = int(row), int(owners[which])
        wanted[key] = min(wanted.get(key, 64), int(away[row, column, which]))
    found = nearest(build_index(hashes, distance), queries, owners, 100)
    assert {(int(row), int(owners[which])): int(bits) for row, _, which, bits in found} == wanted
    assert len(found) == len(wanted) > 0
    assert all(away[row, column, which] == bits for row, column, which, bits in found)


def test_the_nearest_owners_of_each_row() -> None:
    hashes = np.array([0b1, 0b11, 0b111, 0b1, 0b1111], np.uint64)
    found = nearest(build_index(hashes, 8), np.zeros((2, 1), np.uint64), np.array([0, 1, 2, 2, 3], np.int32), 2)
    assert found.tolist() == [[0, 0, 0, 1], [0, 0, 3, 1], [1, 0, 0, 1], [1, 0, 3, 1]]


def test_nothing_to_look_in_and_nothing_to_look_for() -> None:
    none = np.empty(0, np.uint64)
    assert nearest(build_index(none, 8), np.zeros((2, 1), np.uint64), np.empty(0, np.int32), 2).shape == (0, 4)
    index = build_index(np.array([1], np.uint64), 8)
    assert nearest(index, np.empty((0, 5), np.uint64), np.zeros(1, np.int32), 2).shape == (0, 4)
