"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.fakes import azure, s3

os.environ.update(s3.CREDENTIALS | azure.CREDENTIALS)

# Threads that wait for each other otherwise keep processors busy that the tests beside need: where several tests run,
# training a small network or fitting a classifier then takes three times the processor seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What is compiled at its first call takes seconds then.
settings.register_profile("any time", deadline=None)
settings.load_profile("any time")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus of real articles (packages/, xml/, SOURCES.tsv); tests that need it are skipped without."""
    path = Path(os.environ.get("BIOMEDICA_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")
    if not (path / "SOURCES.tsv").exists():
        pytest.skip("no corpus of real articles here; BIOMEDICA_CORPUS names one")
    return path


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray cluster of two CPUs, the same for all tests of a session."""
    from biomedica_ray.cluster import connect
    from biomedica_ray.head_node import ClusterError

    with ExitStack() as stack:
        try:
            stack.enter_context(connect("local"))
        except ClusterError:  # Ray gives its processes half a minute to start, which a busy machine may exceed
            stack.enter_context(connect("local"))
        yield


@pytest.fixture(scope="session")
def demo_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store on which `make demo` ran: a copy of the one that BIOMEDICA_DEMO_STORE names, or one that is made here.

    Processes that share the tests of a session make one for all of them.
    """
    root = tmp_path_factory.mktemp("demo")
    if made := os.environ.get("BIOMEDICA_DEMO_STORE"):
        return shutil.copytree(made, root, dirs_exist_ok=True)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run_demo(root, request)
    common = tmp_path_factory.getbasetemp().parent
    with FileLock(common / "demo.lock"):
        if not (common / "demo").exists():
            run_demo(common / "unfinished-demo", request).rename(common / "demo")
    return shutil.copytree(common / "demo", root, dirs_exist_ok=True)


def run_demo(root: Path, request: pytest.FixtureRequest) -> Path:
    """`make demo` into a folder, on the cluster of the tests."""
    from biomedica_ray.cli import main

    project = Path(__file__).parents[1]
    request.getfixturevalue("ray_cluster")
    labels = ["--label.labels", str(project / "biomedica_ray" / "sample" / "labels.yaml")]
    sample = ["--extract.source", "sample", *labels]
    assert main(["pipeline", "--config", str(project / "jobs" / "demo.yaml"), "--store", str(root), *sample]) == 0
    return root


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty cache of a hub that cannot be reached."""
    from huggingface_hub import constants
    from transformers.utils import hub as transformers_hub

    cache = tmp_path / "hub"
    cache.mkdir()
    for module in (constants, transformers_hub):
        for name in ("HF_HUB_CACHE", "TRANSFORMERS_CACHE"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache
