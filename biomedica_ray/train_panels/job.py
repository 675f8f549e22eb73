"""What all workers get, and the function that Ray Train calls on each.

Imports no model library, as the driver loads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biomedica_ray.board import Board
from biomedica_ray.store import Store
from biomedica_ray.train_panels.config import TrainPanelsConfig


@dataclass(frozen=True)
class Job:
    """What all workers get.

    Attributes:
        config: The config.
        store: Where figures come from and weights go to.
        path: Of the finished weights in the store.
        weights: What training begins with; None: random.
        checkpoint: What an earlier run left unfinished, with which this one goes on; None: nothing.
        done: Steps that are done.
        settings: What the weights say of how they were made.
        board: Where progress goes.
    """

    config: TrainPanelsConfig
    store: Store
    path: str
    weights: bytes | None
    checkpoint: bytes | None
    done: int
    settings: dict[str, Any]
    board: Board


def train_worker(job: Job) -> None:
    """As :func:`biomedica_ray.train_panels.worker.train`, which comes with torch."""
    from biomedica_ray.train_panels.worker import train  # noqa: PLC0415

    train(job)
