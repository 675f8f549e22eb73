"""What is logged while a stage waits for nodes, by Ray's own word."""

from __future__ import annotations

import logging
import queue

import pytest
import ray

from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.config.needs import GIB
from biomedica_ray.resources import waiting, waits_for

NEEDS = AnnotateConfig(store="s", num_gpus=1, num_cpus=2, fit_cpus=16, memory_gb=1).needs()
CPU_NODE = {"CPU": 4.0, "memory": 16.0 * GIB}
GPU_REQUEST = (("CPU", 2.0), ("GPU", 1.0), ("memory", 1.0 * GIB))
SMALL_REQUEST = (("CPU", 1.0),)


class Lines(logging.Handler):
    """Log lines, to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: queue.Queue[str] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.put(record.getMessage())


def test_it_waits_for_what_it_asked_for_and_no_node_can_give() -> None:
    what = waits_for("annotate", NEEDS, [CPU_NODE], {GPU_REQUEST: 2, SMALL_REQUEST: 9}, idle=False)
    assert what == "2 CPUs (annotate.num_cpus) and 1 GPU (annotate.num_gpus) and 1 GB of memory (annotate.memory_gb)"


def test_it_does_not_wait_for_what_it_has_not_asked_for_yet() -> None:
    assert waits_for("annotate", NEEDS, [CPU_NODE], {SMALL_REQUEST: 9}, idle=False) == ""


def test_it_does_not_wait_while_its_kind_of_node_is_at_work() -> None:
    nodes = [CPU_NODE, {**CPU_NODE, "GPU": 1.0}]
    assert waits_for("annotate", NEEDS, nodes, {GPU_REQUEST: 1}, idle=False) == ""


def test_it_waits_where_nothing_runs() -> None:
    assert waits_for("extract", (), [], {(("CPU", 1.0), ("memory", 1.5 * GIB)): 3}, idle=True) == (
        "1 CPU and 1.5 GB of memory"
    )
    assert waits_for("extract", (), [], {}, idle=True) == ""


def _nothing() -> None:
    """A task."""


@pytest.mark.cluster
def test_a_line_names_the_key_and_what_ray_says(ray_cluster: None) -> None:
    lines = Lines()
    log = logging.getLogger("biomedica_ray.resources")
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    needs = AnnotateConfig(store="s", num_gpus=1, memory_gb=0.5).needs()
    asked = ray.remote(_nothing).options(num_cpus=1, num_gpus=1, memory=GIB).remote()
    try:
        with waiting("annotate", needs, every_s=0.2):
            first, second = (lines.lines.get(timeout=60) for _ in range(2))
    finally:
        log.removeHandler(lines)
        ray.cancel(asked)
    assert first.startswith("annotate: waiting for 1 CPU (annotate.num_cpus) and 1 GPU (annotate.num_gpus) and 0.5 GB")
    assert "in use 0/2 CPU" in first
    assert "'GPU': 1.0" in first
    assert float(second.split(" s;")[0].rsplit(", ", 1)[1]) >= 0
