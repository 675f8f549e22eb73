from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.evaluate.encode import chosen_samples, primary_labels
from biomedica_ray.evaluate.pipeline import choose
from biomedica_ray.evaluate.prompts import papers_prompts
from biomedica_ray.evaluate.tasks import TASKS
from biomedica_ray.reading.shards import RawSample, Unreadable, read_shards
from tests.reading.shards import sample, write_dataset


@given(st.integers(1, 200), st.integers(1, 200))
def test_chosen_numbers_are_spread_evenly(n: int, most: int) -> None:
    numbers = choose(n, most)
    assert len(numbers) == min(n, most)
    gaps = {b - a for a, b in pairwise(numbers)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert all(0 <= number < n for number in numbers)


def test_chosen_samples_over_shards(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [[sample(0), sample(1)], [sample(2)], [sample(3), sample(4), sample(5)]], "test")
    found = list(chosen_samples(data, read_shards(data, None, "test"), [1, 3, 5]))
    assert [item.key for item in found if isinstance(item, RawSample)] == ["PMC1-1_001", "PMC3-1_001", "PMC5-1_001"]
    assert isinstance(found[0], RawSample)
    assert primary_labels(found[0].metadata) == ["green"]


def test_chosen_samples_of_a_truncated_shard(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [[sample(number) for number in range(6)]], "test")
    path = tmp_path / "webdataset/commercial/test/000000.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = list(chosen_samples(data, read_shards(data, None, "test"), [0, 4, 5]))
    assert [type(item) for item in found] == [RawSample, Unreadable, Unreadable]


def test_labels_of_a_sample_without_metadata() -> None:
    assert primary_labels(b"") == []
    assert primary_labels(b'{"image_primary_label": null}') == []


def test_prompts_of_known_and_other_concepts() -> None:
    assert any("fundus photograph" in prompt for prompt in papers_prompts().sentences("Clinical Imaging"))
    assert any("some new concept" in prompt for prompt in papers_prompts().sentences("Some New Concept"))
    assert len(set(papers_prompts().sentences("Maps"))) == len(papers_prompts().sentences("Maps"))


def test_tasks() -> None:
    assert set(TASKS) == {"zero_shot_primary_label", "retrieval"}
