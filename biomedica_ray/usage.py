"""What the work of this process has taken: bytes, requests to S3, seconds. Workers send it along with what they did.

Whoever reads or writes counts here, and whoever tells it on takes what has been counted since the last time, so that
sums are right however many threads there are.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

Usage = dict[str, dict[str, float]]
"""Kind -> what -> how much:

- ``bytes``: ``fetched`` from the source, ``read`` from the store as they lie there, ``written`` to it
- ``requests``, ``retries``: to S3, by the name of the API call; those sent again are among the requests. ``source``:
  to the source, which is PMC's bucket
- ``seconds``: ``cpu`` of workers, ``commit`` (closing and uploading a unit's files, its record), ``gpu`` at work, and
  ``gpu_wait`` between two pieces of work
- ``commits``: ``units`` that were written
- ``units``: done, by the name under which they are committed; ``again``: those of them that had been given to a worker
  before, which was lost, or its node
"""

_counted: Usage = {}
_lock = threading.Lock()
_cpu_s = time.process_time()
_datagrams: socket.socket | None = None
_RECEIVE_BYTES = 2**22


def count(kind: str, what: str, number: float = 1) -> None:
    """Count something.

    Args:
        kind: One of the kinds of :data:`Usage`.
        what: What of it.
        number: How much.
    """
    with _lock:
        _count(kind, what, number)


def add(usage: Mapping[str, Mapping[str, float]]) -> None:
    """Count what another process has taken."""
    with _lock:
        for kind, numbers in usage.items():
            for what, number in numbers.items():
                _count(kind, what, number)


def take() -> Usage:
    """What has been counted since the last call."""
    global _counted
    with _lock:
        _read_datagrams()
        taken, _counted = _counted, {}
    return taken


def take_work() -> Usage:
    """The same of a worker, whose processor seconds count."""
    global _cpu_s  # noqa: PLW0603
    with _lock:
        now = time.process_time()
        _count("seconds", "cpu", now - _cpu_s)
        _cpu_s = now
    return take()


def sum_of(first: Mapping[str, Mapping[str, float]], second: Mapping[str, Mapping[str, float]]) -> Usage:
    """Both together."""
    total = {kind: dict(numbers) for kind, numbers in first.items()}
    for kind, numbers in second.items():
        for what, number in numbers.items():
            _add(total, kind, what, number)
    return total


def rounded(usage: Mapping[str, Mapping[str, float]]) -> Usage:
    """As a record tells it: seconds to the millisecond, all in alphabetical order."""
    return {kind: {what: round(number, 3) for what, number in sorted(usage[kind].items())} for kind in sorted(usage)}


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Count the seconds that the block takes."""
    started = time.monotonic()
    try:
        yield
    finally:
        count("seconds", what, time.monotonic() - started)


class Turns:
    """Counts the seconds of work, as ``what``, and those between one piece of work and the next, as ``<what>_wait``.

    A ``with`` block is a piece of work. What comes before the first one is starting, and not counted.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None

    def __enter__(self) -> None:
        now = time.monotonic()
        if self._since is not None:
            count("seconds", f"{self._what}_wait", now - self._since)
        self._since = now

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        assert self._since is not None
        count("seconds", self._what, now - self._since)
        self._since = now


def watch_s3() -> None:
    """Count requests to S3 from now on; call it before the first client of S3 is made, and as often as you like.

    Arrow's client and boto3's both have AWS's client-side monitoring: a datagram to a port of this machine for each
    call and for each attempt (``botocore/monitoring.py``; ``DefaultMonitoring.cpp`` in aws-sdk-cpp). A thread reads
    them, as the socket holds no more than some hundreds.
    """
    global _datagrams  # noqa: PLW0603
    with _lock:
        if _datagrams is not None:
            return
        _datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        _datagrams.bind(("127.0.0.1", 0))
        _datagrams.setblocking(False)
        port = str(_datagrams.getsockname()[1])
        # Also where they are set already: a process inherits its parent's.
        os.environ |= {"AWS_CSM_ENABLED": "true", "AWS_CSM_HOST": "127.0.0.1", "AWS_CSM_PORT": port}
    threading.Thread(target=_watch, args=(_datagrams,), daemon=True, name="requests to S3").start()


def _watch(datagrams: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:  # select() fails on descriptors from 1,024 on
        selector.register(datagrams, selectors.EVENT_READ)
        while True:
            selector.select()
            with _lock:
                _read_datagrams()


def _read_datagrams() -> None:
    while _datagrams is not None:
        try:
            event = json.loads(_datagrams.recv(2**16))
        except BlockingIOError:
            return
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        if event.get("Type") == "ApiCallAttempt":
            _count("requests", event["Api"], 1)
        elif event.get("Type") == "ApiCall" and (again := int(event.get("AttemptCount", 1)) - 1) > 0:
            _count("retries", event["Api"], again)


def _count(kind: str, what: str, number: float) -> None:
    _add(_counted, kind, what, number)


def _add(usage: Usage, kind: str, what: str, number: float) -> None:
    numbers = usage.setdefault(kind, {})
    numbers[what] = numbers.get(what, 0) + number
