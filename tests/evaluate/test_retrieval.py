from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.evaluate.retrieval import recall, standing


def test_recall_of_known_similarities() -> None:
    candidates = np.eye(4, dtype=np.float32)
    queries = np.array(
        [[0.9, 0.1, 0.2, 0.3], [0.5, 0.4, 0.1, 0.2], [0.9, 0.8, 0.1, 0.7], [0.1, 0.2, 0.3, 0.4]], dtype=np.float32
    )
    found = recall(queries, candidates, [1, 2, 3, 4, 100], articles=np.arange(4), resamples=0, seed=0)
    assert {k: estimate.value for k, estimate in found.items()} == {1: 0.5, 2: 0.75, 3: 0.75}
    assert [estimate.chance for estimate in found.values()] == [0.25, 0.5, 0.75]


def test_own_candidate_between_equals_counts_by_chance() -> None:
    same = np.ones((10, 3), dtype=np.float32)
    found = recall(same, same, [1, 5], articles=np.arange(10), resamples=20, seed=0)
    assert found[1].value == pytest.approx(0.1)
    assert found[5].value == pytest.approx(0.5)
    assert (found[5].low, found[5].high) == pytest.approx((0.5, 0.5))


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 1000))
def test_standing_equals_a_full_sort(n: int, dim: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    queries, candidates = generator.integers(-2, 3, (2, n, dim)).astype(np.float32)
    before, equal = standing(queries, candidates)
    for number in range(n):
        similarity = candidates @ queries[number]
        assert before[number] == sum(similarity > similarity[number])
        assert equal[number] == sum(similarity == similarity[number]) - 1


def test_standing_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.evaluate.retrieval._CHUNK", 3)
    vectors = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert standing(vectors, vectors)[0].tolist() == [0] * 8
