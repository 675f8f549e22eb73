"""Hours, nodes and dollars of stages at another size: the measured hours of a run, times the ratio of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from biomedica_ray.cluster_size import hours

KINDS = ("CPU", "GPU")

ENTITIES = {
    "extract": "articles",
    "dedupe": "figures",
    "panels": "figures",
    "annotate": "figures",
    "label": "labels",
    "serialize": "figures",
}
"""The stages whose work grows with the rows that they read -> the rows that say how much it was."""

SHORT_S = 600.0
"""A run that was shorter tells little: starting nodes and workers took a good part of it."""


@dataclass(frozen=True)
class Measured:
    """A run of a stage.

    Attributes:
        stage: The stage.
        rows: Rows that it read: articles for extract, figures for the others.
        seconds: How long it took.
        hours: CPU-hours and GPU-hours that were there meanwhile, used or not.
    """

    stage: str
    rows: int
    seconds: float
    hours: Mapping[str, float]


@dataclass(frozen=True)
class Machine:
    """A type of node.

    Attributes:
        name: The cloud's name of it.
        most: How many there may be at a time.
        has: CPUs and GPUs of one.
        dollars: Price of an hour, on demand.
        spot: The same of a spot node; None where it is not known.
    """

    name: str
    most: int
    has: Mapping[str, float]
    dollars: float
    spot: float | None


@dataclass(frozen=True)
class Estimate:
    """A stage at another size.

    Attributes:
        stage: The stage.
        rows: Rows that it would read.
        hours: CPU-hours and GPU-hours.
        bound: CPU or GPU: of which the cluster's most would be busy the longest.
        wall: Hours with as many nodes as there may be.
        dollars: Of the nodes, on demand.
        spot: Of the nodes, spot where a price is known.
        short: Whether the run that it comes from was too short to tell much.
    """

    stage: str
    rows: int
    hours: Mapping[str, float]
    bound: str
    wall: float
    dollars: float
    spot: float
    short: bool


def measured(runs: Iterable[Mapping[str, Any]]) -> dict[str, Measured]:
    """The last run of each stage that did work and recorded the cluster's size; what was done before does not count.

    Args:
        runs: Records of runs, oldest first.
    """
    found = {}
    for run in runs:
        entity, sizes = ENTITIES.get(run["stage"]), run["results"].get("cluster", [])
        if entity is None or run["status"] != "done" or len(sizes) < 2:
            continue
        rows = run["counts"].get(entity, {}).get("rows_in", 0) - run["before"].get(entity, {}).get("rows_in", 0)
        if rows > 0:
            its_hours = {kind: hours(sizes, kind) for kind in KINDS}
            found[run["stage"]] = Measured(run["stage"], rows, run["seconds"], its_hours)
    return {stage: found[stage] for stage in ENTITIES if stage in found}


def estimate(run: Measured, rows: int, machines: Iterable[Machine]) -> Estimate:
    """A stage over ``rows`` rows; the hours grow in proportion, which benchmarks/scale.py measures.

    GPU-hours go to the cheapest machine with a GPU; CPU-hours, but for those that come with these machines, to the
    cheapest one without.

    Raises:
        ValueError: No machine has what the run used.
    """
    needed = {kind: run.hours[kind] * rows / run.rows for kind in KINDS}
    machines = list(machines)
    left, walls, dollars, spot = dict(needed), dict.fromkeys(KINDS, 0.0), 0.0, 0.0
    for kind in ("GPU", "CPU"):
        if left[kind] <= 0:
            continue
        machine = _cheapest(kind, machines)
        nodes = left[kind] / machine.has[kind]
        if kind == "GPU":
            left["CPU"] -= nodes * machine.has["CPU"]
        walls[kind] = nodes / machine.most
        dollars += nodes * machine.dollars
        spot += nodes * (machine.dollars if machine.spot is None else machine.spot)
    bound = max(walls, key=lambda kind: walls[kind])
    return Estimate(run.stage, rows, needed, bound, walls[bound], dollars, spot, run.seconds < SHORT_S)


def _cheapest(kind: str, machines: list[Machine]) -> Machine:
    """The machine whose hour of a CPU or GPU is the cheapest; for CPUs, one without GPUs."""
    able = [m for m in machines if m.has.get(kind) and m.most and (kind == "GPU" or not m.has.get("GPU"))]
    if not able:
        raise ValueError(f"the cluster has no nodes with {kind}s for work")
    return min(able, key=lambda machine: machine.dollars / machine.has[kind])
