from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.serialize.shard_plan import KINDS, Cut, Recut, Samples, Shard, concatenated, recut

NONE = Cut(concatenated([]), np.empty(0, np.int32))
Sample = tuple[int, int, int, int]
"""Unit, row, state and article."""


def samples(rows: Iterable[Sample]) -> Samples:
    columns = list(zip(*sorted(rows), strict=True)) or [()] * 4
    dtypes = (np.int32, np.int32, np.uint64, np.uint64)
    return Samples(*(np.array(values, dtype) for values, dtype in zip(columns, dtypes, strict=True)))


def again(wanted: Iterable[Sample], before: Cut = NONE, **keys: object) -> Recut:
    """Four samples a shard, of which one may be outdated; all shards of before are there."""
    rows = sorted(wanted)
    withheld = keys.pop("withheld", ())
    defaults = {
        "valid": np.ones(len(before.shard), np.bool_),
        "whole": np.array([row[3] not in withheld for row in rows], np.bool_),
        "written": set(before.shard.tolist()),
        "samples_per_shard": 4,
        "max_outdated": 0.25,
    }
    return recut(samples(rows), before, **{**defaults, **keys})


def shards(cut: Cut) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for shard, unit, row in zip(cut.shard.tolist(), cut.samples.unit.tolist(), cut.samples.row.tolist(), strict=True):
        found.setdefault(shard, []).append((unit, row))
    return found


UNITS = [(unit, row, 1, 10 * unit + row // 2) for unit in range(3) for row in range(4)]
"""Three units of two articles with two samples each."""


def test_a_new_dataset_is_cut_in_order() -> None:
    cut = again([row for row in UNITS if row[:2] != (1, 1)]).cut
    assert shards(cut) == {
        0: [(0, 0), (0, 1), (0, 2), (0, 3)],
        1: [(1, 0), (1, 2), (1, 3), (2, 0)],
        2: [(2, 1), (2, 2), (2, 3)],
    }
    assert cut.next_index == 3


def test_names_and_numbers() -> None:
    shard = Shard("noncommercial", "test", 7, 4)
    assert shard.path("webdataset", "tar") == "webdataset/noncommercial/test/noncommercial-test-000007.tar"
    assert shard.number == 7 * len(KINDS) + 5


def test_what_must_go_has_its_shard_written_anew_under_another_name_and_new_samples_fill_it() -> None:
    first = again(UNITS).cut
    second = again([*(row for row in UNITS if row[:2] != (1, 2)), (3, 0, 1, 30), (3, 1, 1, 30)], first)
    assert shards(second.cut) == {
        0: [(0, 0), (0, 1), (0, 2), (0, 3)],
        2: [(2, 0), (2, 1), (2, 2), (2, 3)],
        3: [(1, 0), (1, 1), (1, 3), (3, 0)],
        4: [(3, 1)],
    }
    assert (second.outdated, second.waiting) == (0, 0)
    third = again([*(row for row in UNITS if row[:2] != (1, 2)), *((3, row, 1, 30) for row in range(3))], second.cut)
    assert shards(third.cut)[5] == [(3, 1), (3, 2)], "the last one is filled up"
    assert shards(third.cut).keys() == {0, 2, 3, 5}


def test_a_later_version_waits_until_more_of_its_shard_is_outdated() -> None:
    first = again(UNITS).cut
    later = [row for row in UNITS if row[3] != 10]
    two = [(5, 0, 1, 10), (5, 1, 1, 10)]
    second = again([*later, *two], first, max_outdated=0.5)
    assert shards(second.cut) == shards(first)
    assert (second.outdated, second.waiting) == (2, 2)
    assert again([*later, *two], second.cut, max_outdated=0.5).cut.next_index == 3
    more = again([*later, *two], second.cut, max_outdated=0.4)
    assert shards(more.cut) == {
        0: [(0, 0), (0, 1), (0, 2), (0, 3)],
        2: [(2, 0), (2, 1), (2, 2), (2, 3)],
        3: [(1, 2), (1, 3), (5, 0), (5, 1)],
    }
    assert (more.outdated, more.waiting) == (0, 0)
    lost = again([*later, *two], first, max_outdated=0.5, written={0, 2})
    assert shards(lost.cut) == shards(more.cut), "a shard that has to be made anyway is made as of now"


def test_a_last_shard_with_room_stays_while_all_that_is_new_waits() -> None:
    first = again([*UNITS, (3, 0, 1, 30)]).cut
    second = again([*(row for row in UNITS if row[3] != 10), (3, 0, 1, 30), (5, 0, 1, 10)], first, max_outdated=0.5)
    assert shards(second.cut) == shards(first)
    assert second.waiting == 1


@pytest.mark.parametrize("case", ["withheld", "another figure", "another kind"])
def test_what_must_go_does_not_stay_as_an_earlier_version(case: str) -> None:
    first = again(UNITS).cut
    later = [row for row in UNITS if row[3] != 10]
    if case == "withheld":
        second = again([*later, (5, 0, 1, 10)], first, max_outdated=0.9, withheld={10})
        assert (5, 0) in shards(second.cut)[3]
    elif case == "another figure":
        second = again([row for row in UNITS if row[:2] != (1, 1)], first, max_outdated=0.9)
    else:
        second = again(later, first, max_outdated=0.9)
    assert shards(second.cut).keys() == {0, 2, 3}
    assert second.outdated == 0


def test_an_article_in_two_shards_is_outdated_in_both_or_in_none() -> None:
    rows = [(0, row, 1, article) for row, article in enumerate([1, 1, 2, 3, 3, 4, 4, 4])]
    first = again(rows).cut
    wanted = [*(row for row in rows if row[3] != 3), (5, 0, 1, 3), (5, 1, 1, 3)]
    assert again(wanted, first).outdated == 2
    second = again([row for row in wanted if row[:2] != (0, 7)], first)
    assert (second.outdated, second.waiting) == (0, 0)
    assert shards(second.cut) == {2: [(0, 0), (0, 1), (0, 2), (5, 0)], 3: [(0, 5), (0, 6), (5, 1)]}


def test_samples_that_would_be_written_otherwise_now() -> None:
    first = again(UNITS).cut
    one = again([(unit, row, 2 if (unit, row) == (0, 1) else state, of) for unit, row, state, of in UNITS], first)
    assert shards(one.cut) == shards(first)
    assert one.cut.samples.state.tolist() == first.samples.state.tolist(), "it still says how the shard was written"
    assert one.outdated == 0
    all_ = again([(unit, row, 2, of) for unit, row, _, of in UNITS], first)
    assert list(shards(all_.cut).values()) == list(shards(first).values())
    assert shards(all_.cut).keys() == {3, 4, 5}
    assert set(all_.cut.samples.state.tolist()) == {2}


def test_the_rows_of_a_unit_whose_files_are_others_are_others() -> None:
    first = again(UNITS).cut
    second = again(UNITS, first, valid=first.samples.unit != 1)
    assert shards(second.cut) == {
        0: [(0, 0), (0, 1), (0, 2), (0, 3)],
        2: [(2, 0), (2, 1), (2, 2), (2, 3)],
        3: [(1, 0), (1, 1), (1, 2), (1, 3)],
    }


SAMPLE = st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(1, 2), st.integers(0, 8))
WANTED = st.lists(SAMPLE, max_size=40, unique_by=lambda sample: sample[:2])


@settings(max_examples=300, deadline=None)
@given(st.lists(WANTED, min_size=1, max_size=4), st.sampled_from([0.0, 0.3, 0.6]))
def test_every_sample_is_there_once_or_waits_for_its_earlier_version(
    updates: list[list[Sample]], max_outdated: float
) -> None:
    cut = NONE
    for wanted in updates:
        found = again(wanted, cut, max_outdated=max_outdated)
        planned = list(zip(found.cut.samples.unit.tolist(), found.cut.samples.row.tolist(), strict=True))
        assert len(set(planned)) == len(planned)
        keys = {sample[:2]: sample[3] for sample in wanted}
        missing, extra = keys.keys() - set(planned), set(planned) - keys.keys()
        assert (len(missing), len(extra)) == (found.waiting, found.outdated)
        articles = dict(zip(planned, found.cut.samples.article.tolist(), strict=True))
        assert {keys[key] for key in missing} <= {articles[key] for key in extra}
        before, after = shards(cut), shards(found.cut)
        assert all(len(shard) <= 4 for shard in after.values())
        assert all(before[index] == after[index] for index in before.keys() & after.keys())
        for index, members in after.items():
            old = [key for key in members if key not in keys]
            assert not old or len(old) <= max_outdated * len(members), index
        same = again(wanted, found.cut, max_outdated=max_outdated)
        assert shards(same.cut) == after
        assert same.cut.next_index == found.cut.next_index
        cut = found.cut
    if max_outdated == 0:
        assert sorted(planned) == sorted(keys)
