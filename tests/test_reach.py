"""A store on a local disk, and a node that has another disk there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import subprocess, sys, time
import ray
from ray.cluster_utils import Cluster
from biomedica_ray.cli import main
from biomedica_ray.reach import check_reach
from biomedica_ray.store import Store

store, shared = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = f"{sys.executable} -m ray.scripts.scripts start --address {cluster.address} --num-cpus 1 --block"
apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"mount -t tmpfs none {store} && exec {node}"]
process = subprocess.Popen(apart, stdout=subprocess.DEVNULL)
ray.init(address=cluster.address, log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) < 2:
    time.sleep(0.2)
check_reach(Store(shared), "file")
code = main(["extract", "--store", store, "--source", "sample", "--limit", "2", "--memory_gb", "0.5"])
process.terminate()
ray.shutdown()
cluster.shutdown()
sys.exit(code)
"""


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_a_store_that_a_node_does_not_see_is_refused(tmp_path: Path) -> None:
    store, shared = tmp_path / "store", tmp_path / "shared"
    for folder in (store, shared):
        folder.mkdir()
    (shared / "file").touch()
    command = [sys.executable, "-c", SCRIPT, str(store), str(shared)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 2, done.stderr[-3000:]
    assert (
        f"biomedica extract: store: {store}: is on a disk of this machine, and 1 of 2 nodes do not see it, "
        in done.stderr
    )
    assert not (store / "figures").exists()
