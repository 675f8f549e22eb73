from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.dedupe.groups import best_alike
from biomedica_ray.dedupe.thumbnails import correlation

LOOKS = np.random.default_rng(0).integers(0, 256, (4, 1024)).astype(np.uint8)
LOOKS[3] = 255


def follow(hashes: list[int], looks: list[int], max_distance: int, owners: list[int] | None = None) -> list[int]:
    of = None if owners is None else np.array(owners, np.int64)
    return best_alike(np.array(hashes, np.uint64), max_distance, LOOKS[looks], 0.95, of).tolist()


def reference(hashes: list[int], looks: list[int], max_distance: int, owners: list[int]) -> list[int]:
    """The same, written as it is said: image by image over all that are kept."""
    best = list(range(len(hashes)))
    for image in range(len(hashes)):
        for kept in range(image):
            near = (hashes[image] ^ hashes[kept]).bit_count() <= max_distance
            alike = correlation(LOOKS[looks[image]], LOOKS[looks[kept]]) >= 0.95
            if best[kept] == kept and owners[kept] != owners[image] and near and alike:
                best[image] = kept
                break
    return best


IMAGES = st.lists(
    st.tuples(
        st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]),
        st.lists(st.integers(0, 63), max_size=6),
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    max_size=30,
)


@given(IMAGES, st.integers(0, 8))
def test_it_is_the_simple_loop(images: list[tuple[int, list[int], int, int]], max_distance: int) -> None:
    hashes = [centre ^ sum(1 << bit for bit in set(bits)) for centre, bits, *_ in images]
    looks, owners = [look for *_, look, _ in images], [owner for *_, owner in images]
    assert follow(hashes, looks, max_distance, owners) == reference(hashes, looks, max_distance, owners)
    assert follow(hashes, looks, max_distance) == reference(hashes, looks, max_distance, list(range(len(hashes))))


def test_a_chain_is_split() -> None:
    chain = [0b1111 << 4 * step for step in range(6)]
    hashes = [sum(chain[:length]) for length in range(7)]
    assert follow(hashes, [0] * 7, 4) == [0, 0, 2, 2, 4, 4, 6]


def test_the_best_of_the_near_ones_is_taken_though_another_is_nearer() -> None:
    assert follow([0b11110000, 0b1, 0b11], [0, 0, 0], 6) == [0, 0, 0]
    assert follow([0b11111, 0b0, 0b1], [0, 0, 0], 4) == [0, 1, 0]


def test_what_has_the_same_owner_is_passed_over_for_the_next() -> None:
    assert follow([0b0, 0b1, 0b11], [0, 0, 0], 4, [7, 8, 7]) == [0, 0, 2]
    assert follow([0b1111, 0b0, 0b11], [0, 0, 0], 4, [7, 7, 7]) == [0, 1, 2]
    assert follow([0b1111, 0b110000, 0b0], [0, 0, 0], 4, [7, 8, 7]) == [0, 1, 1]


def test_blank_ones_repeat_nothing() -> None:
    assert follow([5, 5, 5], [3, 3, 3], 4) == [0, 1, 2]


def test_many_hashes_in_several_bands() -> None:
    rng = np.random.default_rng(3)
    hashes = np.repeat(rng.integers(0, 2**64, 10_000, dtype=np.uint64), 2)
    hashes[1::2] ^= np.uint64(0b1001) << rng.integers(0, 60, 10_000).astype(np.uint64)
    best = best_alike(hashes, 2, np.repeat(LOOKS[:1], 20_000, axis=0), 0.95)
    assert best.tolist() == np.repeat(np.arange(0, 20_000, 2), 2).tolist()
