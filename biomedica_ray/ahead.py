"""Work done ahead of whoever needs it, in order: on a thread pool, or in a thread of its own."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

READS = 32
"""Requests to a store at a time: one takes tens of milliseconds in S3, and there may be 25,000 units."""

PREFETCH = 2
"""Batches that wait ready while the model works on one."""


def ordered_map(
    pool: ThreadPoolExecutor,
    function: Callable[[T], U],
    items: Iterable[T],
    ahead: int,
    *,
    size: Callable[[U], int] = lambda _: 0,
    most: int = 0,
) -> Iterator[U]:
    """``map(function, items)`` on a pool of threads, which others may use as well.

    Calls run up to ``ahead`` at a time. No further one starts while ``2 * ahead`` results are to come, or finished ones
    that wait for their turn have more than ``most`` bytes; so at most ``most`` and the results of ``ahead`` calls are
    held. Each call has the context of whoever asks for the results.

    Args:
        pool: The threads.
        function: What they do.
        items: What they do it to.
        ahead: Calls at a time.
        size: Bytes of a result, where results are large.
        most: Bytes of finished results that may wait.
    """
    pending: deque[Future[U]] = deque()
    try:
        for item in items:
            while True:
                busy = [each for each in pending if not each.done()]
                if len(pending) >= 2 * ahead or sum(size(each.result()) for each in pending if each.done()) > most:
                    yield pending.popleft().result()
                elif len(busy) >= ahead:
                    wait(busy, return_when=FIRST_COMPLETED)
                else:
                    break
            pending.append(pool.submit(contextvars.copy_context().run, function, item))
        while pending:
            yield pending.popleft().result()
    finally:
        for each in pending:
            each.cancel()


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
