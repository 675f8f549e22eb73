"""The merge stage, on Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from biomedica_ray.config import ConfigError
from biomedica_ray.merge import pipeline
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.reading.held_out import is_held_out
from biomedica_ray.runs import Run
from biomedica_ray.store import StoreError
from tests.evaluate.scoring import score
from tests.models.finished import leave_model
from tests.reading.shards import sample, write_dataset

pytestmark = pytest.mark.cluster


def merge(store: Path, **changes: Any) -> Run:
    config = MergeConfig(store=str(store), name="mixed", bootstrap=0, recall_at=[1, 3], **changes)
    with Run("merge", config) as run:
        pipeline.run(config, run)
    return run


def weights(store: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(store / f"checkpoints/{name}/model/open_clip_model.safetensors")


def held_out_of_40() -> int:
    return sum(is_held_out(sample(n)[0], 0.3) for n in range(40, 80))


def test_runs_are_averaged_and_interpolated_with_the_model_they_began_with(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    for split in ("validation", "test"):
        write_dataset(tmp_path / "dataset", [map(sample, range(20, 28))], split)
    leave_model(tmp_path, "start", tiny_model, seed=0)
    base = str(tmp_path / "checkpoints/start/model")
    for name, seed in (("one", 1), ("two", 2)):
        leave_model(tmp_path, name, tiny_model, seed=seed, base=base)
    start, one, two = (weights(tmp_path, name) for name in ("start", "one", "two"))

    settings = {"of": ["one", "two"], "alphas": [0, 0.25, 1], "metric": "retrieval.text_to_image.recall@3"}
    done = merge(tmp_path, **settings)
    sweep = {entry["alpha"]: entry["score"] for entry in done.results["sweep"]}
    alpha = done.results["alpha"]
    assert sweep[alpha] == max(sweep.values())
    assert alpha == max(share for share, score in sweep.items() if score == sweep[alpha])
    for name, tensor in weights(tmp_path, "mixed").items():
        expected = (1 - alpha) * start[name] + alpha * (one[name] + two[name]) / 2
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5)
    card = (tmp_path / "checkpoints/mixed/model/README.md").read_text()
    assert all(f"| {share:g} | {value:.4g} |" in card for share, value in sweep.items())
    scored = score(tmp_path, name="mixed").results["tasks"]["retrieval"]["text_to_image"]["recall@3"]
    assert scored["value"] == pytest.approx(sweep[alpha])
    assert {**merge(tmp_path, **settings).results, "usage": None} == {**done.results, "usage": None}

    # Foreign shards and a dataset, of which the runs might have learned.
    foreign = write_dataset(tmp_path / "foreign", [map(sample, range(40, 80))])
    tar = f"{foreign.root}/webdataset/commercial/train/000000.tar"
    (Path(tar).parent / "sizes.json").write_text('{"000000.tar": 40}')
    data = [{"uri": tar, "weight": 3}, {"uri": str(tmp_path / "dataset"), "weight": 1}]
    again = merge(tmp_path, **settings, data=data, validation_fraction=0.3, samples=16)
    tried = json.loads((tmp_path / "checkpoints/mixed/merge.json").read_text())["sweep"]
    assert [entry["tasks"]["retrieval"]["samples"] for entry in tried] == 3 * [min(12, held_out_of_40()) + 4]
    assert len(again.results["sweep"]) == 3
    with pytest.raises(ConfigError, match=r"^validation_fraction: samples without a dataset.json have no validation"):
        merge(tmp_path, **settings, data=tar)

    with pytest.raises(
        ConfigError, match=r"^base: the runs began with random weights; name a model to interpolate with"
    ):
        merge(tmp_path, of=["start"], alphas=[0.5])
    with pytest.raises(ConfigError, match=r"^metric: retrieval.recall: expected one of samples, image_to_text"):
        merge(tmp_path, of=["one"], alphas=[0, 1], metric="retrieval.recall")
    with pytest.raises(StoreError, match=r"three/model: no model"):
        merge(tmp_path, of=["one", "three"])
