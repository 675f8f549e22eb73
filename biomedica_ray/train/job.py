"""What all workers of a run get, and the function that Ray Train calls on each of them.

The driver and Ray Train's controller load this module, so it imports no model library: that takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biomedica_ray.board import Board
from biomedica_ray.evaluate.validation import Validation
from biomedica_ray.models.spec import ModelSpec
from biomedica_ray.reading.mixture import Mixture
from biomedica_ray.reading.stream import Stream
from biomedica_ray.store import Store
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.eval_tasks import EvalTask


@dataclass(frozen=True)
class Job:
    """What all workers of a run get."""

    config: TrainConfig
    spec: ModelSpec
    store: Store
    stream: Stream | Mixture
    held_out: Validation | None
    settings: dict[str, Any]
    board: Board
    eval_tasks: tuple[EvalTask, ...] = ()


def train_worker(job: Job) -> None:
    """As :func:`biomedica_ray.train.worker.train`, which comes with the model libraries."""
    from biomedica_ray.train.worker import train  # noqa: PLC0415

    train(job)
