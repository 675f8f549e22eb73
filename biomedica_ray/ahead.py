"""Calls that run ahead of who takes their results, in bounded number and memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[T], U],
    items: Sequence[T],
    *,
    ahead: int,
    size: Callable[[U], int],
    most: int,
) -> Iterator[U]:
    """``map(function, items)`` with ``ahead`` calls in a pool of threads, which others may use as well.

    No further call starts while ``2 * ahead`` results are to come, or finished ones that wait for their turn have more
    than ``most`` bytes by ``size``; so at most ``most`` and the results of ``ahead`` calls are held.
    """
    running: deque[Future[U]] = deque()
    try:
        for item in items:
            while True:
                busy = [each for each in running if not each.done()]
                if len(running) >= 2 * ahead or sum(size(each.result()) for each in running if each.done()) > most:
                    yield running.popleft().result()
                elif len(busy) >= ahead:
                    wait(busy, return_when=FIRST_COMPLETED)
                else:
                    break
            running.append(pool.submit(function, item))
        while running:
            yield running.popleft().result()
    finally:
        for each in running:
            each.cancel()
