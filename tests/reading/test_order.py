from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.reading.order import (
    Rows,
    Segment,
    Share,
    batch_digest,
    buffered_order,
    rows_of_worker,
    segments,
    share,
)


def test_share_of_seven_samples_for_three_lanes() -> None:
    assert [share(7, lane, 3) for lane in range(3)] == [Share(0, 3, 2), Share(2, 3, 2), Share(4, 3, 3)]


def test_fewer_samples_than_lanes_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 samples for 3 lanes"):
        share(2, 0, 3)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 5), st.integers(0, 3))
def test_lanes_cover_every_sample_once_but_for_the_overlap(sizes: list[int], lanes: int, seed: int, epoch: int) -> None:
    n = sum(sizes)
    if n < lanes:
        return
    owned, seen = [], []
    for lane in range(lanes):
        part = share(n, lane, lanes)
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
    assert len(seen) - n < lanes


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


def test_rows_of_a_lane_that_two_workers_share() -> None:
    assert [rows_of_worker(rank, 3, 2, 6) for rank in range(3)] == [
        [Rows(0, 0, 4)],
        [Rows(0, 4, 6), Rows(1, 0, 2)],
        [Rows(1, 2, 6)],
    ]
    with pytest.raises(ValueError, match="5 workers cannot share the 12 samples of a step"):
        rows_of_worker(0, 5, 2, 6)


@given(st.integers(1, 6), st.integers(1, 12), st.data())
def test_workers_share_all_rows_evenly_and_in_order(lanes: int, piece: int, data: st.DataObject) -> None:
    total = lanes * piece
    workers = data.draw(st.sampled_from([n for n in range(1, total + 1) if total % n == 0]))
    found = [rows_of_worker(rank, workers, lanes, piece) for rank in range(workers)]
    assert {sum(rows.stop - rows.start for rows in own) for own in found} == {total // workers}
    rows = [(part.lane, row) for own in found for part in own for row in range(part.start, part.stop)]
    assert rows == [(lane, row) for lane in range(lanes) for row in range(piece)]


@given(st.lists(st.text(max_size=3), min_size=1, max_size=12), st.integers(0, 12))
def test_digests_of_parts_add_up(keys: list[str], cut: int) -> None:
    whole = batch_digest(keys, 0)
    assert (batch_digest(keys[:cut], 0) + batch_digest(keys[cut:], min(cut, len(keys))) - whole) % 2**64 == 0
    assert -(2**63) <= whole < 2**63


def test_digest_tells_order_and_samples() -> None:
    assert len({batch_digest(keys, 0) for keys in (["a", "b"], ["b", "a"], ["a", "c"], ["a"])}) == 4
