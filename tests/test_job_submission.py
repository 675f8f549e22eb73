"""The stages as Ray jobs on a cluster of its own, with the store on an S3 server."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from biomedica_ray.runs import read_runs
from biomedica_ray.stages import CONFIGS
from biomedica_ray.store import Store
from tests.fakes.s3 import client, free_port, s3_server
from tests.test_pipeline import assert_rows_are_in_the_tables

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


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
    port, dashboard_port = free_port(), free_port()
    with s3_server() as url:
        client(url).create_bucket(Bucket="stores")
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PATH": f"{BIN}:{os.environ['PATH']}"}
        environment.pop("RAY_ADDRESS", None)
        command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus", "2", "--port", str(port)]
        options = ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard_port)]
        # The defaults of these are taken where another cluster runs on this machine.
        for port_of in ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "ray-client-server"):
            options += [f"--{port_of}-port", str(free_port())]
        folder = f"/tmp/ray-{os.getpid()}"  # the path of a UNIX socket must be short
        head = subprocess.Popen([*command, *options, "--temp-dir", folder], env=environment, start_new_session=True)
        try:
            _wait(f"http://127.0.0.1:{dashboard_port}/api/version", head)
            cluster = Cluster(f"http://127.0.0.1:{dashboard_port}", url)
            _wait_for_agent(cluster)
            yield cluster
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(60)


def _wait(url: str, head: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert head.poll() is None, "ray start ended"
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"{url} did not answer within {seconds} s")


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
        "dedupe",
        "panels",
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
    assert f'{SUBMIT} $1 --config jobs/$1.yaml "${{@:2}}"' in guide
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
