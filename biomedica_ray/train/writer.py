"""Checkpoints are written while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from biomedica_ray.train.checkpoints import Snapshot


class Writer:
    """Writes one snapshot at a time on a thread; who brings the next one waits for the one before.

    So at most one snapshot is in memory. After one that could not be written no other is begun.

    Attributes:
        written: Step of the last snapshot that was written.
    """

    def __init__(self, save: Callable[[Snapshot], None], written: int) -> None:
        self._save, self.written = save, written
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._last: Future[None] | None = None

    def write(self, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot and begin to write it."""
        if self._last is not None:
            wait([self._last])
        if not self.failed:
            self._last = self._pool.submit(self._put, take())

    @property
    def failed(self) -> bool:
        """Whether the last snapshot is known not to have been written; :meth:`wait` raises why."""
        return self._last is not None and self._last.done() and self._last.exception() is not None

    def wait(self) -> None:
        """Until the last snapshot is written; raises what writing it raised."""
        if self._last is not None:
            self._last.result()

    def _put(self, snapshot: Snapshot) -> None:
        self._save(snapshot)
        self.written = snapshot.position.step
