"""Every step is with each tracker once, however often a run is stopped and taken up again."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from biomedica_ray.config import ConfigError
from biomedica_ray.store import Store
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.trackers import TensorBoard, Trackers, check_trackers, open_trackers, scalars
from tests.fakes.s3 import client, s3_server


def record(step: int) -> dict[str, Any]:
    return {"step": step, "loss": 1 / step, "retrieval.image_to_text.recall@1": 0.5, "gpu_utilisation": [None, 7.0]}


def records(first: int, last: int) -> list[dict[str, Any]]:
    return [record(step) for step in range(first, last + 1)]


def run(config: TrainConfig, before: int, steps: list[int]) -> None:
    """A driver that finds the metrics of some steps, and sees further ones."""
    checkpoints = Checkpoints(Store(config.store, config.endpoint_url), config.name)
    trackers = open_trackers(config, checkpoints, {"lr": 1e-3}, records(1, before))
    for step in steps:
        trackers.log(record(step))
    trackers.close()


def tensorboard(folder: Path, key: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(key)]


EXPECTED = [(step, pytest.approx(1 / step)) for step in range(1, 7)]


def test_scalars_are_the_numbers() -> None:
    assert scalars(record(2)) == {"loss": 0.5, "retrieval.image_to_text.recall@1": 0.5, "gpu_utilisation.1": 7.0}


def test_tensorboard_has_each_step_once_after_a_driver_was_lost(tmp_path: Path) -> None:
    """The first driver saw steps 1 to 5 and was lost, the last checkpoint being that of step 3."""
    config = TrainConfig(store=str(tmp_path))
    lost = Trackers([TensorBoard(Checkpoints(Store(str(tmp_path)), "clip"))], [])
    for step in (1, 2, 3, 4, 5):
        lost.log(record(step))
    run(config, before=3, steps=[4, 5, 5, 6])
    found = tensorboard(tmp_path / "checkpoints/clip/tensorboard", "loss")
    assert [step for step, _ in found] == [1, 2, 3, 4, 5, 6]
    assert found == EXPECTED


def test_tensorboard_on_object_storage(tmp_path: Path) -> None:
    with s3_server() as url:
        client(url).create_bucket(Bucket="bucket")
        config = TrainConfig(store="s3://bucket/store", endpoint_url=url)
        run(config, before=0, steps=[1, 2, 3, 4])
        run(config, before=3, steps=[4, 5, 6])
        Checkpoints(Store(config.store, url), config.name).get_folder("tensorboard", tmp_path)
    assert tensorboard(tmp_path, "loss") == EXPECTED


def test_mlflow_has_each_step_once_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    config = TrainConfig(store=str(tmp_path), mlflow=uri)
    run(config, before=0, steps=[1, 2, 3, 4])
    run(config, before=3, steps=[4, 5, 6])
    client_ = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [found for found in client_.search_experiments() if found.name == "biomedica"]
    (tracked,) = client_.search_runs([experiment.experiment_id])
    assert (tracked.info.run_name, tracked.info.status, tracked.data.params) == ("clip", "FINISHED", {"lr": "0.001"})
    history = client_.get_metric_history(tracked.info.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == EXPECTED
    assert tracked.data.metrics["retrieval.image_to_text.recall_at_1"] == 0.5


def test_wandb_offline_writes_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    run(TrainConfig(store=str(tmp_path), wandb="biomedica"), before=2, steps=[3, 4, 4, 5, 6])
    wandb.teardown()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    items = [Record.FromString(raw) for raw in log_records(file.read_bytes()[7:])]
    found = []
    for item in items:
        if item.WhichOneof("record_type") == "history":
            values = {key.key or ".".join(key.nested_key): json.loads(key.value_json) for key in item.history.item}
            found.append((values["_step"], values["loss"]))
    assert found == EXPECTED


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, after a header of 7 bytes that belongs to its first block."""
    record, place = b"", 7
    while len(data) >= 7:
        size, kind = struct.unpack("<HB", data[4:7])
        record += data[7 : 7 + size]
        if kind in {1, 4}:  # whole, or the last part
            yield record
            record = b""
        place += 7 + size
        data = data[7 + size :]
        if 2**15 - place % 2**15 < 7:
            padding = 2**15 - place % 2**15
            place += padding
            data = data[padding:]


def test_a_package_that_is_missing_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.meta_path", [])
    monkeypatch.delitem(__import__("sys").modules, "wandb", raising=False)
    with pytest.raises(
        ConfigError, match=r"^wandb: expected the package wandb; pip install 'biomedica_ray\[trackers\]'"
    ):
        check_trackers(TrainConfig(store="s", wandb="biomedica"))
    check_trackers(TrainConfig(store="s"))


class _Refusing:
    last = 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        raise ConnectionError(f"no answer at step {step}")

    def close(self) -> None:
        raise AssertionError("is left out")


def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    board = TensorBoard(Checkpoints(Store(str(tmp_path)), "clip"))
    trackers = Trackers([_Refusing(), board], [])
    for step in range(1, 7):
        trackers.log(record(step))
    trackers.close()
    assert [line for line in caplog.messages if "Refusing" in line] == [
        "train: _Refusing takes no more metrics: no answer at step 1"
    ]
    assert tensorboard(tmp_path / "checkpoints/clip/tensorboard", "loss") == EXPECTED
