"""How workers tell the driver how they get on."""

from __future__ import annotations

import threading
from typing import Any, Self

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

POLL_S = 1.0


class _Board:
    def __init__(self) -> None:
        self._posts: list[dict[str, Any]] = []

    def post(self, item: dict[str, Any]) -> None:
        self._posts.append(item)

    def take(self) -> list[dict[str, Any]]:
        posts, self._posts = self._posts, []
        return posts


class Board:
    """Small messages from workers to the driver, in order."""

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        actor: Any = ray.remote(_Board)
        self._actor: Any = actor.options(num_cpus=0, scheduling_strategy=here).remote()

    def post(self, item: dict[str, Any], *, wait: bool = False) -> None:
        """Send a message; a worker that ends with it waits until it has come, and else none waits."""
        sent = self._actor.post.remote(item)
        if wait:
            ray.get(sent)

    def take(self) -> list[dict[str, Any]]:
        """The messages that have come since the last call."""
        posts: list[dict[str, Any]] = ray.get(self._actor.take.remote())
        return posts


class Follower:
    """Hands the board's messages to a function while a ``with`` block runs, and the last ones at its end."""

    def __init__(self, board: Board, read: Any) -> None:
        self._board, self._read = board, read
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        while True:
            last = self._stopped.wait(POLL_S)
            for item in self._board.take():
                self._read(item)
            if last:
                return
