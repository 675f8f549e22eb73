from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.train.order import Segment, Share, batch_sizes, buffered_order, segments, share


def test_share_of_seven_samples_for_three_workers() -> None:
    assert [share(7, rank, 3) for rank in range(3)] == [Share(0, 3, 2), Share(2, 3, 2), Share(4, 3, 3)]


def test_fewer_samples_than_workers_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 samples for 3 workers"):
        share(2, 0, 3)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 5), st.integers(0, 3))
def test_workers_cover_every_sample_once_but_for_the_overlap(
    sizes: list[int], workers: int, seed: int, epoch: int
) -> None:
    n = sum(sizes)
    if n < workers:
        return
    owned, seen = [], []
    for rank in range(workers):
        part = share(n, rank, workers)
        slots = [
            (segment.shard, number)
            for segment in segments(sizes, part, seed=seed, epoch=epoch)
            for number in range(segment.start, segment.stop)
        ]
        assert len(slots) == part.length
        owned += slots[: part.own]
        seen += slots
    everything = [(shard, number) for shard, size in enumerate(sizes) for number in range(size)]
    assert sorted(owned) == everything
    assert len(seen) - n < workers


def test_segments_wrap_around_at_the_end_of_the_pass() -> None:
    order = [0, 1, 2]
    random.Random("0/0").shuffle(order)
    sizes = [4, 4, 4]
    found = segments(sizes, Share(10, 4, 2), seed=0, epoch=0)
    assert found == [Segment(order[2], 2, 4), Segment(order[0], 0, 2)]


def test_order_of_shards_differs_between_passes_and_seeds() -> None:
    part = share(40, 0, 1)
    orders = [
        tuple(segment.shard for segment in segments([1] * 40, part, seed=seed, epoch=epoch))
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert len(set(orders)) == 3


@given(st.integers(0, 60), st.integers(1, 70), st.text(max_size=4))
def test_shuffle_buffer_gives_each_slot_once_and_none_before_it_is_read(n: int, buffer: int, seed: str) -> None:
    order = list(buffered_order(n, buffer, seed))
    assert sorted(order) == list(range(n))
    assert all(slot < place + buffer for place, slot in enumerate(order))
    assert order == list(buffered_order(n, buffer, seed))


def test_a_buffer_of_one_does_not_shuffle() -> None:
    assert list(buffered_order(5, 1, "x")) == [0, 1, 2, 3, 4]


@given(st.integers(1, 500), st.integers(1, 50))
def test_batches_are_full_count_and_equal_within_one(n: int, batch: int) -> None:
    sizes = batch_sizes(n, batch)
    assert sum(sizes) == n
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-n // batch)
