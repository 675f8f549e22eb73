"""The evaluate stage, on Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from biomedica_ray.evaluate import pipeline
from biomedica_ray.runs import LostRowsError
from biomedica_ray.store import StoreError
from tests.evaluate.scoring import score
from tests.models.finished import leave_model
from tests.reading.shards import sample, write_dataset

pytestmark = pytest.mark.cluster


def test_scores_and_counts(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    broken = sample(28, image=b"no image")
    write_dataset(tmp_path / "dataset", [[*map(sample, range(20, 28)), broken]], "test")
    leave_model(tmp_path, "tiny", tiny_model, seed=0)
    found = score(tmp_path, dry_run=True, images_per_s=9, dollars_per_hour=3600).results["dry_run"]["tiny"]
    assert (found["image"], found["images"], found["texts"]) == (sample(20)[0], 9, 9)
    assert (found["hours"], found["dollars"]) == (1 / 3600, 1)
    assert found["input"] == [32, 32] and set(found["memory_gib"]) == {"weights", "activations", "pixels"}
    assert not (tmp_path / "checkpoints/tiny/evaluation.json").exists()
    scored = score(tmp_path)
    document = json.loads((tmp_path / "checkpoints/tiny/evaluation.json").read_text())
    classes = document["tasks"]["zero_shot_primary_label"]
    assert classes["accuracy"]["chance"] == 0.25
    assert [entry["samples"] for entry in classes["classes"]] == [2, 2, 2, 2]
    assert document["tasks"]["retrieval"]["image_to_text"]["recall@3"]["chance"] == 3 / 8
    flow = scored.counts["samples"]
    assert (flow.rows_in, flow.rows_out, flow.errors) == (9, 8, 1)
    (errors,) = (tmp_path / "errors/evaluate/tiny").glob("*.parquet")
    assert pq.read_table(errors)["what"].to_pylist() == [broken[0]]

    assert score(tmp_path).counts == scored.counts
    assert json.loads((tmp_path / "checkpoints/tiny/evaluation.json").read_text())["run_id"] == scored.run_id
    # A run that was killed between its commit and its scores left those of another one.
    path = tmp_path / "checkpoints/tiny/evaluation.json"
    path.write_text(json.dumps({**document, "fingerprint": "of another", "tasks": {}}))
    assert score(tmp_path).results["tasks"] == document["tasks"]
    assert score(tmp_path, samples=4).counts["samples"].rows_in == 4


def test_a_sample_that_is_lost_fails_the_run(
    tmp_path: Path, tiny_model: str, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(6))], "test")
    leave_model(tmp_path, "tiny", tiny_model, seed=0)
    read = pipeline.read_numbers

    def losing(*arguments: Any) -> Iterator[Any]:
        yield from islice(read(*arguments), 5)

    monkeypatch.setattr(pipeline, "read_numbers", losing)
    # Here, as a task would not see what was changed in this process.
    monkeypatch.setattr(pipeline, "on_a_worker", lambda work, **_: work())
    with pytest.raises(LostRowsError, match=r"samples: 6 in but 5 out \+ 0 errors"):
        score(tmp_path)
    assert not (tmp_path / "checkpoints/tiny/evaluation.json").exists()


def test_evaluation_needs_a_model_first(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(2))], "test")
    with pytest.raises(StoreError, match="no model; run `biomedica train`"):
        score(tmp_path)
