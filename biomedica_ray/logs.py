"""Log lines of a run: for people, or as JSON for what collects them."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

LogFormat = Literal["text", "json"]

_unit: ContextVar[int | None] = ContextVar("unit", default=None)


def set_up_logging(run_id: str, stage: str, log_format: LogFormat) -> None:
    """Log lines of this process to stderr.

    Args:
        run_id: The run, part of every line.
        stage: Its stage.
        log_format: ``text``: time, level, run and message. ``json``: a document a line, with ``time`` (UTC, ISO 8601),
            ``level``, ``message``, ``run_id``, ``stage``, ``node`` (name of the host), ``unit`` where it is about one,
            and ``exception`` where there is a traceback.
    """
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(_Json(run_id, stage))
    else:
        handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s [{run_id}] %(message)s", "%H:%M:%S"))
    root = logging.getLogger("biomedica_ray")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False


@contextmanager
def about(unit: int) -> Iterator[None]:
    """Lines that are logged in the block, in this thread and those to which its context goes, are about a unit."""
    token = _unit.set(unit)
    try:
        yield
    finally:
        _unit.reset(token)


def message_of(line: str) -> str:
    """The message of a log line in either format; other lines as they are."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line.partition("] ")[2] or line


class _Json(logging.Formatter):
    def __init__(self, run_id: str, stage: str) -> None:
        super().__init__()
        self._of_all = {"run_id": run_id, "stage": stage, "node": socket.gethostname()}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **self._of_all,
        }
        if (unit := _unit.get()) is not None:
            line["unit"] = unit
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
