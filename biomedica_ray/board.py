"""How workers tell the driver how they get on."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Self

import ray

from biomedica_ray.cluster import ON_HEAD

log = logging.getLogger(__name__)

POLL_S = 1.0


class _Board:
    def __init__(self) -> None:
        self._posts: list[dict[str, Any]] = []
        self._stop = asyncio.Event()

    async def post(self, item: dict[str, Any]) -> None:
        self._posts.append(item)

    async def stop(self) -> None:
        self._stop.set()

    async def stopping(self) -> None:
        await self._stop.wait()

    async def take(self) -> list[dict[str, Any]]:
        posts, self._posts = self._posts, []
        return posts


class Board:
    """Small messages from workers to the driver, in order, and the driver's word that they are to stop."""

    def __init__(self) -> None:
        # Should it die and be started again, training goes on without what it held.
        self._actor: Any = ray.remote(_Board).options(**ON_HEAD).remote()

    def post(self, item: dict[str, Any]) -> None:
        """Send a message."""
        self._actor.post.remote(item)

    def tell(self, item: dict[str, Any]) -> None:
        """Send a message and wait until it is there: the last words of a worker."""
        ray.get(self._actor.post.remote(item))

    def stop(self) -> None:
        """Let the workers know that they are to stop."""
        self._actor.stop.remote()

    def stopping(self) -> Any:
        """A reference that is ready when :meth:`stop` was called; wait for it with ``ray.wait``."""
        return self._actor.stopping.remote()

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
                try:
                    self._read(item)
                except Exception:
                    log.exception("what a worker posted could not be told")
            if last:
                return
