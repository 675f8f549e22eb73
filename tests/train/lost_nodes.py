"""A run on a cluster of three machines, of which one is drained and another one dies: `python -m ... STORE MODEL`.

A process of its own, as a process can be the driver of one cluster only.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import time

import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import TrainConfig
from biomedica_ray.runs import Run
from biomedica_ray.train import loop


class _LoseNodes(logging.Handler):
    """Drains one node, and kills another one after training went on; each time another one comes in its place.

    When training went on again, it stops the run.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.nodes = [cluster.add_node(num_cpus=1)]
        self.lines: list[str] = []
        self.drained = self.killed = self.stopped = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        step = re.match(r"train: step (\d+) of", self.lines[-1])
        if step and not self.drained:
            self.drained = int(step[1])
            self._replace()
            deadline = int((time.time() + 300) * 1000)
            reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
            GcsClient(address=self.cluster.address).drain_node(self.nodes[0].node_id, reason, "test", deadline)
        elif step and not self.killed and any("told to leave" in line for line in self.lines):
            self.killed = int(step[1])
            self._replace()
            self.cluster.remove_node(self.nodes[1], allow_graceful=False)
        elif step and not self.stopped and any(line.endswith("from the last checkpoint") for line in self.lines):
            self.stopped = int(step[1])
            os.kill(os.getpid(), signal.SIGTERM)

    def _replace(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1))


def main(store: str, model: str) -> None:
    """Prints what the log said, as JSON."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes = _LoseNodes(cluster)
    ray.init(address=cluster.address, log_to_driver=False)
    settings = {"batch_size": 5, "epochs": 10**4, "checkpoint_steps": 50, "log_steps": 1, "max_failures": 1}
    config = TrainConfig(store=store, name="tiny", model=model, pretrained=None, num_workers=2, **settings)
    loop.log.addHandler(nodes)
    try:
        with Run("train", config) as run:
            loop.run(config, run)
    except StageFailedError as error:
        nodes.lines.append(str(error))
    told = [line for line in nodes.lines if not line.startswith("train: step")]
    print(json.dumps({"drained": nodes.drained, "killed": nodes.killed, "stopped": nodes.stopped, "told": told}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
