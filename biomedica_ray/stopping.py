"""Being told to stop: SIGTERM ends a run as quietly as Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """The process got SIGTERM, as ``ray job stop``, ``kill`` and container runtimes send it."""


@contextmanager
def terminable() -> Iterator[None]:
    """Within it, SIGTERM raises :class:`Terminated` in the main thread; call it there after Ray has started.

    What Ray installs raises SystemExit, and ends in a report of a crash.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
