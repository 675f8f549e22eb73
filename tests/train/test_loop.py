"""The stages train and evaluate, on Ray."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate import pipeline as evaluate
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.merge import pipeline as merge_stage
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.reading.order import LanePosition, batch_digest, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Preparation, Stream
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train import loop
from biomedica_ray.train.config import TrainConfig
from tests.reading.shards import sample, write_dataset

pytestmark = pytest.mark.cluster


def train(store: Path, model: str, **changes: Any) -> Run:
    settings = {
        "name": "tiny",
        "model": model,
        "pretrained": None,
        "batch_size": 5,
        "epochs": 3,
        "lr": 3e-3,
        "warmup_steps": 2,
        "checkpoint_steps": 2,
        "shuffle_buffer": 4,
        **changes,
    }
    config = TrainConfig(store=str(store), **settings)
    with Run("train", config) as run:
        loop.run(config, run)
    return run


def score(store: Path, **changes: Any) -> Run:
    config = EvaluateConfig(store=str(store), **{"name": "tiny", "bootstrap": 50, "recall_at": [1, 3], **changes})
    with Run("evaluate", config) as run:
        evaluate.run(config, run)
    return run


def metrics(store: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (store / "checkpoints/tiny/metrics.jsonl").read_text().splitlines()]


def test_train_resume_and_evaluate(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    broken = sample(7, image=b"no image")
    write_dataset(tmp_path / "dataset", [map(sample, range(7)), [broken, *map(sample, range(8, 20))]])
    write_dataset(tmp_path / "dataset", [map(sample, range(20, 28))], "test")

    run = train(tmp_path, tiny_model)
    flow = run.counts["samples"]
    assert (flow.rows_in, flow.rows_out, flow.errors) == (60, 57, 3)
    assert [record["step"] for record in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert run.results["steps"] == 6
    assert run.results["last_loss"] < run.results["first_loss"]
    assert 0 < run.results["shuffle"]["distance"] < 0.5
    (errors,) = (tmp_path / "errors/train/tiny").glob("*.parquet")
    assert pq.read_table(errors)["what"].to_pylist() == ["PMC7-1_001"] * 3

    again = train(tmp_path, tiny_model, checkpoint_steps=3)
    assert again.counts == run.counts
    assert again.results == run.results
    with pytest.raises(ConfigError, match=r"begun with another lr, num_workers x batch_size; choose another name"):
        train(tmp_path, tiny_model, lr=1e-3, batch_size=4)

    scored = score(tmp_path)
    document = json.loads((tmp_path / "checkpoints/tiny/evaluation.json").read_text())
    classes = document["tasks"]["zero_shot_primary_label"]
    assert classes["accuracy"]["chance"] == 0.25
    assert [entry["samples"] for entry in classes["classes"]] == [2, 2, 2, 2]
    assert document["tasks"]["retrieval"]["image_to_text"]["recall@3"]["chance"] == 3 / 8
    assert scored.counts["samples"].rows_out == 8
    assert score(tmp_path).counts == scored.counts
    assert json.loads((tmp_path / "checkpoints/tiny/evaluation.json").read_text())["run_id"] == scored.run_id
    assert score(tmp_path, samples=4).counts["samples"].rows_out == 4


@contextmanager
def worker_killed_after(path: Path) -> Iterator[list[int]]:
    """Kills one of the workers that train meanwhile as soon as ``path`` is there; the list has its process id then."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while not path.exists():
            if ended.wait(0.02):
                return
        workers = [
            process
            for process in psutil.Process().children(recursive=True)
            if "RayTrainWorker" in " ".join(process.cmdline())
        ]
        if workers:
            os.kill(workers[-1].pid, signal.SIGKILL)
            killed.append(workers[-1].pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        ended.set()
        killer.join()


def expected_batches(store: Path, lanes: int, batch_size: int, buffer: int, steps: int) -> list[str]:
    """Digests of the batches of a run that nothing stops, from the data alone."""
    data = Store(str(store / "dataset"))
    order = Stream(data, read_shards(data, None, "train"), lanes, batch_size, 0, buffer)
    how = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 1), dtype=torch.long))
    rows = rows_of_worker(0, 1, order.lanes, order.piece)
    batches = order.batches(rows, {lane: LanePosition() for lane in range(lanes)}, how, 1)
    return [f"{batch_digest(batch.keys, 0) % 2**64:016x}" for batch in islice(batches, steps)]


def test_run_goes_on_after_a_worker_was_killed(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(30)), map(sample, range(30, 60))])
    with worker_killed_after(tmp_path / "checkpoints/tiny/latest.json") as killed:
        run = train(tmp_path, tiny_model, epochs=40, checkpoint_steps=1, max_failures=2)
    assert killed
    assert [record["step"] for record in metrics(tmp_path)] == list(range(1, 6 * 40 + 1))
    assert run.results["steps"] == 240
    assert run.counts["samples"].rows_out == 60 * 40


def test_stopped_run_goes_on_with_another_number_of_workers(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    broken = sample(7, image=b"no image")
    write_dataset(tmp_path / "dataset", [map(sample, range(7)), [broken, *map(sample, range(8, 23))]])
    settings = {"epochs": 40, "checkpoint_steps": 3, "max_failures": 0}
    with worker_killed_after(tmp_path / "checkpoints/tiny/latest.json") as killed, pytest.raises(StageFailedError):
        train(tmp_path, tiny_model, num_workers=2, batch_size=4, **settings)
    assert killed
    with pytest.raises(ConfigError, match=r"begun with another num_workers x batch_size; "):
        train(tmp_path, tiny_model, num_workers=1, batch_size=4, **settings)
    readers = {"reader": "ray", "reader_cpus": 0.5}
    run = train(tmp_path, tiny_model, num_workers=1, batch_size=8, **readers, **settings)
    flow = run.counts["samples"]
    assert (flow.rows_in, flow.errors) == (23 * 40, 40)
    found = [record["batch"] for record in metrics(tmp_path)]
    assert found == expected_batches(tmp_path, lanes=2, batch_size=4, buffer=4, steps=120)


def test_weights_that_do_not_fit_are_one_line_and_no_retry(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    (tmp_path / "weights.pt").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="pretrained") as caught:
        train(tmp_path, tiny_model, pretrained=str(tmp_path / "weights.pt"))
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    with pytest.raises(
        StageFailedError, match=r"^the loss is nan at step 2; features of 8 of its 8 .*PMC7-1_001"
    ) as caught:
        train(tmp_path, tiny_model, lr=1e30, warmup_steps=0, checkpoint_steps=1, batch_size=4)
    assert "\n" not in str(caught.value)
    assert [record["step"] for record in metrics(tmp_path)] == [1]
    assert json.loads((tmp_path / "checkpoints/tiny/latest.json").read_text())["step"] == 1
    weights = load_file(tmp_path / "checkpoints/tiny/step-000001/model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_too_few_training_samples(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [[sample(0)]])
    with pytest.raises(ConfigError, match="1 training samples of commercial"):
        train(tmp_path, tiny_model)


def test_evaluation_needs_a_model_first(tmp_path: Path, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(2))], "test")
    with pytest.raises(StoreError, match="no model; run `biomedica train`"):
        score(tmp_path)


def merge(store: Path, **changes: Any) -> Run:
    config = MergeConfig(store=str(store), name="mixed", bootstrap=0, recall_at=[1, 3], **changes)
    with Run("merge", config) as run:
        merge_stage.run(config, run)
    return run


def weights(store: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(store / f"checkpoints/{name}/model/open_clip_model.safetensors")


def test_runs_are_averaged_and_interpolated_with_the_model_they_began_with(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(20))])
    write_dataset(tmp_path / "dataset", [map(sample, range(20, 28))], "test")
    train(tmp_path, tiny_model, name="start", epochs=1)
    base = str(tmp_path / "checkpoints/start/model")
    for name, seed in (("one", 1), ("two", 2)):
        train(tmp_path, tiny_model, name=name, seed=seed, pretrained=base)
    start, one, two = (weights(tmp_path, name) for name in ("start", "one", "two"))

    done = merge(tmp_path, of=["one", "two"], alphas=[0, 0.25, 1], metric="retrieval.text_to_image.recall@3")
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
    assert (
        merge(tmp_path, of=["one", "two"], alphas=[0, 0.25, 1], metric=done.results["metric"]).results == done.results
    )

    with pytest.raises(ConfigError, match=r"^base: the runs began with random weights; expected a model"):
        merge(tmp_path, of=["start"], alphas=[0.5])
    with pytest.raises(ConfigError, match=r"^metric: retrieval.recall: expected one of samples, image_to_text"):
        merge(tmp_path, of=["one"], alphas=[0, 1], metric="retrieval.recall")
    with pytest.raises(StoreError, match=r"three/model: no model"):
        merge(tmp_path, of=["one", "three"])
