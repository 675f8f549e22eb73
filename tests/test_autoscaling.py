"""An extraction on a cluster that has no node for work until the extraction asks for one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from ray._private.services import get_node_ip_address
from ray.util.state import list_nodes

from biomedica_ray.cluster_size import hours
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from tests.fakes.head import BIN, ray_head
from tests.fakes.nodes import HEAD_ENVIRONMENT, autoscaling_config
from tests.fakes.s3 import free_port

ROOT = Path(__file__).parents[1]
IDLE_MINUTES = 0.05


def cpus(dashboard: str) -> float:
    """Those of all live nodes."""
    alive = list_nodes(address=dashboard, filters=[("state", "=", "ALIVE")], raise_on_missing_output=False)
    return sum(node.resources_total.get("CPU", 0) for node in alive)


@pytest.mark.cluster
def test_nodes_come_for_an_extraction_and_go_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    port, config = free_port(), tmp_path / "autoscaling.json"
    node = {"CPU": 1, "memory": 3 * 2**30, "object_store_memory": 200_000_000}
    types = {"cpu": {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": 2}}
    config.write_text(json.dumps(autoscaling_config(f"{get_node_ip_address()}:{port}", types, IDLE_MINUTES)))
    environment = {**HEAD_ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    with ray_head(port, 0, [f"--autoscaling-config={config}"], environment) as dashboard:
        assert cpus(dashboard) == 0
        command = [BIN / "biomedica", "extract", "--store", tmp_path / "store", "--source", "sample"]
        joins = {**os.environ, "RAY_ADDRESS": f"127.0.0.1:{port}"}
        done = subprocess.run(command, env=joins, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + 60
        while cpus(dashboard) and time.monotonic() < deadline:
            time.sleep(1)
        assert cpus(dashboard) == 0
    (run,) = read_runs(Store(str(tmp_path / "store")))
    sizes = run["results"]["cluster"]
    assert sizes[0] == {"s": sizes[0]["s"], "nodes": 1, "CPU": 0, "GPU": 0}
    assert 1 <= max(size["CPU"] for size in sizes) <= 2
    assert 0 < hours(sizes, "CPU") * 3600 < 2 * run["seconds"]
    assert run["counts"]["articles"]["rows_out"] == 31
