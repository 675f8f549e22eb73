"""How workers report their progress to the driver."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any, Self

import ray

from biomedica_ray.head_node import ON_HEAD

log = logging.getLogger(__name__)

POLL_S = 1.0
LAST_ATTEMPTS = 3
"""How often the last messages are asked for before the driver ends without them."""


class _Board:
    """Keeps messages until the driver says that it has them, so that an answer that was lost can be given again."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(8)  # a board that Ray started again counts from 0
        self._first = 0
        self._posts: list[dict[str, Any]] = []
        self._stop = asyncio.Event()

    async def post(self, item: dict[str, Any]) -> None:
        self._posts.append(item)

    async def stop(self) -> None:
        self._stop.set()

    async def stopping(self) -> None:
        await self._stop.wait()

    async def after(self, life: str, seen: int) -> tuple[str, int, list[dict[str, Any]]]:
        if life == self._life:
            del self._posts[: seen - self._first]
            self._first = seen
        return self._life, self._first, self._posts


class Board:
    """Small messages from workers to the driver, in order, and the driver's word that they are to stop."""

    def __init__(self) -> None:
        # Should it die and be started again, training goes on without what it held.
        self._actor: Any = ray.remote(_Board).options(**ON_HEAD).remote()
        self._life, self._seen = "", 0

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
        """The messages that have come since the last call that returned; for one reader.

        Raises:
            ray.exceptions.RayError: They cannot be read now; the next call gives them.
        """
        self._life, first, posts = ray.get(self._actor.after.remote(self._life, self._seen))
        self._seen = first + len(posts)
        return list(posts)


class Follower:
    """Hands the board's messages to a function while a ``with`` block runs, and the last ones at its end."""

    def __init__(self, board: Board, read: Callable[[dict[str, Any]], object]) -> None:
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
        while not self._stopped.wait(POLL_S):
            self._read_new()
        if not any(self._read_new() for _ in range(LAST_ATTEMPTS)):
            log.warning("the workers' last messages could not be read")

    def _read_new(self) -> bool:
        """Read what is new; returns whether that was possible."""
        try:
            items = self._board.take()
        except ray.exceptions.RayError as error:
            log.warning("the workers' messages could not be read (%s); trying again", type(error).__name__)
            return False
        for item in items:
            try:
                self._read(item)
            except Exception:
                log.exception("a worker's message could not be shown")
        return True
