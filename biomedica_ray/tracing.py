"""What the time of a unit goes into, as a trace for Perfetto (https://ui.perfetto.dev): of a few units of a run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

TRACED_EVERY = 1000
"""A unit in so many is traced, the first one among them: 25 of all of PMC's."""

Trace = dict[str, Any]
"""A document of Chrome's trace event format, which Perfetto reads
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU)."""

_events: ContextVar[list[dict[str, Any]] | None] = ContextVar("events", default=None)


def is_traced(unit: int) -> bool:
    """Whether a unit is one of those that are traced."""
    return unit % TRACED_EVERY == 0


@contextmanager
def traced() -> Iterator[Trace]:
    """Gives the trace of the spans that end in the block, in this thread and those to which its context goes."""
    events: list[dict[str, Any]] = []
    token = _events.set(events)
    try:
        yield {"traceEvents": events, "displayTimeUnit": "ms"}
    finally:
        _events.reset(token)


@contextmanager
def span(name: str, of: str = "") -> Iterator[None]:
    """The block is a span of the trace, where one is being made.

    Args:
        name: What is done: fetch, parse, decode, write, commit.
        of: To what.
    """
    events = _events.get()
    if events is None:
        yield
        return
    started = time.time_ns()
    try:
        yield
    finally:
        events.append(
            {
                "name": name,
                "ph": "X",  # an event with a duration
                "ts": started / 1000,
                "dur": (time.time_ns() - started) / 1000,
                "pid": os.getpid(),
                "tid": threading.get_native_id(),
                "args": {"of": of} if of else {},
            }
        )
