"""Many calls of a function in Ray tasks, a few for each CPU at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import ray

from biomedica_ray import usage
from biomedica_ray.cluster import RETRIES, cluster_resource, with_usage

WORKER_GB = 0.75
"""Memory of a task that reads one unit's images, or writes one unit's duplicates."""
_TASKS_A_CPU, _LEAST_AT_A_TIME = 4, 64
"""Tasks under way for each CPU of the cluster, as it grows; and at least."""

T = TypeVar("T")


def in_tasks(
    function: Callable[..., T], calls: Mapping[int, tuple[Any, ...]], memory_gb: float = WORKER_GB
) -> Iterator[tuple[int, T]]:
    """Call a function in a Ray task for each key's arguments; yields results as they come.

    A few tasks for each CPU are under way at a time: to wait for one of all takes time that grows with their number.
    """
    for key, (ref,) in refs_in_tasks(function, calls, 1, memory_gb):
        yield key, ray.get(ref)


def in_tasks_with_rest(
    function: Callable[..., tuple[T, Any]], calls: Mapping[int, tuple[Any, ...]], memory_gb: float = WORKER_GB
) -> Iterator[tuple[int, T, Any]]:
    """As :func:`in_tasks`, of a function that returns two things: the second stays where it is, its reference comes."""
    for key, (first, rest) in refs_in_tasks(function, calls, 2, memory_gb):
        yield key, ray.get(first), rest


def refs_in_tasks(
    function: Callable[..., Any], calls: Mapping[int, tuple[Any, ...]], n: int, memory_gb: float
) -> Iterator[tuple[int, list[Any]]]:
    """Key and references of the ``n`` things that each call returns, as they come; counts what the calls have taken.

    References among the arguments are what they refer to, when the function gets them.
    """
    options = {"num_cpus": 1, "memory": int(memory_gb * 2**30), "max_retries": RETRIES, "num_returns": n + 1}
    task: Any = ray.remote(_and_usage).options(**options)
    todo = iter(calls.items())
    pending: dict[Any, tuple[int, list[Any]]] = {}
    while True:
        at_a_time = max(_LEAST_AT_A_TIME, _TASKS_A_CPU * int(cluster_resource("CPU")))
        for key, arguments in islice(todo, at_a_time - len(pending)):
            refs = task.remote(function, n, *arguments)
            pending[refs[0]] = key, refs
        if not pending:
            return
        done, _ = ray.wait(list(pending), num_returns=1)
        key, (*found, used) = pending.pop(done[0])
        usage.add(ray.get(used))
        yield key, found


def _and_usage(function: Callable[..., Any], n: int, *arguments: Any) -> tuple[Any, ...]:
    found, used = with_usage(function, *arguments)
    return (*(found if n > 1 else (found,)), used)
