"""Nodes that are lost while a stage runs, as spot nodes are: the work of theirs is done again, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from tests.losing_nodes import STAGES


@pytest.mark.cluster
def test_a_stage_that_loses_a_node_ends_with_the_same_rows(demo_store: Path, tmp_path: Path) -> None:
    clean = {run["stage"]: run["counts"] for run in read_runs(Store(str(demo_store)))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.losing_nodes", str(shutil.copytree(demo_store, tmp_path / "store"))],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    told = json.loads(line)
    assert tuple(told) == STAGES
    for stage, run in told.items():
        assert (run["code"], run["other"]) == ([0], []), done.stderr
        assert run["counts"] == clean[stage] and run["files"] > 50
        # What the lost worker had been given: a unit, and of an actor of extract as many as wait for it.
        assert 1 <= sum(run["again"].values()) < 14, (stage, run["again"], done.stderr)
    assert told["extract"]["units"] == {"extract": len(Store(str(demo_store)).commits("extract"))}
