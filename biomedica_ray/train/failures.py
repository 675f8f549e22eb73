"""Workers that fail, reported to the driver.

Ray Train's controller loads this module, so it imports no model library: that would cost seconds before each run.
"""

from __future__ import annotations

from typing import Any

import ray.train

from biomedica_ray.board import Board
from biomedica_ray.messages import last_line

LASTING = {"ImportError", "ModuleNotFoundError", "OutOfMemoryError"}
"""Errors that come again in the same place, if a worker meets them before its first step."""


class FailureTeller(ray.train.UserCallback):
    """Tells the driver of workers that failed, as Ray Train starts them again without a word."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Post what each of the failed workers met."""
        for rank, error in worker_exceptions.items():
            said = last_line(error)
            name = said.partition(":")[0].rpartition(".")[2]
            self._board.post({"failed": f"worker {rank} failed: {said}", "lasting": name in LASTING})
