"""The order in which samples are seen: pure functions of the seed, so that a position in the data is a few integers.

In each pass (epoch) the shards are shuffled, and their samples, end to end, are numbered slots. The order consists of
lanes, whose number never changes during a run. Each lane has a contiguous range of the slots, reads it as a stream, and
passes it through a shuffle buffer. A step takes a piece of equal size from each lane; its batch is the pieces one after
the other, and the workers share the rows of that batch, however many workers there are. Which slot comes when does not
depend on the data, so none are read to find the place where a run stopped.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b


@dataclass(frozen=True)
class Segment:
    """Samples ``start`` to ``stop`` (exclusive) of the shard number ``shard``."""

    shard: int
    start: int
    stop: int


@dataclass(frozen=True)
class Share:
    """A lane's range of a pass: ``length`` slots from ``start``, of which the first ``own`` belong to no other lane.

    All lanes have the same number, because each step takes the same number from each. If the samples do not divide
    evenly, a range reaches one slot into the next lane's, so at most ``lanes - 1`` samples of a pass are seen twice and
    none is left out.
    """

    start: int
    length: int
    own: int


@dataclass(frozen=True)
class Rows:
    """Rows ``start`` to ``stop`` (exclusive) of the piece of the lane number ``lane``."""

    lane: int
    start: int
    stop: int


@dataclass
class LanePosition:
    """The position of a lane: how many slots of the current pass it has given, and what it could not read.

    An error is the text of ``what``, ``kind`` and ``message``, and the pass (``epoch``).
    """

    epoch: int = 0
    slots: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)


def share(n_samples: int, lane: int, lanes: int) -> Share:
    """The range of a lane; raises ValueError when there are fewer samples than lanes."""
    if n_samples < lanes:
        raise ValueError(f"{n_samples} samples for {lanes} lanes")
    start, end = lane * n_samples // lanes, (lane + 1) * n_samples // lanes
    return Share(start, -(-n_samples // lanes), end - start)


def rows_of_worker(rank: int, workers: int, lanes: int, piece: int) -> list[Rows]:
    """A worker's share of each batch, where ``lanes`` lanes contribute ``piece`` rows each; as :func:`shared_rows`."""
    return shared_rows(rank, workers, [piece] * lanes)


def shared_rows(rank: int, workers: int, sizes: Sequence[int]) -> list[Rows]:
    """A worker's share of each batch: as many rows as each other worker has, by lane.

    Args:
        rank: Number of the worker.
        workers: How many there are.
        sizes: Rows that each lane contributes to a batch.

    Raises:
        ValueError: The rows of a batch cannot be shared evenly.
    """
    own, rest = divmod(sum(sizes), workers)
    if rest:
        raise ValueError(f"{workers} workers cannot share the {sum(sizes)} samples of a step evenly")
    start, stop = rank * own, (rank + 1) * own
    result, first = [], 0
    for lane, size in enumerate(sizes):
        rows = Rows(lane, max(start - first, 0), min(stop - first, size))
        if rows.start < rows.stop:
            result.append(rows)
        first += size
    return result


def segments(sizes: Sequence[int], part: Share, *, seed: int, epoch: int) -> list[Segment]:
    """What a lane reads in a pass, in order.

    Args:
        sizes: Samples of each shard.
        part: The lane's range of the shuffled, concatenated shards; it wraps around at their end.
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

    At any time only the numbers in the buffer are known, so a number comes at most ``buffer - 1`` places early and,
    with high probability, at most a few times ``buffer`` places late.
    """
    generator = random.Random(seed)
    held = list(range(min(buffer, n_slots)))
    for coming in range(len(held), n_slots):
        place = generator.randrange(len(held))
        yield held[place]
        held[place] = coming
    generator.shuffle(held)
    yield from held


def batch_digest(keys: Sequence[str], first_row: int) -> int:
    """A digest of which sample is in which row of a batch, as a number from -2**63 to 2**63 - 1.

    The digests of a batch's parts add up, modulo 2**64, to that of the whole, so workers need not exchange the keys.
    """
    total = 0
    for row, key in enumerate(keys, first_row):
        total += int.from_bytes(blake2b(f"{row} {key}".encode(), digest_size=8).digest())
    return (total + 2**63) % 2**64 - 2**63
