"""How well the order of a run is shuffled, measured on its first pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biomedica_ray.reading.order import buffered_order, segments, share

PERFECT = 1 / 3
"""Mean distance of a perfect shuffle: that of two numbers drawn evenly from 0 to 1."""

_ENOUGH = 1_000_000
"""Samples that the measure is taken over, unless a single lane has more."""


@dataclass(frozen=True)
class Shuffle:
    """How well samples are mixed.

    Attributes:
        distance: Mean distance between a sample's place in the pass and its place in the input (the shards one after
            the other), as a share of the number of samples; :data:`PERFECT` at best.
        shards: From how many shards a lane's samples in a step come, on average. The distance alone does not show
            that neighbours stay together: it is large even if only the shards are shuffled.
        perfect_shards: The same of a perfect shuffle.
    """

    distance: float
    shards: float
    perfect_shards: float


def measure(sizes: Sequence[int], lanes: int, piece: int, *, seed: int, buffer: int) -> Shuffle:
    """The quality of the order of the first pass.

    Args:
        sizes: Samples of each shard.
        lanes: Lanes of the order.
        piece: Samples that each lane gives in a step.
        seed: Seed of the run.
        buffer: Samples in the shuffle buffer of a lane.
    """
    n_samples = sum(sizes)
    starts = np.cumsum([0, *sizes])
    distance = shards = 0.0
    measured = min(lanes, max(1, _ENOUGH * lanes // n_samples))
    for lane in range(measured):
        part = share(n_samples, lane, lanes)
        plan = segments(sizes, part, seed=seed, epoch=0)
        order = np.fromiter(buffered_order(part.length, buffer, f"{seed}/0/{lane}"), np.int64, part.length)
        given = np.concatenate([np.arange(s.start, s.stop) + starts[s.shard] for s in plan])[order]
        shard = np.concatenate([np.full(s.stop - s.start, s.shard) for s in plan])[order]
        step, row = np.divmod(np.arange(part.length), piece)
        distance += np.abs(given - (step * lanes + lane) * piece - row).mean() / n_samples
        full = part.length // piece
        pairs = (step * len(sizes) + shard)[: full * piece]
        shards += len(np.unique(pairs)) / full
    perfect = sum(1 - (1 - size / n_samples) ** piece for size in sizes)
    return Shuffle(float(distance / measured), float(shards / measured), perfect)
