"""Notices that a worker or the job is to end."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import TrainConfig
from biomedica_ray.runs import Run
from biomedica_ray.train import loop
from biomedica_ray.train.leaving import stop_signals
from tests.train.shards import sample, write_dataset


def test_the_first_signal_is_a_notice_and_the_next_one_is_not() -> None:
    told = []
    before = signal.getsignal(signal.SIGINT)
    with stop_signals(lambda: told.append("stop")) as came:
        assert not came.is_set()
        signal.raise_signal(signal.SIGINT)
        assert came.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert told == ["stop"]
    assert signal.getsignal(signal.SIGINT) == before


class _AtStep(logging.Handler):
    """Does something at the first log line of a step from a given one on, and keeps what the log says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.todo: list[tuple[int, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        step = re.match(r"train: step (\d+) of", self.lines[-1])
        if step and self.todo and int(step[1]) >= self.todo[0][0]:
            os.kill(self.todo.pop(0)[1](), signal.SIGTERM)  # type: ignore[operator]


@contextmanager
def followed(log: logging.Logger) -> Iterator[_AtStep]:
    handler = _AtStep()
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)


def worker() -> int:
    """Of the last started Ray Train worker."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "RayTrainWorker" in " ".join(child.cmdline())][-1]


def steps(store: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (store / "checkpoints/tiny/metrics.jsonl").read_text().splitlines()]


@pytest.mark.cluster
def test_sigterm_gives_a_checkpoint_of_the_very_step(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    """A worker gets SIGTERM, then the driver; started again, the run ends with each step done once."""
    write_dataset(tmp_path / "dataset", [map(sample, range(30)), map(sample, range(30, 60))])
    config = TrainConfig(
        store=str(tmp_path),
        name="tiny",
        model=tiny_model,
        pretrained=None,
        batch_size=5,
        epochs=50,
        warmup_steps=2,
        shuffle_buffer=4,
        checkpoint_steps=10**6,
        log_steps=1,
        max_failures=0,
    )
    with followed(loop.log) as log:
        log.todo = [(5, worker), (40, os.getpid)]
        with pytest.raises(StageFailedError) as stopped, Run("train", config) as run:
            loop.run(config, run)
        after = re.match(r"stopped after step (\d+) of 300; the same command goes on from there$", str(stopped.value))
        assert after, str(stopped.value)
        assert steps(tmp_path) == list(range(1, int(after[1]) + 1))
        (left,) = [line for line in log.lines if "told to leave" in line]
        again = re.fullmatch(r"train: workers were told to leave; going on after step (\d+) of 300", left)
        assert again
        assert 5 <= int(again[1]) < int(after[1])

        with Run("train", config) as run:
            loop.run(config, run)
        done = [int(step[1]) for line in log.lines if (step := re.match(r"train: step (\d+) of", line))]
    assert f"train: going on after step {after[1]} of 300" in log.lines
    assert run.results["repeated_steps"] == 0
    assert done == steps(tmp_path) == list(range(1, 301))
