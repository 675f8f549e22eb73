"""Samples that are held out from data without splits of its own."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch

from biomedica_ray.reading.held_out import held_out_numbers, is_held_out
from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.shards import RawSample, Shard
from biomedica_ray.reading.stream import Preparation, Stream, UnusableError
from biomedica_ray.reading.stretches import read_numbers
from biomedica_ray.reading.tars import Tars
from tests.reading.shards import jpeg, sample, write_dataset

HOW = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 4), dtype=torch.long))
FRACTION = 0.3


def key(number: int, figure: int = 1) -> str:
    return f"PMC{number}-1_{figure:03d}"


@pytest.fixture
def tars(tmp_path: Path) -> tuple[Tars, tuple[Shard, ...]]:
    """Forty articles of two figures each, which lie in different shards."""
    figures = [[(key(n, figure), *sample(n)[1:]) for n in range(40)] for figure in (1, 2)]
    write_dataset(tmp_path, figures)
    paths = sorted(map(str, tmp_path.rglob("*.tar")))
    return Tars("shards"), tuple(Shard(path, "", "train", 40, path) for path in paths)


def test_articles_are_held_out_whole_and_as_many_as_wanted() -> None:
    chosen = {n for n in range(5000) if is_held_out(key(n), 0.05)}
    assert 175 < len(chosen) < 325
    assert chosen == {n for n in range(5000) if is_held_out(key(n, 9), 0.05)}
    assert chosen < {n for n in range(5000) if is_held_out(key(n), 0.1)}
    assert not any(is_held_out(key(n), 0) for n in range(100))


def test_what_is_held_out_is_read_and_nothing_of_it_is_trained_on(tars: tuple[Tars, tuple[Shard, ...]]) -> None:
    data, shards = tars
    expected = {key(n, figure) for n in range(40) for figure in (1, 2) if is_held_out(key(n), FRACTION)}
    numbers = held_out_numbers(data, shards, FRACTION, 1000)
    found = list(read_numbers(data, shards, numbers))
    assert all(isinstance(each, RawSample) and each.metadata for each in found)
    assert {each.key for each in found if isinstance(each, RawSample)} == expected
    assert 4 < len(expected) < 60

    stream = Stream(data, shards, 2, 4, seed=0, buffer=8, held_out=FRACTION)
    steps = stream.steps(2)
    seen, given, passed = Counter[str](), Counter[int](), Counter[int]()
    for rank in range(2):
        rows = rows_of_worker(rank, 2, stream.lanes, stream.piece)
        for batch in islice(stream.batches(rows, {rank: LanePosition()}, HOW, 1), steps):
            seen.update(batch.keys)
            given += batch.given
            passed += batch.held_out
            assert not any(lane.errors for lane in batch.lanes.values())
    assert seen.keys() == {key(n, figure) for n in range(40) for figure in (1, 2)} - expected
    for epoch in (0, 1):
        assert (given[epoch], passed[epoch]) == (80 - len(expected), len(expected))


def test_resuming_passes_over_the_same(tars: tuple[Tars, tuple[Shard, ...]]) -> None:
    stream = Stream(*tars, 1, 4, seed=0, buffer=8, held_out=FRACTION)
    rows = rows_of_worker(0, 1, 1, 4)
    whole = list(islice(stream.batches(rows, {0: LanePosition()}, HOW, 1), 12))
    rest = islice(stream.batches(rows, {0: whole[4].lanes[0]}, HOW, 1), 7)
    assert [batch.keys for batch in rest] == [batch.keys for batch in whole[5:]]


def test_no_more_shards_are_read_than_it_takes(tars: tuple[Tars, tuple[Shard, ...]]) -> None:
    data, shards = tars
    few = held_out_numbers(data, shards, FRACTION, 3)
    assert len(few) == 3
    assert {number // 40 for number in few} < {0, 1}
    (unread,) = {0, 1} - {few[0] // 40}
    Path(shards[unread].path).unlink()
    assert held_out_numbers(data, shards, FRACTION, 3) == few


def test_a_table_is_held_out_by_the_name_of_its_images(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{key(number)}.jpg").write_bytes(jpeg("red", number))
    rows = "".join(f"{key(number)}.jpg,a red square\n" for number in range(40))
    (tmp_path / "pairs.csv").write_text(f"filepath,title\n{rows}")
    pairs = Pairs(str(tmp_path / "pairs.csv"))
    numbers = held_out_numbers(pairs, pairs.shards(), FRACTION, 100)
    assert numbers == [number for number in range(40) if is_held_out(f"{key(number)}.jpg", FRACTION)]
    found = [each.key for each in read_numbers(pairs, pairs.shards(), numbers) if isinstance(each, RawSample)]
    assert found == [f"{key(number)}.jpg" for number in numbers]


def test_nothing_left_is_told(tars: tuple[Tars, tuple[Shard, ...]]) -> None:
    stream = Stream(*tars, 1, 4, seed=0, buffer=8, held_out=1)
    with pytest.raises(UnusableError, match=r"none of 0 samples can be read: .*all are held out"):
        stream.first(0, HOW)
