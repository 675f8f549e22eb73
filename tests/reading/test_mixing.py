from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from biomedica_ray.reading.mixing import PERFECT, measure
from biomedica_ray.reading.order import buffered_order


def test_no_shuffle_has_no_distance() -> None:
    found = measure([1000], 1, 10, seed=0, buffer=1)
    assert (found.distance, found.shards, found.perfect_shards) == (0, 1, 1)


def test_a_buffer_of_everything_is_a_perfect_shuffle() -> None:
    found = measure([500] * 20, 1, 50, seed=0, buffer=10_000)
    assert found.distance == pytest.approx(PERFECT, rel=0.02)
    assert found.perfect_shards == pytest.approx(20 * (1 - 0.95**50))
    assert found.shards == pytest.approx(found.perfect_shards, rel=0.02)


def test_a_buffer_moves_samples_by_three_quarters_of_its_size() -> None:
    # A sample stays in a buffer of B for a geometric time of mean B, whose mean deviation is 2 B / e.
    found = measure([20_000], 1, 100, seed=0, buffer=200)
    assert found.distance == pytest.approx(2 * 200 / math.e / 20_000, rel=0.05)


def test_shuffled_shards_are_far_from_their_place_while_their_samples_stay_together() -> None:
    found = measure([10] * 2000, 2, 10, seed=0, buffer=1)
    assert found.distance == pytest.approx(PERFECT, rel=0.05)
    assert found.shards < 2.01
    assert measure([10] * 2000, 2, 10, seed=0, buffer=200).shards > 8


def test_lanes_of_unequal_length_and_a_piece_that_does_not_divide_them() -> None:
    found = measure([3, 5, 2], 3, 3, seed=1, buffer=2)
    assert 0 < found.distance < 1
    assert 1 <= found.shards <= 3


def test_the_docs_say_how_many_samples_meet_another_of_their_article() -> None:
    docs = (Path(__file__).parents[2] / "docs/streaming.md").read_text()
    table = re.findall(r"^\| ([\d,]+) \| (\d+) % \|$", docs, re.MULTILINE)
    assert len(table) == 4
    for buffer, said in table:
        order = np.fromiter(buffered_order(400_000, int(buffer.replace(",", "")), "seed"), np.int64) // 4
        steps = [np.unique_counts(order[start : start + 1024]).counts for start in range(0, 390 * 1024, 1024)]
        share = sum(counts[counts > 1].sum() for counts in steps) / sum(counts.sum() for counts in steps)
        assert f"{share:.0%}" == f"{said}%", buffer
