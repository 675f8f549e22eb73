"""A run on a cluster that loses machines and gets others: ``python -m tests.train.changing_cluster STORE MODEL``.

A process of its own, as a process can be the driver of one cluster only.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
import time
from functools import partial
from pathlib import Path

import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from biomedica_ray.runs import Run
from biomedica_ray.train import learner, loop
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.job import Job, train_worker
from tests.fakes.head import NOTICES_LOSSES_SOON

STEP = r"train: step (\d+) of"
LEFT = r"train: workers were told to leave; resuming after step (\d+) of"
FAILED = r"train: worker (\d+) failed: "
WORKERS = r"train: number of workers: (\d+), was"
TRAIN_NOTICES_SOON = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "10", "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1"}
"""Of Ray Train, which otherwise waits a minute for room on a node that is drained before it starts without it."""
HELD_AT = 250
"""No worker goes beyond this step until the run has grown: however fast the machine, there is a run that can grow."""
PACE_S = 0.1
"""The least that a step takes until then: a notice, which workers ask for every few seconds, comes before the hold."""


class _Log(logging.Handler):
    """What the stage logs, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._new.put(self.lines[-1])

    def number(self, pattern: str) -> int:
        """The number in the next line that the pattern matches."""
        while True:
            if found := re.match(pattern, self._new.get(timeout=240)):
                return int(found[1])


def train_until_held(grown: Path, job: Job) -> None:
    """``train_worker``, slow at first and held at a step, until the file ``grown`` is there."""
    learning_rate = learner.learning_rate

    def held(step: int, *schedule: object) -> float:
        while not grown.exists():
            time.sleep(PACE_S)
            if step < HELD_AT:
                break
        return learning_rate(step, *schedule)  # type: ignore[arg-type]

    learner.learning_rate = held  # type: ignore[assignment]
    train_worker(job)


def train(store: str, model: str, grown: Path) -> None:
    # So that the test need not wait a minute until Ray looks for room.
    loop.ray.train.ScalingConfig = partial(ray.train.ScalingConfig, elastic_resize_monitor_interval_s=2.0)
    loop.train_worker = partial(train_until_held, grown)  # type: ignore[assignment]
    workers = {"num_workers": 2, "min_workers": 1, "batch_size": 5, "max_failures": 1}
    settings = {"epochs": 50, "checkpoint_steps": 10, "log_steps": 1}
    config = TrainConfig(store=store, name="tiny", model=model, pretrained=None, **workers, **settings)
    with Run("train", config) as run:
        loop.run(config, run)


def main(store: str, model: str) -> None:
    """Prints after which steps machines went, the numbers of workers since, and what the log said, as JSON."""
    log = _Log()
    logging.getLogger("biomedica_ray.train").addHandler(log)
    os.environ.update(TRAIN_NOTICES_SOON)
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICES_LOSSES_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    drained, killed = (cluster.add_node(num_cpus=1) for _ in range(2))
    ray.init(address=cluster.address, log_to_driver=False)
    # Aside, as nodes can be added by the main thread only.
    grown = Path(store) / "grown"
    training = threading.Thread(target=train, args=(store, model, grown))
    training.start()

    drained_after = log.number(STEP)
    reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    deadline_ms = int((time.time() + 300) * 1000)
    GcsClient(address=cluster.address).drain_node(drained.node_id, reason, "test", deadline_ms)
    left_after = log.number(LEFT)
    workers = [log.number(WORKERS)]

    killed_after = log.number(STEP)
    cluster.remove_node(killed, allow_graceful=False)
    log.number(FAILED)
    # Only now, so that the run cannot have grown before.
    cluster.add_node(num_cpus=1)
    log.number(STEP)

    cluster.add_node(num_cpus=1)
    workers.append(log.number(WORKERS))
    grown.touch()
    training.join()
    told = [line for line in log.lines if not re.match(STEP, line)]
    print(json.dumps({"after": [drained_after, left_after, killed_after], "workers": workers, "told": told}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
