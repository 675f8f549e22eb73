"""A run on a cluster of three machines, one of which is lost: ``python -m tests.train.lost_nodes STORE MODEL HOW``.

A process of its own, as a process can be the driver of one cluster only.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time

import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from biomedica_ray.config import TrainConfig
from biomedica_ray.runs import Run
from biomedica_ray.train import loop

STEPS = 300


class _LoseANode(logging.Handler):
    """Loses the machine of a worker when training has begun, and keeps what the log says."""

    def __init__(self, cluster: Cluster, how: str) -> None:
        super().__init__()
        self.cluster, self.how = cluster, how
        self.node = cluster.add_node(num_cpus=1)
        self.lines: list[str] = []
        self.lost_after = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        step = re.match(r"train: step (\d+) of", self.lines[-1])
        if step and not self.lost_after:
            self.lost_after = int(step[1])
            self.cluster.add_node(num_cpus=1)
            if self.how == "killed":
                self.cluster.remove_node(self.node, allow_graceful=False)
            else:
                reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
                deadline_ms = int((time.time() + 300) * 1000)
                GcsClient(address=self.cluster.address).drain_node(self.node.node_id, reason, "test", deadline_ms)


def main(store: str, model: str, how: str) -> None:
    """Prints after which step the node was lost and what the log said, as JSON."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    log = _LoseANode(cluster, how)
    ray.init(address=cluster.address, log_to_driver=False)
    settings = {"batch_size": 5, "epochs": STEPS // 6, "checkpoint_steps": 10, "log_steps": 1, "max_failures": 1}
    config = TrainConfig(store=store, name="tiny", model=model, pretrained=None, num_workers=2, **settings)
    loop.log.addHandler(log)
    with Run("train", config) as run:
        loop.run(config, run)
    told = [line for line in log.lines if not line.startswith("train: step")]
    print(json.dumps({"lost_after": log.lost_after, "told": told}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
