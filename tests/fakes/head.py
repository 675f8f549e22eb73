"""A head node of its own for tests: ``ray start --head``, with ports that nobody else has."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.s3 import free_port

BIN = Path(sys.executable).parent

_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")

NOTICES_LOSSES_SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}
"""System config of a head that otherwise takes some 15 seconds to know that a node is lost."""


@contextmanager
def ray_head(
    port: int, num_cpus: int, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """While the block runs, a head node at ``port`` of this machine; gives the address of its dashboard."""
    dashboard_port = free_port()
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    path = {"RAY_AUTH_MODE": "disabled", "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus", str(num_cpus), "--port", str(port)]
    command += ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard_port)]
    # The defaults of these are taken where another cluster runs on this machine.
    for port_of in ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "ray-client-server"):
        command += [f"--{port_of}-port", str(free_port())]
    folder = Path(f"/tmp/ray-{os.getpid()}-{port}")  # the path of a UNIX socket must be short
    command += ["--temp-dir", str(folder)]
    head = subprocess.Popen(
        [*command, *options], env={**inherited, **path, **(environment or {})}, start_new_session=True
    )
    dashboard = f"http://127.0.0.1:{dashboard_port}"
    try:
        _wait(f"{dashboard}/api/version", head)
        yield dashboard
    finally:
        # Not by SIGTERM: they wait half a minute for each other's answers.
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=30)
        head.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def kill_driver(driver: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a session and has started Ray on this machine; returns when Ray's workers have ended.

    They end as they notice that it is gone. Ray's agents take ten seconds longer, and commit nothing.
    """
    workers = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            if (line.startswith("ray::") and not line.startswith(_AGENTS)) or "_worker.py" in line:
                workers.append(process)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


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
