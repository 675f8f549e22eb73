"""Whether all nodes of a cluster reach a store on a local disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from biomedica_ray.config import ConfigError
from biomedica_ray.config.wording import BUCKETS
from biomedica_ray.store import Store

ANSWER_S = 60.0
"""How long nodes may take to look; one that does not answer is not held against the store."""


def check_reach(store: Store, file: str) -> None:
    """Let each node but this one look for a file of a local store.

    Args:
        store: The store.
        file: A file of it that is there, relative to its root.

    Raises:
        ConfigError: A node does not see it: each node would write to a disk of its own.
    """
    if not store.is_local:
        return
    here = ray.get_runtime_context().get_node_id()
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    look: Any = ray.remote(_is_there)
    asked = {}
    for node in nodes:
        if node["NodeID"] != here:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[look.options(num_cpus=0, scheduling_strategy=there).remote(store.path(file))] = node
    answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=ANSWER_S) if asked else ([], [])
    blind = [asked[answer]["NodeManagerAddress"] for answer in answered if not _true(answer)]
    if blind:
        raise ConfigError(
            f"store: {store.root}: is on a disk of this machine, and {len(blind)} of {len(nodes)} nodes do not see it, "
            f"{blind[0]} first; use {BUCKETS}, or a folder that all nodes share"
        )


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _true(answer: Any) -> bool:
    """What a node found; one that was lost meanwhile is not asked again."""
    try:
        return bool(ray.get(answer))
    except ray.exceptions.RayError:
        return True
