"""Work done ahead of whoever needs it, in order: on a thread pool, or in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

READS = 32
"""Requests to a store at a time: one takes tens of milliseconds in S3, and there may be 25,000 units."""

PREFETCH = 2
"""Batches that wait ready while the model works on one."""


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


def ordered_map(pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterator[T], ahead: int) -> Iterator[U]:
    """``map`` on a thread pool that keeps the order and works on at most ``ahead`` items at a time."""
    pending: deque[Future[U]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def map_in_threads(function: Callable[[T], U], items: Iterable[T], threads: int = READS) -> Iterator[U]:
    """``map(function, items)`` for calls that wait for a disk or a network, in threads of their own.

    No more results wait for their turn than there are threads, so items may be many and results large.
    """
    with ThreadPoolExecutor(threads) as pool:
        yield from ordered_map(pool, function, iter(items), threads)


def prefetch(items: Iterator[T], ahead: int = PREFETCH) -> Generator[T, None, None]:
    """The same items, made by a thread of their own that is at most ``ahead`` items in front."""
    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(kind: str, value: T | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                put("item", item)
                if stopped.is_set():
                    return
            put("end", None)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asks for the items
            put("error", error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "item":
                yield value  # type: ignore[misc]
            elif isinstance(value, BaseException):
                raise value
            else:
                return
    finally:
        stopped.set()
        thread.join()
