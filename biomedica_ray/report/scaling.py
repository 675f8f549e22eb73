"""How the cluster grew and shrank under the last run of each stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from biomedica_ray.cluster_size import Size, hours
from biomedica_ray.report.charts import LineChart, line_chart


@dataclass(frozen=True)
class Scaling:
    """The cluster under one run.

    Attributes:
        stage: The run's stage.
        cpu_hours: CPUs over time, used or not.
        gpu_hours: GPUs over time.
        most: Nodes at most.
        cpus: CPUs by seconds; None where they did not change.
        gpus: The same of GPUs.
    """

    stage: str
    cpu_hours: float
    gpu_hours: float
    most: int
    cpus: LineChart | None
    gpus: LineChart | None


def read_scaling(runs: Iterable[dict[str, Any]]) -> list[Scaling]:
    """Of each run that recorded it.

    Args:
        runs: Records of runs, the last one of each stage.
    """
    recorded = [(run["stage"], sizes) for run in runs if len(sizes := run["results"].get("cluster", [])) > 1]
    return [
        Scaling(
            stage,
            hours(sizes, "CPU"),
            hours(sizes, "GPU"),
            int(max(size["nodes"] for size in sizes)),
            _steps(sizes, "CPU"),
            _steps(sizes, "GPU"),
        )
        for stage, sizes in recorded
    ]


def _steps(sizes: list[Size], kind: str) -> LineChart | None:
    """A line that is level between two changes."""
    if len({size[kind] for size in sizes}) == 1:
        return None
    xs, ys = [sizes[0]["s"]], [sizes[0][kind]]
    for before, after in pairwise(sizes):
        xs += [after["s"], after["s"]]
        ys += [before[kind], after[kind]]
    return line_chart(xs, ys)
