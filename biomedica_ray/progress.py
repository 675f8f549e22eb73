"""What a long piece of work shows while it runs: a bar in a terminal, a line every few seconds in a log."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)

LOG_EVERY_S = 10.0


class Progress:
    """Counts finished pieces of work and shows rows, rate, errors and the time left.

    Args:
        stage: Name at the start of each line.
        what: What is counted: units, steps, shards.
        total: How many there are; None when that is not known.
        done: How many an earlier run has done.
        rows: Their rows.
        tell: Called with the pieces done, at first and whenever there are more.
    """

    def __init__(
        self,
        stage: str,
        what: str,
        total: int | None,
        *,
        done: int = 0,
        rows: int = 0,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        self._stage, self._what, self._total = stage, what, total
        self._tell = tell
        self._done, self._rows, self._errors = done, rows, 0
        self._note = ""
        self._logged = time.monotonic()
        self._unlogged = False
        self._from: tuple[float, int, int] | None = None
        """When the first piece was finished, the pieces and the rows then: rates leave out what came before it."""
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._tell:
            self._tell(self._done)
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self._what),
                TextColumn("{task.fields[status]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task(self._stage, total=self._total, completed=self._done, status="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        if self._unlogged:
            log.info("%s", self.line())

    def update(self, done: int = 1, *, rows: int = 0, errors: int = 0, note: str = "") -> None:
        """Count ``done`` further pieces with ``rows`` rows and ``errors`` errors; ``note`` is shown at the end."""
        self._done += done
        self._rows += rows
        self._errors += errors
        self._note = note or self._note
        self._unlogged = True
        if self._tell:
            self._tell(self._done)
        if self._from is None and done:
            self._from = time.monotonic(), self._done, self._rows
        if self._bar:
            self._bar.update(self._task, completed=self._done, status=self._status())
        elif time.monotonic() - self._logged >= LOG_EVERY_S:
            self._logged, self._unlogged = time.monotonic(), False
            log.info("%s", self.line())

    def line(self) -> str:
        """The state in one line."""
        total = "" if self._total is None else f"/{self._total:,}"
        return f"{self._stage}: {self._done:,}{total} {self._what}, {self._status()}{self._left()}"

    def _status(self) -> str:
        rate = ""
        if self._from and self._done > self._from[1] and (seconds := time.monotonic() - self._from[0]) >= 1:
            rate = f" {(self._rows - self._from[2]) / seconds:,.1f}/s,"
        text = f"{self._rows:,} rows,{rate} {self._errors:,} errors"
        return f"{text}, {self._note}" if self._note else text

    def _left(self) -> str:
        if self._from is None or self._total is None or not self._from[1] < self._done < self._total:
            return ""
        since, done, _ = self._from
        seconds = (time.monotonic() - since) / (self._done - done) * (self._total - self._done)
        return f", {seconds:,.0f} s left"


_LINE = re.compile(r"\w: [\d,]+(?:/[\d,]+)? \w+, [\d,]+ rows,.* [\d,]+ errors")


def is_progress(line: str) -> bool:
    """Whether a line of a log is one that :meth:`Progress.line` made."""
    return _LINE.search(line) is not None
