"""The batch script as SLURM runs it, with an srun that starts each step on this machine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from tests.fakes.head import BIN

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "biomedica.sbatch"

SRUN = """#!/bin/bash
echo "$@" >> "$STEPS"
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
[ "$1 $2 $3" = "show hostnames n[1-2]" ] && hostname -I | cut -d' ' -f1
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a job of two nodes."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    job = {
        "JOB_NODELIST": "n[1-2]",
        "JOB_NUM_NODES": "2",
        "JOB_ID": str(os.getpid()),
        "CPUS_PER_TASK": "1",
        "MEM_PER_NODE": "4096",
    }
    ours = {
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}",
        "STEPS": str(tmp_path / "steps"),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**inherited, **{f"SLURM_{name}": value for name, value in job.items()}, **ours}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.cluster
def test_a_stage_runs_on_two_nodes_with_a_token_of_their_own(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, "extract", "--store", str(tmp_path / "store"), "--source", "sample", "--limit", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = read_runs(Store(str(tmp_path / "store")))
    assert record["status"] == "done"
    assert max(size["nodes"] for size in record["results"]["cluster"]) == 2
    head, workers = (tmp_path / "steps").read_text().splitlines()
    assert head.startswith("--nodes=1 --ntasks=1 --nodelist=") and " ray start --head " in head
    assert f"--memory={4096 * 734003} " in head
    assert workers.startswith("--nodes=1 --ntasks=1 --exclude=") and " ray start --address=" in workers


def test_without_a_stage_it_says_how(environment: dict[str, str]) -> None:
    done = run(environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: sbatch deploy/slurm/biomedica.sbatch STAGE")


def test_what_sbatch_reads() -> None:
    options = re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", SCRIPT.read_text(), re.M)
    assert dict(options) == {
        "job-name": "biomedica",
        "output": "%x-%j.log",
        "nodes": "2",
        "ntasks-per-node": "1",
        "cpus-per-task": "16",
        "mem": "60G",
        "time": "24:00:00",
    }
