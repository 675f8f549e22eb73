"""Requests that the cluster cannot meet: refused where it cannot grow, reported while it may."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import ray
from ray.autoscaler.v2.schema import ClusterStatus
from ray.autoscaler.v2.sdk import get_cluster_status

from biomedica_ray.config import ConfigError, StageConfig
from biomedica_ray.config.needs import Need, amount
from biomedica_ray.head_node import is_local

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0

Bundle = tuple[tuple[str, float], ...]
"""A request as Ray counts it: (resource, amount), sorted."""


def nodes() -> list[dict[str, float]]:
    """The resources of each live node."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def check_machine(config: StageConfig) -> None:
    """Check what a config asks for, where Ray has this machine only and no other can join.

    Raises:
        ConfigError: As :func:`check`.
    """
    if is_local(config.ray_address):
        check(config.needs(), nodes())


def check(needs: Sequence[Need], nodes: Sequence[Mapping[str, float]]) -> None:
    """Check what a stage asks for against a cluster that cannot grow.

    Args:
        needs: What the stage asks for.
        nodes: The resources of each node.

    Raises:
        ConfigError: Something can never be met; the message names the key and what there is.
    """
    for need in needs:
        if reason := need.unmet(nodes):
            raise ConfigError(f"{reason} on this machine; ask for less, or name a cluster with ray_address")


@contextmanager
def waiting(stage: str, needs: Sequence[Need], every_s: float = LOOK_EVERY_S) -> Iterator[None]:
    """While the block runs, log a line every few seconds in which the stage waits for nodes.

    Args:
        stage: Name of the stage, whose config's keys the needs name.
        needs: What it asks for.
        every_s: Seconds between two looks.
    """
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(stage, needs, every_s, ended), daemon=True, name="waiting")
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(stage: str, needs: Sequence[Need], every_s: float, ended: threading.Event) -> None:
    address = ray.get_runtime_context().gcs_address
    since = time.monotonic()
    while not ended.wait(every_s):
        try:
            status = get_cluster_status(address, timeout=5)
        except Exception as error:  # noqa: BLE001 - a display must not end the run, and Ray names no class for this
            log.debug("%s: no status of the cluster: %s", stage, error)
            continue
        if what := waits_for(stage, needs, nodes(), pending(status), idle=_idle(status)):
            log.info("%s: waiting for %s, %.0f s; %s", stage, what, time.monotonic() - since, _says(status))
        else:
            since = time.monotonic()


def waits_for(
    stage: str,
    needs: Sequence[Need],
    nodes: Sequence[Mapping[str, float]],
    pending: Mapping[Bundle, int],
    *,
    idle: bool,
) -> str:
    """What a stage waits for, in words; empty where it does not wait.

    It waits where it has asked for something that no node there is could give; and where nothing runs though something
    is asked for.

    Args:
        stage: Name of the stage.
        needs: What it may ask for.
        nodes: The resources of each node.
        pending: Requests that the cluster has not met, and how many of each.
        idle: Whether nothing runs on the cluster.
    """
    for need in needs:
        asked = any(_covers(dict(bundle), need) for bundle in pending)
        if asked and need.unmet(nodes):
            each = " and ".join(f"{amount(a.resource, a.amount)} ({stage}.{a.key})" for a in need.each)
            return f"{need.workers} x {each} ({stage}.{need.workers_key})" if need.workers_key else each
    if idle and pending:
        return " and ".join(amount(resource, value) for resource, value in next(iter(pending)))
    return ""


def _covers(bundle: Mapping[str, float], need: Need) -> bool:
    return all(bundle.get(ask.resource, 0) >= ask.amount for ask in need.each)


def pending(status: ClusterStatus) -> dict[Bundle, int]:
    """The requests of tasks, actors and placement groups that the cluster has not met, and how many of each."""
    demands = status.resource_demands
    counts: Counter[Bundle] = Counter()
    for demand in (*demands.ray_task_actor_demand, *demands.placement_group_demand):
        for request in demand.bundles_by_count:
            counts[tuple(sorted(request.bundle.items()))] += request.count
    return dict(counts)


def _idle(status: ClusterStatus) -> bool:
    return not any(usage.used for usage in status.cluster_resource_usage if usage.resource_name in {"CPU", "GPU"})


def _says(status: ClusterStatus) -> str:
    """What ``ray status`` shows: resources in use, nodes that are starting or failed to, requests that wait."""
    usage = (u for u in status.cluster_resource_usage if u.resource_name in {"CPU", "GPU"})
    used = ", ".join(f"{u.used:g}/{u.total:g} {u.resource_name}" for u in usage)
    starting = len(status.pending_launches) + len(status.pending_nodes)
    parts = [
        f"in use {used or 'nothing, as there is no node for work'}",
        f"pending {', '.join(f'{dict(bundle)}: {count}' for bundle, count in pending(status).items())}",
        *([f"nodes starting: {starting}"] if starting else []),
        *([f"nodes that failed to start: {len(status.failed_launches)}"] if status.failed_launches else []),
    ]
    return "; ".join(parts)
