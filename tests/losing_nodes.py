"""Stages that lose a node while they run: ``python -m tests.losing_nodes STORE``.

A process of its own, as a process can be the driver of one cluster only. Each stage does again what the store has, on
two nodes of one CPU; serialize from nothing, as shards that are written again get other names. Once a worker has
committed its first unit it is stopped, so that the next one is begun and not done, and its node's raylet is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from biomedica_ray.cli import run_stage
from biomedica_ray.runs import read_runs
from biomedica_ray.stages import CONFIGS
from biomedica_ray.store import Store
from tests.fakes.head import NOTICES_LOSSES_SOON

STAGES = ("extract", "dedupe", "serialize")
TRIES = 3
"""Runs of a stage until one has done a unit again: a worker may have been stopped between the row that it gave and the
end of its task, and Ray Data then takes no other row of the same."""


def contents(store: Path) -> dict[str, str]:
    """(stage, unit, table) of every commit -> what the file holds."""
    found = {}
    for record in sorted(store.glob("commits/**/[0-9]*.json")):
        commit = json.loads(record.read_bytes())
        for table, path in commit["files"].items():
            file = store / path
            rows = repr(pq.read_table(file).to_pylist()).encode() if file.suffix == ".parquet" else file.read_bytes()
            found[f"{commit['stage']} {commit['unit']} {table}"] = hashlib.sha256(rows).hexdigest()
    return found


def first_worker(store: Path, stage: str, since: float) -> int:
    """The process that commits a unit first, of those that are committed since then."""
    while True:
        for record in store.glob(f"commits/{stage}/**/[0-9]*.json"):
            with suppress(FileNotFoundError):  # records of before are removed
                if record.stat().st_mtime > since:
                    return int(json.loads(record.read_bytes())["worker"].rpartition(":")[2])
        time.sleep(0.02)


def lose_node_of(cluster: Cluster, worker: int) -> None:
    """Kill the raylet of a worker that is in the middle of a unit, and the worker with it.

    Ray's workers have the name of what they do as their title; those that do units are ``Map`` or ``MapWorker``.
    """
    while True:
        os.kill(worker, signal.SIGSTOP)
        if psutil.Process(worker).cmdline()[0].startswith("ray::Map"):
            break
        os.kill(worker, signal.SIGCONT)
        time.sleep(0.01)
    time.sleep(0.5)
    raylet = psutil.Process(worker).ppid()
    (node,) = (n for n in cluster.worker_nodes if n.all_processes["raylet"][0].process.pid == raylet)
    os.kill(raylet, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)


def run_and_lose(cluster: Cluster, store: Path, stage: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run a stage that loses a node; tells what it did."""
    before, since, codes = contents(store), time.time(), list[int]()
    if stage == "serialize":
        for folder in ("dataset", "shard-plan", "commits/serialize"):
            shutil.rmtree(store / folder)
    config = CONFIGS[stage](**{**settings, "store": str(store), "again": stage != "serialize"})
    # Aside, as nodes can be added by the main thread only.
    running = threading.Thread(target=lambda: codes.append(run_stage(stage, config)))
    running.start()
    lose_node_of(cluster, first_worker(store, stage, since))
    cluster.add_node(num_cpus=1)
    running.join()
    run = read_runs(Store(str(store)))[-1]
    usage, after = run["results"]["usage"], contents(store)
    return {
        "code": codes,
        "again": usage.get("again", {}),
        "units": usage["units"],
        "counts": run["counts"],
        "files": len(after),
        "other": sorted(name for name in {*before, *after} if before.get(name) != after.get(name)),
    }


def main(root: str) -> None:
    """Prints what each stage did, as JSON."""
    store = Path(root)
    configs = {run["stage"]: run["config"] for run in read_runs(Store(root))}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICES_LOSSES_SOON},
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    told: dict[str, Any] = {}
    for stage in STAGES:
        for _ in range(TRIES):
            told[stage] = run_and_lose(cluster, store, stage, configs[stage])
            if told[stage]["again"]:
                break
    print(json.dumps(told))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
