"""Batches of actors whose node is lost with what they had ready: ``python -m tests.reading.losing_a_node DATASET``.

A process of its own, as a process can be the driver of one cluster only.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import sys
from collections.abc import Generator
from itertools import islice

import ray
import torch
from ray.cluster_utils import Cluster

from biomedica_ray.ahead import PREFETCH
from biomedica_ray.reading.actors import batches_of_actors
from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Batch, Preparation, Stream
from biomedica_ray.store import Store
from tests.fakes.head import NOTICES_LOSSES_SOON

SIZE = (192, 192)
"""Pixels of a sample. Pieces of a few are more than the 100 KiB up to which Ray keeps them with whoever asked."""


def no_tokens(texts: list[str]) -> torch.Tensor:
    return torch.zeros((len(texts), 4), dtype=torch.long)


def wait_until_ready(source: Generator[Batch, None, None]) -> None:
    """Wait for all pieces that the actor of the only lane prepares ahead, without bringing them here."""
    (pieces,) = inspect.getgeneratorlocals(source)["sources"]
    ahead = list(inspect.getgeneratorlocals(pieces)["ahead"])
    ready, _ = ray.wait(ahead, num_returns=len(ahead), timeout=120, fetch_local=False)
    assert len(ready) == PREFETCH


def main(root: str) -> None:
    """Prints the keys of the batches that actors give while their node is lost, and of those without, as JSON."""
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICES_LOSSES_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    data = Store(root)
    order = Stream(data, read_shards(data, None, "train"), lanes=1, batch_size=3, seed=0, buffer=4)
    rows, start, how = rows_of_worker(0, 1, 1, 3), {0: LanePosition()}, Preparation(SIZE, "bicubic", no_tokens)
    expected = list(islice(order.batches(rows, start, how, 1), 8))
    with contextlib.closing(batches_of_actors(order, rows, start, how, 1)) as source:
        found = list(islice(source, 2))
        wait_until_ready(source)
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1)
        found += list(islice(source, 6))
    print(json.dumps({"found": [b.keys for b in found], "expected": [b.keys for b in expected]}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
