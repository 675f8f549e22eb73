"""Hours, nodes, bytes, requests and dollars of stages at another size: what a run took, times the ratio of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from biomedica_ray.cluster_size import hours
from biomedica_ray.units import unit_count

KINDS = ("CPU", "GPU")

ENTITIES = {
    "extract": "articles",
    "panels": "figures",
    "dedupe": "figures",
    "annotate": "figures",
    "label": "labels",
    "serialize": "figures",
}
"""The stages whose work grows with the rows that they read -> the rows that say how much it was."""

SHORT_S = 600.0
"""A run that was shorter tells little of hours: starting nodes and workers took a good part of it."""

BYTES = ("fetched", "read", "written")
REQUESTS = ("GET", "HEAD", "PUT", "LIST", "DELETE")
"""Kinds of requests; PUT are also those of uploads in parts."""
_KIND_OF = (("Get", "GET"), ("Head", "HEAD"), ("List", "LIST"), ("Delete", "DELETE"), ("Abort", "DELETE"))
"""How names of API calls begin -> kind; all others write."""
_PART = "UploadPart"

READS_A_SECOND, WRITES_A_SECOND = 5500, 3500
"""What S3 answers below a prefix before it splits it
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html)."""


@dataclass(frozen=True)
class Measured:
    """A run of a stage.

    Attributes:
        stage: The stage.
        rows: Rows that it read: articles for extract, figures for the others.
        seconds: How long it took.
        hours: CPU-hours and GPU-hours that were there meanwhile, used or not.
        cpu_hours: Those in which workers computed; 0 where the run is of a version that did not tell.
        units: Units that it did.
        bytes: By :data:`BYTES`.
        requests: To S3, by :data:`REQUESTS`, but for the next; none where the store was no bucket.
        parts: Parts that were uploaded, of some MB each.
    """

    stage: str
    rows: int
    seconds: float
    hours: Mapping[str, float]
    cpu_hours: float = 0
    units: int = 0
    bytes: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    parts: float = 0


@dataclass(frozen=True)
class Machine:
    """A type of node.

    Attributes:
        name: The cloud's name of it.
        most: How many there may be at a time.
        has: CPUs and GPUs of one.
        mb_s: MB a second between one and S3, each way, for hours.
        dollars: Price of an hour, on demand.
        spot: The same of a spot node; None where it is not known.
    """

    name: str
    most: int
    has: Mapping[str, float]
    mb_s: float
    dollars: float
    spot: float | None


@dataclass(frozen=True)
class Storage:
    """Dollars of a bucket: a million reads, a million writes or listings, and a TB a month."""

    reads: float
    writes: float
    tb_month: float


@dataclass(frozen=True)
class Size:
    """What is planned for, and what is assumed.

    Attributes:
        articles: How many.
        figures: How many.
        busy: Share of the time in which CPUs compute; None: what the trial had.
        gpu_figures_s: Figures that a GPU embeds a second, where the trial had none; None: CPUs embed them.
    """

    articles: int
    figures: int
    busy: float | None = None
    gpu_figures_s: float | None = None


@dataclass(frozen=True)
class Estimate:
    """A stage at another size.

    Attributes:
        run: What it comes from.
        rows: Rows that it would read.
        hours: CPU-hours and GPU-hours.
        bound: CPU, GPU, network or requests: which would be busy the longest.
        wall: Hours with as many nodes as there may be.
        dollars: Of the nodes, on demand, while they wait as well.
        spot: Of the nodes, spot where a price is known.
        bytes: By :data:`BYTES`.
        requests: By :data:`REQUESTS`.
        request_dollars: Of these.
        month_dollars: Of keeping what it writes, a month.
        assumed_gpu: Whether GPU-hours are assumed, as the run had no GPU.
    """

    run: Measured
    rows: int
    hours: Mapping[str, float]
    bound: str
    wall: float
    dollars: float
    spot: float
    bytes: Mapping[str, float]
    requests: Mapping[str, float]
    request_dollars: float
    month_dollars: float
    assumed_gpu: bool

    @property
    def short(self) -> bool:
        """Whether the run that it comes from was too short to tell much of hours."""
        return self.run.seconds < SHORT_S


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
            usage = run["results"].get("usage", {})
            found[run["stage"]] = Measured(
                run["stage"],
                rows,
                run["seconds"],
                {kind: hours(sizes, kind) for kind in KINDS},
                usage.get("seconds", {}).get("cpu", 0) / 3600,
                int(max(usage.get("units", {}).values(), default=0)),
                {what: usage.get("bytes", {}).get(what, 0) for what in BYTES},
                _by_kind(usage.get("requests", {})),
                usage.get("requests", {}).get(_PART, 0),
            )
    return {stage: found[stage] for stage in ENTITIES if stage in found}


def _by_kind(calls: Mapping[str, float]) -> dict[str, float]:
    """Requests to S3 by kind, from those by the name of the call; without uploaded parts."""
    found: dict[str, float] = {}
    for call, number in calls.items():
        if call not in {"source", _PART}:
            kind = next((kind for start, kind in _KIND_OF if call.startswith(start)), "PUT")
            found[kind] = found.get(kind, 0) + number
    return found


def estimate(run: Measured, size: Size, machines: Iterable[Machine], storage: Storage) -> Estimate:
    """A stage at another size: hours and bytes grow with rows, which benchmarks/scale.py measures, requests with units.

    GPU-hours go to the cheapest machine with a GPU; CPU-hours, but for those that come with these machines, to the
    cheapest one without.

    Raises:
        ValueError: No machine has what the run used.
    """
    rows = size.articles if ENTITIES[run.stage] == "articles" else size.figures
    ratio = rows / run.rows
    needed = {kind: run.hours[kind] * ratio for kind in KINDS}
    if size.busy and run.cpu_hours:
        needed["CPU"] = run.cpu_hours / size.busy * ratio
    assumed_gpu = run.stage == "annotate" and size.gpu_figures_s is not None and not needed["GPU"]
    if assumed_gpu and size.gpu_figures_s:
        needed["GPU"] = rows / size.gpu_figures_s / 3600
    machines = list(machines)
    left, walls, dollars, spot, mb_s = dict(needed), dict.fromkeys(KINDS, 0.0), 0.0, 0.0, 0.0
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
        mb_s += machine.most * machine.mb_s
    moved = {what: number * ratio for what, number in run.bytes.items()}
    units = unit_count(size.articles) / run.units if run.units else 0
    requests = {kind: number * units for kind, number in run.requests.items()}
    if run.parts:
        requests["PUT"] = requests.get("PUT", 0) + run.parts * ratio
    writes = requests.get("PUT", 0) + requests.get("LIST", 0)
    reads = requests.get("GET", 0) + requests.get("HEAD", 0)
    if mb_s:
        into, out = moved.get("fetched", 0) + moved.get("read", 0), moved.get("written", 0)
        walls["network"] = max(into, out) / (mb_s * 1e6) / 3600
    walls["requests"] = max(reads / READS_A_SECOND, writes / WRITES_A_SECOND) / 3600
    bound = max(walls, key=lambda kind: walls[kind])
    # Nodes that wait for the network or for S3 are paid for as well.
    computing = max(walls[kind] for kind in KINDS)
    waiting = walls[bound] / computing if computing else 1.0
    return Estimate(
        run,
        rows,
        needed,
        bound,
        walls[bound],
        dollars * waiting,
        spot * waiting,
        moved,
        requests,
        (reads * storage.reads + writes * storage.writes) / 1e6,
        moved.get("written", 0) / 1e12 * storage.tb_month,
        assumed_gpu,
    )


def _cheapest(kind: str, machines: list[Machine]) -> Machine:
    """The machine whose hour of a CPU or GPU is the cheapest; for CPUs, one without GPUs."""
    able = [m for m in machines if m.has.get(kind) and m.most and (kind == "GPU" or not m.has.get("GPU"))]
    if not able:
        raise ValueError(f"the cluster has no nodes with {kind}s for work")
    return min(able, key=lambda machine: machine.dollars / machine.has[kind])
