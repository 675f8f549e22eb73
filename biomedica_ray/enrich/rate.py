"""One rate of calls for all workers of all jobs of a cluster."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ray

from biomedica_ray.head_node import ON_HEAD

NAME, NAMESPACE = "eutils-rate-limiter", "biomedica_ray"
"""The actor's name and namespace; a namespace of its own, as Ray gives each job another one."""

SLACK_S = 0.1
"""How much longer a call may take than another one from the limiter's leave to the server's clock, and do no harm."""


class RateLimiter:
    """Gives leave for calls, one by one in the order in which they were asked for; an async actor.

    Leaves are spaced so that ``n + 1`` of them, where ``n`` a second are allowed, span a second and :data:`SLACK_S`. It
    waits itself, instead of telling callers when they may go, so that nothing is promised that a pause or its own
    death would have to take back. A new one first waits a second, in which its predecessor may have given leave.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # wakes those who wait in the order in which they came
        self._next = time.monotonic() + 1 + SLACK_S

    async def acquire(self, per_second: float) -> None:
        """Return when a call may be made.

        Args:
            per_second: Calls a second that the caller may make; jobs with and without a key may differ.
        """
        async with self._turn:
            while (wait := self._next - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._next = time.monotonic() + (1 + SLACK_S) / per_second

    async def pause(self, seconds: float) -> None:
        """Give nobody leave for so long."""
        self._next = max(self._next, time.monotonic() + seconds)


class ClusterLimiter:
    """The cluster's rate limiter, made if it is not there yet, as a caller sees it.

    The actor is detached: it outlives the job that made it, which another job's calls may still be counted with, and
    ends with the cluster. It lives on the head node, the one that no job can do without; elsewhere it would keep a
    node that the autoscaler could end. It takes no CPU, and is started again if it dies.

    Args:
        per_second: Calls a second that this caller may make.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        options: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE, "get_if_exists": True, "lifetime": "detached"}
        self._actor: Any = ray.remote(RateLimiter).options(**options, **ON_HEAD).remote()

    def acquire(self) -> None:
        """Return when a call may be made."""
        ray.get(self._actor.acquire.remote(self._per_second))

    def pause(self, seconds: float) -> None:
        """Give nobody leave for so long."""
        ray.get(self._actor.pause.remote(seconds))
