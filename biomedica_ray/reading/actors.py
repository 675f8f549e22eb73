"""Batches that Ray actors prepare ahead of a worker, on any node that has the CPUs they ask for."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray

from biomedica_ray.ahead import PREFETCH
from biomedica_ray.cluster import RETRIES
from biomedica_ray.reading.order import LanePosition, Rows
from biomedica_ray.reading.stream import Batch, Order, Piece, Preparation, batch_of

LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.ObjectLostError,  # a piece that was ready, and lay on the node
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
)
"""What Ray raises for an actor that is lost, alone or with its node and the pieces that it had ready there."""


class _Reader:
    """Prepares the pieces of one lane, one after the other."""

    def __init__(self, stream: Order, rows: Rows, start: LanePosition, how: Preparation, threads: int) -> None:
        self._pieces = stream.pieces(rows, start, how, ThreadPoolExecutor(threads), 2 * threads)

    def next(self) -> Piece:
        return next(self._pieces)


def batches_of_actors(
    stream: Order, rows: Sequence[Rows], lanes: Mapping[int, LanePosition], how: Preparation, cpus: float
) -> Generator[Batch, None, None]:
    """The batches of ``stream.batches``, prepared by an actor for each lane.

    Args:
        stream: The samples of the run.
        rows: The worker's rows of each batch.
        lanes: The current positions of those rows' lanes.
        how: How samples are prepared.
        cpus: CPUs of an actor; it has as many threads, but at least one.

    Raises:
        ray.exceptions.RayError: An actor was lost again and again; one of :data:`LOST`.
    """
    sources = [_pieces(stream, part, lanes[part.lane], how, cpus) for part in rows]
    while True:
        yield batch_of(rows, [next(source) for source in sources])


def _pieces(
    stream: Order, rows: Rows, start: LanePosition, how: Preparation, cpus: float
) -> Generator[Piece, None, None]:
    """The pieces of a lane; an actor that is lost is replaced, and the new one continues where the lost one stopped."""
    losses = 0
    # Outside the workers' placement group, which has no room for it; Ray prefers nodes without GPUs for it.
    actor: Any = ray.remote(_Reader).options(num_cpus=cpus, scheduling_strategy="DEFAULT")
    while True:
        reader = actor.remote(stream, rows, start, how, max(1, int(cpus)))
        ahead = deque(reader.next.remote() for _ in range(PREFETCH))
        try:
            while True:
                piece = ray.get(ahead.popleft())
                ahead.append(reader.next.remote())
                start, losses = piece.after, 0
                yield piece
        except LOST:
            losses += 1
            if losses > RETRIES:
                raise
        finally:
            ray.kill(reader)
