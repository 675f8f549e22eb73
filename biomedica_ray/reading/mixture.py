"""Several sets of samples in one order: each step has a fixed number of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from biomedica_ray.reading.order import LanePosition, Rows
from biomedica_ray.reading.shards import Shard
from biomedica_ray.reading.stream import Order, Piece, Preparation, Prepared, Stream
from biomedica_ray.reading.texts import TextChoice


def quotas(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that add up to ``total`` and are as the weights, each within 1 of its share.

    By the largest remainders; of equal ones the first.
    """
    shares = [total * weight / sum(weights) for weight in weights]
    whole = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda at: whole[at] - shares[at])
    for at in by_remainder[: total - sum(whole)]:
        whole[at] += 1
    return whole


@dataclass(frozen=True)
class Mixture(Order):
    """Streams side by side. Each has its own order, its own position, and its own passes.

    Lane ``n`` of stream ``s`` of S streams is the mixture's lane ``n * S + s``, so that a worker with a lane of each
    reads all of them.

    Attributes:
        streams: The streams, with the same number of lanes; a lane of each gives its ``batch_size`` in a step.
        texts: Which text goes with a sample of each.
    """

    streams: tuple[Stream, ...]
    texts: tuple[TextChoice, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples that each lane gives in a step."""
        return tuple(stream.piece for stream in self.streams) * self.streams[0].lanes

    @property
    def n_samples(self) -> int:
        """Samples of all shards."""
        return sum(stream.n_samples for stream in self.streams)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards."""
        return tuple(shard for stream in self.streams for shard in stream.shards)

    @property
    def tried(self) -> range:
        """A lane of each stream."""
        return range(len(self.streams))

    def steps(self, epochs: int) -> int:
        """Steps until every sample of every stream has been seen in each of ``epochs`` passes."""
        return max(stream.steps(epochs) for stream in self.streams)

    def epoch(self, step: int) -> int:
        """The pass of the stream that is furthest behind, after so many steps."""
        return min(stream.epoch(step) for stream in self.streams)

    def first(self, lane: int, how: Preparation) -> Prepared:
        """As :meth:`Stream.first`."""
        number, at = divmod(lane, len(self.streams))
        return self.streams[at].first(number, replace(how, texts=self.texts[at]))

    def pieces(
        self, rows: Rows, start: LanePosition, how: Preparation, pool: ThreadPoolExecutor, ahead: int
    ) -> Iterator[Piece]:
        """As :meth:`Stream.pieces`."""
        number, at = divmod(rows.lane, len(self.streams))
        own = replace(how, texts=self.texts[at])
        return self.streams[at].pieces(replace(rows, lane=number), start, own, pool, ahead)
