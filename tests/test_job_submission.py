"""The stages as Ray jobs on a cluster of its own, with the store on an S3 server."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from biomedica_ray.runs import read_runs
from biomedica_ray.stages import CONFIGS, load
from biomedica_ray.store import Store
from tests.fakes.head import BIN, ray_head
from tests.fakes.s3 import client, free_port, s3_server
from tests.test_pipeline import assert_rows_are_in_the_tables

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cluster:
    """A cluster started with ``ray start --head``, and the S3 server that its workers write to."""

    dashboard: str
    s3: str

    def submit(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``ray job submit`` as the README has it; returns when the job has ended."""
        return self.run("--working-dir", ".", "--", "python", script, *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``ray job submit``; returns when the job has ended."""
        with self.start(*arguments) as submit:
            stdout, stderr = submit.communicate(timeout=600)
        return subprocess.CompletedProcess(submit.args, submit.returncode, stdout, stderr)

    def biomedica(self, command: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """``biomedica submit`` and the like; returns when it has ended."""
        with self.start_biomedica(command, *arguments, folder=folder) as started:
            stdout, stderr = started.communicate(timeout=600)
        return subprocess.CompletedProcess(started.args, started.returncode, stdout, stderr)

    def start_biomedica(self, command: str, *arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
        """The same, which goes on."""
        line = [str(BIN / "biomedica"), command, "--address", self.dashboard, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(line, cwd=folder, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    @property
    def environment(self) -> dict[str, str]:
        """Of a command that talks to the cluster."""
        return {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``ray job submit``, which goes on."""
        command = [str(BIN / "ray"), "job", "submit", "--address", self.dashboard, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with s3_server() as url, ray_head(free_port(), 2) as dashboard:
        client(url).create_bucket(Bucket="stores")
        cluster = Cluster(dashboard, url)
        _wait_for_agent(cluster)
        yield cluster


def _wait_for_agent(cluster: Cluster, seconds: float = 60) -> None:
    """The dashboard answers before the agent that starts jobs has reported to it."""
    deadline = time.monotonic() + seconds
    while (done := cluster.run("--", "true")).returncode:
        assert time.monotonic() < deadline, done.stderr


TRAIN = ("--train.epochs", "1", "--train.num_workers", "1")
"""How much a pipeline trains that is tested for everything else: starting a worker takes longer than this."""


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_pipeline_as_a_job_with_its_store_on_s3(cluster: Cluster) -> None:
    arguments = ["--config", "jobs/demo.yaml", "--store", "s3://stores/demo", "--endpoint_url", cluster.s3]
    labels = ["--label.labels", "biomedica_ray/sample/labels.yaml"]
    done = cluster.submit("jobs/pipeline.py", *arguments, *labels, *TRAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store("s3://stores/demo", cluster.s3)
    runs = {run["stage"]: run for run in read_runs(store)}
    assert {run["status"] for run in runs.values()} == {"done"}
    assert list(runs) == [
        "extract",
        "panels",
        "dedupe",
        "annotate",
        "label",
        "serialize",
        "train",
        "evaluate",
        "report",
    ]
    assert_rows_are_in_the_tables(store, runs)
    assert "report.html" in done.stdout


SUBMIT = "--working-dir . -- python -m biomedica_ray"
"""How docs/cluster.md submits each stage."""


def test_the_guide_submits_stages_by_their_names() -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text()
    assert f"{SUBMIT} extract --config jobs/extract.yaml" in guide
    lines = re.findall(r"^    (biomedica submit .*)$", guide, re.M)
    assert len(lines) == 10
    for line in lines:
        stage, *arguments = shlex.split(line.replace("YOUR_BUCKET", "bucket"))[2:]
        assert load(stage, arguments).store.startswith("s3://bucket/")
    assert [stage for stage in CONFIGS if not (ROOT / "jobs" / f"{stage}.yaml").exists()] == []


@pytest.mark.cluster
def test_a_job_that_waits_for_a_node_says_what_for_and_can_be_stopped(cluster: Cluster, tmp_path: Path) -> None:
    """It joins a cluster by its address, which may grow; ``ray job submit`` of a job that was stopped ends with 0."""
    command = ["--submission-id", "waits", *SUBMIT.split(), "extract", "--source", "sample"]
    with cluster.start(*command, "--store", str(tmp_path / "s"), "--memory_gb", "1000") as submit:
        assert submit.stdout
        seen = list(itertools.takewhile(lambda line: "waiting for" not in line, submit.stdout))
        waiting = submit.stdout.readline()
        stop = [str(BIN / "ray"), "job", "stop", "--address", cluster.dashboard, "waits"]
        subprocess.run(stop, env=cluster.environment, capture_output=True, check=True)
        after = submit.stdout.read()
    assert "extract: waiting for 1000 GB of memory (extract.memory_gb)" in waiting, "".join(seen)
    assert "'memory': 1073741824000.0}: 1" in waiting
    assert submit.returncode == 0, after
    assert "biomedica extract: stopped; what is done stays done, and the same command continues from there" in after
    assert "Job 'waits' was stopped" in after
    assert "Traceback" not in after
    assert not (tmp_path / "s").exists()


@pytest.mark.cluster
def test_stages_are_submitted_by_their_names(cluster: Cluster) -> None:
    done = cluster.run(*SUBMIT.split(), "select", "--store", "s3://stores/x")
    assert done.returncode == 1
    assert "biomedica select: name: missing; expected" in done.stdout + done.stderr


@pytest.mark.cluster
def test_a_job_with_a_bad_config_fails_in_one_line(cluster: Cluster) -> None:
    done = cluster.submit("jobs/extract.py", "--store", "s3://stores/x", "--limit", "none-at-all")
    assert done.returncode != 0
    assert "limit: expected a whole number, got none-at-all" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout


@pytest.mark.cluster
def test_biomedica_submit_from_any_folder_follows_the_job(cluster: Cluster, tmp_path: Path) -> None:
    """The package and the config travel; work that is done may be submitted again, under another id."""
    (tmp_path / "mine.yaml").write_text(f"source: sample\nstore: s3://stores/any\nendpoint_url: {cluster.s3}\n")
    (tmp_path / "constraints.txt").write_text("ray==0.0.1\n")
    work = ("extract", "--config", "mine.yaml", "--limit", "3")
    first = cluster.biomedica("submit", *work, folder=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "(locked: 0.0.1); install the lock on the nodes anew" in first.stdout
    second = cluster.biomedica("submit", *work, folder=tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    name, again = (re.search(r"job (extract-\w{8}-\d) is submitted", done.stderr) for done in (first, second))
    assert name and again and again[1] == f"{name[1].removesuffix('1')}2"
    runs = read_runs(Store("s3://stores/any", cluster.s3))
    assert [(run["stage"], run["status"]) for run in runs] == [("extract", "done")] * 2
    listed = cluster.biomedica("jobs").stdout.splitlines()
    assert [line.split()[:4] for line in listed if "s3://stores/any" in line] == [
        [job, "extract", "s3://stores/any", "succeeded"] for job in (again[1], name[1])
    ]


@pytest.mark.cluster
def test_a_job_goes_on_without_its_submitter_and_is_never_there_twice(cluster: Cluster, tmp_path: Path) -> None:
    work = ("extract", "--source", "sample", "--store", str(tmp_path / "s"), "--memory_gb", "1000")
    first = cluster.biomedica("submit", "--follow", "false", *work)
    assert first.returncode == 0, first.stderr
    found = re.search(r"job (extract-\w{8}-1) is submitted", first.stderr)
    assert found and f"biomedica logs {found[1]} --address {cluster.dashboard}" in first.stderr
    with cluster.start_biomedica("submit", *work) as second:
        assert second.stdout and second.stderr
        assert f"job {found[1]} does this already" in second.stderr.readline()
        assert any("waiting for 1000 GB of memory" in line for line in second.stdout)
        second.send_signal(signal.SIGINT)
        said = second.stderr.read()
    assert second.returncode == 130
    assert f"job {found[1]} goes on" in said and "Traceback" not in said
    (waits,) = [line for line in cluster.biomedica("jobs").stdout.splitlines() if found[1] in line]
    assert "running" in waits and "waiting for 1000 GB of memory" in waits
    stopped = cluster.biomedica("stop", found[1])
    assert stopped.returncode == 0 and "has ended; the same submit continues its work" in stopped.stderr
    log = cluster.biomedica("logs", found[1])
    assert log.returncode == 143
    assert "biomedica extract: stopped; what is done stays done" in log.stdout
    assert "has ended before" in cluster.biomedica("stop", found[1]).stderr


@pytest.mark.cluster
def test_what_cannot_be_submitted_is_one_line(cluster: Cluster) -> None:
    bad = cluster.biomedica("submit", "extract", "--store", "s3://stores/x", "--limit", "none-at-all")
    assert (bad.returncode, bad.stderr) == (
        2,
        "biomedica submit: limit: expected a whole number, got none-at-all\n",
    )
    unknown = cluster.biomedica("logs", "nothing-1")
    assert unknown.returncode == 1 and "nothing-1" in unknown.stderr and len(unknown.stderr.splitlines()) == 1
    nobody = cluster.biomedica("jobs", "--address", f"http://127.0.0.1:{free_port()}")
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("biomedica jobs: address: no Ray Jobs API that we may use answers at http://")
