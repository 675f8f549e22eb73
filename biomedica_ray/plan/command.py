"""``biomedica plan``: hours, requests, storage and dollars at the size of PMC, from a trial's records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from biomedica_ray.config import ConfigError
from biomedica_ray.config.arguments import Arguments
from biomedica_ray.config.wording import suggest
from biomedica_ray.plan.estimate import ENTITIES, Machine, Size, Storage, estimate, measured
from biomedica_ray.plan.sheet import print_sheet
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store, StoreError


def plan(argv: Sequence[str]) -> int:
    """Print what a stage, or all that ran on a store, would take over so many articles and figures.

    Raises:
        ConfigError: An argument is wrong, a file cannot be read, or no run of the store tells anything.
    """
    arguments = Arguments("plan", "What all of PMC would take, from the records of a trial.")
    arguments.add_argument(
        "stage", nargs="?", default="pipeline", help=f"pipeline (all of them), {', '.join(ENTITIES)}"
    )
    arguments.add_argument("--store", required=True, metavar="DIR_OR_URI", help="store of the trial")
    arguments.add_argument("--endpoint_url", metavar="URL", help="S3 server, if it is not AWS")
    arguments.add_argument("--articles", type=float, default=6.3e6, help="articles, for extract (6.3e6)")
    arguments.add_argument("--figures", type=float, default=24e6, help="figures, for the other stages (24e6)")
    arguments.add_argument("--cluster", default="cluster.yaml", metavar="FILE", help="types of nodes and how many")
    arguments.add_argument(
        "--prices", default="deploy/prices.yaml", metavar="FILE", help="of each type: cpus, gpus, mb_s, on_demand, spot"
    )
    arguments.add_argument(
        "--busy", type=float, metavar="SHARE", help="assume that CPUs compute this share of the time (as in the trial)"
    )
    arguments.add_argument(
        "--gpu_figures_s", type=float, metavar="N", help="assume that a GPU embeds N figures a second (none: CPUs do)"
    )
    options = arguments.parse(argv)
    stages = tuple(ENTITIES) if options.stage == "pipeline" else (options.stage,)
    if stages[0] not in ENTITIES:
        raise ConfigError(
            f"{stages[0]}: no stage whose work grows with rows; {suggest(stages[0], ['pipeline', *ENTITIES])}"
        )
    for key in ("articles", "figures", "gpu_figures_s"):
        if (value := getattr(options, key)) is not None and not 0 < value < math.inf:
            raise ConfigError(f"{key}: expected a number of at least 1, got {value}")
    if options.busy is not None and not 0 < options.busy <= 1:
        raise ConfigError(f"busy: expected a share from 0 to 1, got {options.busy}")
    prices = _read("prices", options.prices)
    machines, storage = _machines(_read("cluster", options.cluster), prices), _storage(prices)
    store = Store(options.store, options.endpoint_url)
    try:
        runs = measured(read_runs(store))
    except (StoreError, OSError) as error:
        raise ConfigError(f"store: {options.store}: {' '.join(str(error).split())}") from None
    if not any(stage in runs for stage in stages):
        raise ConfigError(f"store: {options.store}: no run that did work; run {', '.join(stages)} on a trial first")
    size = Size(int(options.articles), int(options.figures), options.busy, options.gpu_figures_s)
    try:
        found = [estimate(runs[stage], size, machines, storage) for stage in stages if stage in runs]
    except ValueError as error:
        raise ConfigError(f"cluster: {options.cluster}: {error}") from None
    print_sheet(found, size, stages, (options.cluster, options.prices))
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
                raise ConfigError(f"prices: {name}: missing; expected cpus, gpus, mb_s, on_demand and spot of it")
            price = prices[name]
            has = {"CPU": float(price["cpus"]), "GPU": float(price.get("gpus", 0))}
            machines.append(
                Machine(
                    name,
                    int(kind["max_workers"]),
                    has,
                    float(price["mb_s"]),
                    float(price["on_demand"]),
                    price.get("spot"),
                )
            )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        expected = "node types with InstanceType and max_workers, and their cpus, gpus, mb_s and on_demand"
        raise ConfigError(f"cluster and prices: expected {expected}: {error!r}") from None
    return machines


def _storage(prices: Mapping[str, Any]) -> Storage:
    try:
        return Storage(**{key: float(prices["s3"][key]) for key in ("reads", "writes", "tb_month")})
    except (KeyError, TypeError, ValueError) as error:
        expected = "s3 with reads and writes (dollars a million) and tb_month (dollars a TB and month)"
        raise ConfigError(f"prices: expected {expected}: {error!r}") from None
