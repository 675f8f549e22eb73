"""Notices that a worker or the job is to end."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from biomedica_ray.runs import Run
from biomedica_ray.stopping import Terminated
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train import loop
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.leaving import stop_signals
from tests.reading.shards import sample, write_dataset
from tests.train.training import last_step, metrics, processes, tiny


def test_the_first_signal_is_a_notice_and_the_next_one_is_not() -> None:
    told = []
    # Processes that a shell starts in the background ignore it.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_signals(lambda: told.append("stop")) as came:
            assert came.number is None
            signal.raise_signal(signal.SIGINT)
            assert came.number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert told == ["stop"]
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)


def steps(store: Path) -> list[int]:
    return [record["step"] for record in metrics(store)]


class _AtStep(logging.Handler):
    """Sends SIGTERM to processes at the first log lines from given steps on, and keeps what the log says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.todo: list[tuple[int, Callable[[], int]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        step = re.match(r"train: step (\d+) of", self.lines[-1])
        if step and self.todo and int(step[1]) >= self.todo[0][0]:
            os.kill(self.todo.pop(0)[1](), signal.SIGTERM)


@contextmanager
def followed(log: logging.Logger) -> Iterator[_AtStep]:
    handler = _AtStep()
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)


@pytest.mark.cluster
def test_sigterm_gives_a_checkpoint_of_the_very_step(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    """A worker gets SIGTERM, then the driver; each step was done once."""
    write_dataset(tmp_path / "dataset", [map(sample, range(30)), map(sample, range(30, 60))])
    config = tiny(tmp_path, tiny_model, epochs=50, checkpoint_steps=10**6, log_steps=1, max_failures=0)
    with followed(logging.getLogger("biomedica_ray.train")) as log:
        log.todo = [(5, lambda: processes("RayTrainWorker")[-1].pid), (40, os.getpid)]
        with pytest.raises(Terminated), Run("train", config) as run:
            loop.run(config, run)
    (after,) = [found for line in log.lines if (found := re.fullmatch(r"train: stopped after step (\d+) of 300", line))]
    assert run.store.read_json(f"runs/{run.run_id}/run.json")["status"] == "stopped"
    (left,) = [line for line in log.lines if "told to leave" in line]
    again = re.fullmatch(r"train: workers were told to leave; resuming after step (\d+) of 300", left)
    assert again
    assert 5 <= int(again[1]) < int(after[1])
    assert not any("done again" in line for line in log.lines)
    done = [int(step[1]) for line in log.lines if (step := re.match(r"train: step (\d+) of", line))]
    assert done == steps(tmp_path) == list(range(1, int(after[1]) + 1))
    assert last_step(tmp_path) == int(after[1])


@pytest.mark.cluster
def test_a_full_disk_ends_the_run_in_one_line_and_the_checkpoint_before_is_good(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(20))])
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=15m", "tmpfs", str(small)]
    if os.getuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        settings = {"num_workers": 1, "batch_size": 10, "epochs": 10, "checkpoint_steps": 10, "keep_last": 1}
        config = tiny(small, tiny_model, data=str(tmp_path / "dataset"), **settings)
        with pytest.raises(StoreError) as caught, Run("train", config) as run:
            loop.run(config, run)
        assert re.fullmatch(
            rf"{small}/checkpoints/tiny/step-000020/\w+.safetensors: .*No space left on device.*; "
            "the checkpoint of step 10 is good",
            str(caught.value),
        )
        checkpoints = Checkpoints(Store(str(small)), "tiny")
        position = checkpoints.latest()
        assert position
        assert position.step == 10
        assert checkpoints.load(10)["model.safetensors"]["logit_scale"].isfinite()
        assert [line["step"] for line in checkpoints.metrics(10)] == list(range(1, 11))
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.cluster
def test_a_cluster_without_room_for_all_workers_trains_with_fewer(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(20))])
    write_dataset(tmp_path / "dataset", [map(sample, range(20, 28))], "validation")
    cpus = int(ray.cluster_resources()["CPU"])
    config = tiny(
        tmp_path,
        tiny_model,
        num_workers=cpus + 1,
        min_workers=1,
        epochs=1,
        checkpoint_steps=1,
        batch_size=math.lcm(*range(1, cpus + 2)),
        eval_steps=1,
        keep_best="retrieval.image_to_text.recall@5",
    )
    with Run("train", config) as run:
        loop.run(config, run)
    records = metrics(tmp_path)
    assert {record["workers"] for record in records} == {cpus}
    assert all(record["gpu_utilisation"] == [None] * cpus for record in records)
    scores = [record["retrieval.image_to_text.recall@5"] for record in records]
    assert all(0 <= score <= 1 for score in scores)
    assert (tmp_path / "checkpoints/tiny/model/README.md").read_text().count(f"| {scores[-1]:.4g} |")
    best = records[scores.index(max(scores))]["step"]
    assert (tmp_path / f"checkpoints/tiny/step-{best:06d}/model.safetensors").is_file()


@pytest.mark.cluster
def test_training_outlives_a_drained_node_and_a_lost_one_and_grows_with_the_cluster(
    tmp_path: Path, tiny_model: str
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(30)), map(sample, range(30, 60))])
    command = [sys.executable, "-m", "tests.train.changing_cluster", str(tmp_path), tiny_model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    found = json.loads(line)
    drained_after, left_after, killed_after = found["after"]
    assert drained_after <= left_after < killed_after
    assert found["workers"] == [1, 2]
    failed = [line for line in found["told"] if line.endswith("; going on from the last checkpoint")]
    assert len(failed) == 1, found["told"]
    (repeated,) = [int(n[1]) for line in found["told"] if (n := re.match(r"train: (\d+) steps were done again", line))]
    assert repeated < 40
    assert steps(tmp_path) == list(range(1, 301))
