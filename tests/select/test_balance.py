from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.select.balance import highest_ranks, ranks, taken

Groups = list[list[str]]


def take(groups: Groups, cap: int, pieces: int = 1, seed: int = 0) -> set[int]:
    """Numbers of the figures that are taken, the figures coming in so many pieces."""
    its_ranks = ranks((f"figure {n}" for n in range(len(groups))), seed)
    members = [n for piece in range(pieces) for n in range(piece, len(groups), pieces) for _ in groups[n]]
    codes = [ord(group) for piece in range(pieces) for n in range(piece, len(groups), pieces) for group in groups[n]]
    found = highest_ranks(np.array(codes, np.int32), its_ranks[np.array(members, int)], cap)
    highest = {chr(code): rank for code, rank in found.items()}
    return {n for n, its_groups in enumerate(groups) if taken(int(its_ranks[n]), its_groups, highest)}


@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, unique=True), max_size=60),
    st.integers(1, 20),
    st.integers(1, 5),
)
def test_no_group_is_over_the_cap_and_what_is_in_no_such_group_stays(groups: Groups, cap: int, pieces: int) -> None:
    chosen = take(groups, cap, pieces)
    sizes = Counter(group for its_groups in groups for group in its_groups)
    left = Counter(group for n in chosen for group in groups[n])
    assert all(count <= cap for count in left.values())
    small = {n for n, its_groups in enumerate(groups) if all(sizes[group] <= cap for group in its_groups)}
    assert small <= chosen
    assert chosen == take(groups, cap)


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 20))
def test_where_each_is_in_one_group_each_has_the_cap_exactly(groups: list[str], cap: int) -> None:
    left = Counter(groups[n] for n in take([[group] for group in groups], cap))
    assert left == {group: min(cap, count) for group, count in Counter(groups).items()}


def test_another_seed_takes_others_and_the_same_seed_the_same() -> None:
    groups = [["a"]] * 100
    first, again, other = take(groups, 50), take(groups, 50), take(groups, 50, seed=1)
    assert first == again != other
    assert 10 < len(first & other) < 40


def test_a_smaller_cap_takes_a_part_of_a_larger_one() -> None:
    groups = [["a"], ["b"]] * 40
    assert take(groups, 5) < take(groups, 20)
