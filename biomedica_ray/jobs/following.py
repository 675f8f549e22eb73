"""A job's log as it is written."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from typing import TextIO

import aiohttp
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from biomedica_ray.exit_codes import DONE, FAILED, TERMINATED
from biomedica_ray.head_node import ClusterError
from biomedica_ray.jobs import api
from biomedica_ray.progress import is_progress

RECONNECT_S = 120.0
"""How long to try again where the connection is lost: a tunnel that is opened anew, a head that starts again."""


class LogView:
    """Writes lines; on a terminal, those of progress take one line at the bottom, which each overwrites."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._redraws = out, out.isatty()
        self._rest = self._progress = ""

    def write(self, text: str) -> None:
        """Write a piece of a log, whose end need not be that of a line."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)
        self._out.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._rest:
            self._line(self._rest)
        if self._progress:
            self._out.write("\n")
        self._rest = self._progress = ""
        self._out.flush()

    def _line(self, line: str) -> None:
        if not self._redraws:
            self._out.write(f"{line}\n")
            return
        if is_progress(line):
            self._progress = line[: shutil.get_terminal_size().columns - 1]
            self._out.write(f"\r\x1b[K{self._progress}")
        else:
            self._out.write(f"\r\x1b[K{line}\n{self._progress}")


def follow(client: JobSubmissionClient, name: str, out: TextIO) -> JobDetails:
    """Write a job's log to ``out`` until the job has ended; a connection that is lost is made again.

    Raises:
        ClusterError: The job is not known, or the cluster does not answer for :data:`RECONNECT_S`.
    """
    view = LogView(out)
    seen = 0

    def write(piece: str) -> None:
        nonlocal seen
        seen += len(piece)
        view.write(piece)

    lost_at: float | None = None
    try:
        while True:
            try:
                api.job(client, name)  # says so where there is none, as the log's stream does not
                asyncio.run(_tail(client, name, seen, write))
                details = api.job(client, name)
                if JobStatus(details.status).is_terminal():
                    return details
                lost_at = None
            except (ClusterError, RuntimeError, aiohttp.ClientError, OSError) as error:
                lost_at = lost_at or time.monotonic()
                if not seen or time.monotonic() - lost_at > RECONNECT_S:
                    raise error if isinstance(error, ClusterError) else ClusterError(str(error)) from error
            time.sleep(1)
    finally:
        view.close()


def exit_code(details: JobDetails) -> int:
    """That of the job's command, as far as Ray knows it; of a job that was stopped, that of SIGTERM."""
    if details.status == JobStatus.SUCCEEDED:
        return DONE
    if details.status == JobStatus.STOPPED:
        return TERMINATED
    return details.driver_exit_code or FAILED


async def _tail(client: JobSubmissionClient, name: str, skip: int, write: Callable[[str], None]) -> None:
    """Each tail begins at the start of the log; what was written of it before is left out."""
    async for piece in client.tail_job_logs(name):
        write(piece[skip:])
        skip = max(0, skip - len(piece))
