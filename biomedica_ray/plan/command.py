"""``biomedica plan``: hours, days and dollars of the stages at the size of PMC, from a trial's records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from biomedica_ray.config import ConfigError
from biomedica_ray.config.arguments import Arguments
from biomedica_ray.plan.estimate import ENTITIES, Estimate, Machine, estimate, measured
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store, StoreError


def plan(argv: Sequence[str]) -> int:
    """Print what the stages that ran on a store would take over so many articles and figures.

    Raises:
        ConfigError: An argument is wrong, a file cannot be read, or no run of the store tells anything.
    """
    arguments = Arguments("plan", "What all of PMC would take, from the records of a trial.")
    arguments.add_argument("--store", required=True, metavar="DIR_OR_URI", help="store of the trial")
    arguments.add_argument("--endpoint_url", metavar="URL", help="S3 server, if it is not AWS")
    arguments.add_argument("--articles", type=float, default=6.3e6, help="articles, for extract (6.3e6)")
    arguments.add_argument("--figures", type=float, default=24e6, help="figures, for the other stages (24e6)")
    arguments.add_argument("--cluster", default="cluster.yaml", metavar="FILE", help="types of nodes and how many")
    arguments.add_argument(
        "--prices", default="deploy/prices.yaml", metavar="FILE", help="of each type: cpus, gpus, on_demand, spot"
    )
    options = arguments.parse(argv)
    for key in ("articles", "figures"):
        if not 0 < getattr(options, key) < math.inf:
            raise ConfigError(f"{key}: expected a number of at least 1, got {getattr(options, key)}")
    machines = _machines(_read("cluster", options.cluster), _read("prices", options.prices))
    store = Store(options.store, options.endpoint_url)
    try:
        runs = measured(read_runs(store))
    except (StoreError, OSError) as error:
        raise ConfigError(f"store: {options.store}: {' '.join(str(error).split())}") from None
    if not runs:
        raise ConfigError(f"store: {options.store}: no run that did work; run {', '.join(ENTITIES)} on a trial first")
    rows = {"articles": int(options.articles)}
    try:
        found = [estimate(run, rows.get(ENTITIES[run.stage], int(options.figures)), machines) for run in runs.values()]
    except ValueError as error:
        raise ConfigError(f"cluster: {options.cluster}: {error}") from None
    _print(found)
    return 0


def _read(key: str, path: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{key}: {path}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{key}: {path}: expected keys and values")
    return found


def _machines(cluster: Mapping[str, Any], prices: Mapping[str, Any]) -> list[Machine]:
    """The types of nodes of a file of Ray's cluster launcher, but for the head, which does no work."""
    try:
        types = {
            name: kind for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"]
        }
        machines = []
        for kind in types.values():
            name = kind["node_config"]["InstanceType"]
            if name not in prices:
                raise ConfigError(f"prices: {name}: missing; expected cpus, gpus, on_demand and spot of it")
            price = prices[name]
            has = {"CPU": float(price["cpus"]), "GPU": float(price.get("gpus", 0))}
            machines.append(Machine(name, int(kind["max_workers"]), has, float(price["on_demand"]), price.get("spot")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        expected = "node types with InstanceType and max_workers, and their cpus, gpus and on_demand"
        raise ConfigError(f"cluster and prices: expected {expected}: {error!r}") from None
    return machines


def _print(estimates: Sequence[Estimate]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for column in ("rows", "CPU-hours", "GPU-hours", "hours", "limit", "dollars", "with spot"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in estimates:
        table.add_row(
            f"{each.stage}{' *' if each.short else ''}",
            f"{each.rows:,}",
            *_numbers([each]),
            each.bound,
            *_money([each]),
        )
    table.add_row("all", "", *_numbers(estimates), "", *_money(estimates))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
    print("Hours: with as many nodes as the cluster may have. Without storage, requests, traffic and the head.")
    if any(each.short for each in estimates):
        print("* from a run of less than ten minutes, of which starting was a good part: more than it would be.")


def _numbers(estimates: Sequence[Estimate]) -> list[str]:
    sums = [sum(each.hours[kind] for each in estimates) for kind in ("CPU", "GPU")]
    return [f"{value:,.1f}" for value in (*sums, sum(each.wall for each in estimates))]


def _money(estimates: Sequence[Estimate]) -> list[str]:
    return [f"{sum(values):,.0f}" for values in zip(*((each.dollars, each.spot) for each in estimates), strict=True)]
