"""Several sets of samples in one order."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.reading.mixture import Mixture, quotas
from biomedica_ray.reading.order import LanePosition
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Preparation, Stream
from biomedica_ray.reading.texts import TextChoice
from tests.reading.shards import sample, write_dataset

HOW = Preparation((8, 8), "bicubic", lambda texts: torch.tensor([[len(text)] for text in texts]))
LANES, PIECE = 2, 5


@given(st.integers(1, 5000), st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_quotas_add_up_and_are_within_one_of_their_share(total: int, weights: list[float]) -> None:
    found = quotas(total, weights)
    assert sum(found) == total
    assert all(abs(n - total * weight / sum(weights)) < 1 for n, weight in zip(found, weights, strict=True))


def test_quotas_of_weights() -> None:
    assert quotas(10, [3, 1]) == [8, 2]
    assert quotas(8, [0.5, 0.25, 0.25]) == [4, 2, 2]
    assert quotas(1, [1, 1]) == [1, 0]


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    """Twenty samples, one of which cannot be read, of which a lane gives 4 a step, and six, of which it gives 1."""
    root = tmp_path_factory.mktemp("mixed")
    large = [sample(n, image=b"no image" if n == 7 else None) for n in range(20)]
    streams = []
    for name, rows, size in (("large", large, 4), ("small", [sample(n) for n in range(100, 106)], 1)):
        data = write_dataset(root / name, [rows[:10], rows[10:]] if name == "large" else [rows])
        streams.append(Stream(data, read_shards(data, None, "train"), LANES, size, 0, 3, metadata=True))
    return Mixture(tuple(streams), (TextChoice({"caption": 1}), TextChoice({"part": 1})))


def run(order: Mixture, steps: int, workers: int, lanes: list[LanePosition]) -> tuple[list[list[str]], list[list[int]]]:
    """The keys and tokens of the whole batch of each step; lanes are moved on."""
    keys: list[list[str]] = [[] for _ in range(steps)]
    tokens: list[list[int]] = [[] for _ in range(steps)]
    after: dict[int, LanePosition] = {}
    for rank in range(workers):
        rows = order.rows(rank, workers)
        source = order.batches(rows, {part.lane: lanes[part.lane] for part in rows}, HOW, 1)
        for step, batch in enumerate(islice(source, steps)):
            keys[step] += batch.keys
            tokens[step] += batch.tokens.flatten().tolist()
            after |= batch.lanes
        source.close()
    for number, position in after.items():
        lanes[number] = LanePosition(position.epoch, position.slots)
    return keys, tokens


def start(order: Mixture) -> list[LanePosition]:
    return [LanePosition() for _ in order.sizes]


def is_large(key: str) -> bool:
    return len(key) < len("PMC100-1_001")


def test_each_step_has_its_share_of_each_and_each_has_its_own_passes(mixture: Mixture) -> None:
    assert (mixture.sizes, mixture.step_samples, mixture.n_samples) == ((4, 1, 4, 1), 10, 26)
    # Ten of the large one for a lane at 4 a step, three of the small one at 1.
    assert (mixture.steps(1), mixture.steps(2)) == (3, 6)
    assert [mixture.epoch(step) for step in (0, 2, 3, 6)] == [0, 0, 1, 2]
    keys, tokens = run(mixture, 6, 1, start(mixture))
    for step in keys:
        assert [is_large(key) for key in step] == [True] * 4 + [False] + [True] * 4 + [False]
    seen = Counter(key for step in keys for key in step)
    assert {seen[sample(n)[0]] for n in range(100, 106)} == {2}
    assert all(seen[sample(n)[0]] >= 2 for n in range(20) if n != 7)
    panels = {len(f"(A) {sample(n)[2]}") for n in range(100, 106)}
    assert {row for step in tokens for row in (step[4], step[9])} == panels
    assert {row for step in tokens for row in step[:4]} <= {len(sample(n)[2]) for n in range(20)}


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1, 2, 5, 10])), min_size=1, max_size=4))
def test_any_stops_and_any_numbers_of_workers_give_the_same_batches(
    mixture: Mixture, stops: list[tuple[int, int]]
) -> None:
    steps = sum(number for number, _ in stops)
    whole = run(mixture, steps, 1, start(mixture))
    lanes = start(mixture)
    parts = [run(mixture, number, workers, lanes) for number, workers in stops]
    for at in (0, 1):
        assert [step for part in parts for step in part[at]] == whole[at]
    alone = mixture.streams[0]
    rows = alone.rows(0, 1)
    source = alone.batches(rows, {0: LanePosition(), 1: LanePosition()}, HOW, 1)
    expected = [batch.keys for batch in islice(source, steps)]
    assert [[key for key in step if is_large(key)] for step in whole[0]] == expected


def test_a_sample_of_each_is_tried(mixture: Mixture) -> None:
    found = [mixture.first(lane, HOW).key for lane in mixture.tried]
    assert [is_large(key) for key in found] == [True, False]


def test_the_same_data_twice_with_other_texts(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [map(sample, range(8))])
    stream = Stream(data, read_shards(data, None, "train"), 1, 4, 0, 3, metadata=True)
    twice = Mixture((stream, stream), (TextChoice({"caption": 1}), TextChoice({"part": 1})))
    ((keys,), (tokens,)) = run(twice, 1, 1, start(twice))
    assert keys[:4] == keys[4:]
    assert [after - before for before, after in zip(tokens[:4], tokens[4:], strict=True)] == [4] * 4
