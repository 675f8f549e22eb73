"""In which order samples are seen: pure functions of the seed, so that a position in the data is a few integers.

The shards of a pass (epoch) stand in shuffled order and their samples, end to end, are numbered slots. Each worker has
a contiguous range of them, reads it as a stream, and sees it through a shuffle buffer. No data are needed to say which
slot comes when, and so none are read to find the place where a run stopped.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """Samples ``start`` to ``stop`` (exclusive) of the shard number ``shard``."""

    shard: int
    start: int
    stop: int


@dataclass(frozen=True)
class Share:
    """A worker's range of a pass: ``length`` slots from ``start``, of which the first ``own`` are no other worker's.

    All workers have equally many, because each step compares the samples of all. Where the samples do not divide
    evenly, a range reaches one slot into the next worker's, so that at most ``workers - 1`` samples of a pass are
    seen twice and none is left out.
    """

    start: int
    length: int
    own: int


def share(n_samples: int, rank: int, workers: int) -> Share:
    """The range of worker ``rank``; raises ValueError when there are fewer samples than workers."""
    if n_samples < workers:
        raise ValueError(f"{n_samples} samples for {workers} workers")
    start, end = rank * n_samples // workers, (rank + 1) * n_samples // workers
    return Share(start, -(-n_samples // workers), end - start)


def segments(sizes: Sequence[int], part: Share, *, seed: int, epoch: int) -> list[Segment]:
    """What a worker reads in a pass, in order.

    Args:
        sizes: Samples of each shard.
        part: The worker's range of the shuffled, concatenated shards; it wraps around at their end.
        seed: Seed of the run.
        epoch: Number of the pass.
    """
    order = list(range(len(sizes)))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    result = []
    skip, left = part.start, part.length
    while left:
        for shard in order:
            take = min(sizes[shard] - skip, left)
            if take > 0:
                result.append(Segment(shard, skip, skip + take))
                left -= take
            skip = max(0, skip - sizes[shard])
    return result


def buffered_order(n_slots: int, buffer: int, seed: str) -> Iterator[int]:
    """The numbers below ``n_slots`` in the order in which a shuffle buffer of ``buffer`` places gives them out.

    At each moment only the numbers in the buffer are known, so a number comes at most ``buffer - 1`` places early and,
    with high probability, a few times ``buffer`` places late.
    """
    generator = random.Random(seed)
    held = list(range(min(buffer, n_slots)))
    for coming in range(len(held), n_slots):
        place = generator.randrange(len(held))
        yield held[place]
        held[place] = coming
    generator.shuffle(held)
    yield from held


def batch_sizes(n_slots: int, batch_size: int) -> list[int]:
    """Sizes of the batches of a pass: as few as ``batch_size`` allows, and equal within one.

    A last batch of a few leftovers would be compared with hardly any negatives, and none is dropped.
    """
    count = -(-n_slots // batch_size)
    return [n_slots // count + (number < n_slots % count) for number in range(count)]
