"""Batches of a pass: shards read as a stream, decoded on threads, in an order that can be resumed anywhere."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from biomedica_ray.ahead import ordered_map
from biomedica_ray.images import ImageError, decode
from biomedica_ray.reading.augment import training_pixels
from biomedica_ray.reading.held_out import is_held_out
from biomedica_ray.reading.order import LanePosition, Rows, Segment, Share, buffered_order, segments, share, shared_rows
from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.shards import RawSample, Shard, Source, Unreadable, read_samples
from biomedica_ray.reading.texts import TextChoice, Tokenize
from biomedica_ray.store import StoreError

if TYPE_CHECKING:  # a driver only plans; torch takes seconds to import
    import torch


@dataclass
class Piece:
    """What a worker takes of one lane in one step.

    Attributes:
        images: uint8, shape (B, 3, height, width).
        tokens: int64, shape (B, context length).
        keys: The samples' keys.
        after: The lane's position after the whole piece; its errors are only those of this piece. An error of a sample
            that belongs to another lane too is reported by that lane.
        given: Number of samples of the whole piece that belong to no other lane, by pass.
        held_out: The same of those that were passed over, as they are held out.
    """

    images: np.ndarray
    tokens: np.ndarray
    keys: list[str]
    after: LanePosition
    given: Counter[int]
    held_out: Counter[int]


@dataclass
class Batch:
    """What one worker trains on in one step: tensors as in :class:`Piece`, and its lanes' positions afterwards.

    ``given`` and ``held_out`` count the samples of those lanes whose first row is this worker's, so that all workers
    together count each sample once.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    keys: list[str]
    lanes: dict[int, LanePosition]
    given: Counter[int]
    held_out: Counter[int]


@dataclass(frozen=True)
class Preparation:
    """How a sample becomes tensors."""

    size: tuple[int, int]
    interpolation: str
    tokenize: Tokenize
    texts: TextChoice = field(default_factory=TextChoice)

    def tokens(self, samples: Sequence[Prepared]) -> torch.Tensor:
        """The tokens of a batch; not for several threads, as fast tokenizers of Hugging Face are not."""
        return self.tokenize([self.texts.cut(each.text, each.seed, self.tokenize) for each in samples])


class Order(ABC):
    """Samples in an order of lanes, each of which gives a fixed number to each step."""

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Samples that each lane gives in a step."""

    @abstractmethod
    def pieces(
        self, rows: Rows, start: LanePosition, how: Preparation, pool: ThreadPoolExecutor, ahead: int
    ) -> Iterator[Piece]:
        """A lane's pieces from ``start`` on, with the requested rows of each.

        Samples that cannot be read or are held out are skipped: the next one takes their place.

        Args:
            rows: The lane, and which of its rows.
            start: The lane's position.
            how: How samples are prepared.
            pool: Prepares samples.
            ahead: How many samples are prepared at a time.

        Raises:
            StoreError: No sample of this lane can be read.
        """

    @property
    def step_samples(self) -> int:
        """Samples of all lanes in a step."""
        return sum(self.sizes)

    def rows(self, rank: int, workers: int) -> list[Rows]:
        """A worker's share of each batch; as :func:`~biomedica_ray.reading.order.shared_rows`."""
        return shared_rows(rank, workers, self.sizes)

    def batches(
        self, rows: Sequence[Rows], lanes: Mapping[int, LanePosition], how: Preparation, threads: int
    ) -> Iterator[Batch]:
        """A worker's batches from its lanes' positions on, without end; raises as :meth:`pieces`.

        Args:
            rows: The worker's rows of each batch.
            lanes: The positions of those rows' lanes.
            how: How samples are prepared.
            threads: Number of threads.
        """
        with ThreadPoolExecutor(threads) as pool:
            sources = [self.pieces(part, lanes[part.lane], how, pool, 2 * threads) for part in rows]
            while True:
                yield batch_of(rows, [next(source) for source in sources])


@dataclass(frozen=True)
class Stream(Order):
    """The samples of a run in their order, pass after pass without end.

    Attributes:
        data: Root of the dataset.
        shards: What a pass reads.
        lanes: Lanes of the order.
        batch_size: Samples that a lane gives in a step.
        seed: Seed of the run.
        buffer: Samples in the shuffle buffer of a lane.
        metadata: Whether the samples' JSON is read too.
        held_out: Share of the articles that are passed over.
    """

    data: Source | Pairs
    shards: Sequence[Shard]
    lanes: int
    batch_size: int
    seed: int
    buffer: int
    metadata: bool = False
    held_out: float = 0

    @property
    def n_samples(self) -> int:
        """Samples of all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def length(self) -> int:
        """Slots of a lane in a pass."""
        return self._share(0).length

    @property
    def piece(self) -> int:
        """Samples of a lane in a step: the same in each, so the last ones of a pass go with the first of the next."""
        return min(self.batch_size, self.length)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples that each lane gives in a step."""
        return (self.piece,) * self.lanes

    @property
    def tried(self) -> range:
        """Lanes that are enough to try what samples are like."""
        return range(1)

    def epoch(self, step: int) -> int:
        """The pass after so many steps."""
        return step * self.piece // self.length

    def steps(self, epochs: int) -> int:
        """Steps until every sample has been seen in each of ``epochs`` passes."""
        return -(-epochs * self.length // self.piece)

    def first(self, lane: int, how: Preparation) -> Prepared:
        """The first sample of a lane, in the order of reading, that can be read.

        Raises:
            UnusableError: There is none; says why, by how often.
            StoreError: A file cannot be reached.
        """
        sizes = [shard.samples for shard in self.shards]
        reasons = Counter[str]()
        examples = "all are held out"
        for raw in self._from(segments(sizes, self._share(lane), seed=self.seed, epoch=0), 0):
            sample = self._prepare(raw, how, 0)
            if sample is None:
                continue
            if isinstance(sample, Prepared):
                return sample
            reasons[sample.kind] += 1
            if reasons[sample.kind] == 1:
                examples = f"{sample.what}: {sample.message}"
        kinds = ", ".join(f"{number} {kind}" for kind, number in reasons.most_common())
        raise UnusableError(f"{self.data.root}: none of {reasons.total()} samples can be read: {kinds} ({examples})")

    def _prepare(self, sample: RawSample | Unreadable, how: Preparation, epoch: int) -> Prepared | Unreadable | None:
        """A sample of a pass as tensors are made of it; None where it is held out."""
        if isinstance(sample, RawSample) and is_held_out(sample.key, self.held_out):
            return None
        return _prepare(sample, how, f"{self.seed}/{epoch}")

    def _share(self, lane: int) -> Share:
        return share(self.n_samples, lane, self.lanes)

    def samples(self, lane: int, epoch: int, skip: int) -> Iterator[tuple[LanePosition, RawSample | Unreadable, bool]]:
        """The samples of a lane, in order, after the first ``skip`` of a pass, and of all further passes.

        Yields:
            Position after the sample, the sample, and whether it is no other lane's.
        """
        part = self._share(lane)
        sizes = [shard.samples for shard in self.shards]
        for number in count(epoch):
            plan = segments(sizes, part, seed=self.seed, epoch=number)
            slots = skip if number == epoch else 0
            order = buffered_order(part.length, self.buffer, f"{self.seed}/{number}/{lane}")
            for slot, sample in self._in_order(plan, order, part.length, slots):
                slots += 1
                yield LanePosition(number, slots), sample, slot < part.own

    def _in_order(
        self, plan: list[Segment], order: Iterator[int], length: int, skip: int
    ) -> Iterator[tuple[int, RawSample | Unreadable]]:
        done = np.zeros(length, dtype=bool)
        for _ in range(skip):
            done[next(order)] = True
        first = int(np.argmin(done))
        source = self._from(plan, first)
        held: dict[int, RawSample | Unreadable] = {}
        read = first
        for slot in order:
            while read <= slot:
                sample = next(source)
                if not done[read]:
                    held[read] = sample
                read += 1
            yield slot, held.pop(slot)

    def _from(self, plan: list[Segment], first: int) -> Iterator[RawSample | Unreadable]:
        for segment in plan:
            skipped = min(first, segment.stop - segment.start)
            first -= skipped
            if segment.start + skipped < segment.stop:
                shard, start = self.shards[segment.shard], segment.start + skipped
                if isinstance(self.data, Pairs):
                    yield from self.data.samples(shard, start, segment.stop)
                else:
                    yield from read_samples(self.data, shard, start, segment.stop, metadata=self.metadata)

    def pieces(
        self, rows: Rows, start: LanePosition, how: Preparation, pool: ThreadPoolExecutor, ahead: int
    ) -> Iterator[Piece]:
        """As :meth:`Order.pieces`."""

        def prepare(
            item: tuple[LanePosition, RawSample | Unreadable, bool],
        ) -> tuple[LanePosition, Prepared | Unreadable | None, bool]:
            after, sample, own = item
            return after, self._prepare(sample, how, after.epoch), own

        stream = ordered_map(pool, prepare, self.samples(rows.lane, start.epoch, start.slots), ahead)
        lost = 0
        while True:
            taken: list[Prepared] = []
            errors: list[dict[str, str]] = []
            given, held_out = Counter[int](), Counter[int]()
            number = 0
            while number < self.piece:
                after, result, own = next(stream)
                if isinstance(result, Prepared):
                    lost = 0
                    if rows.start <= number < rows.stop:
                        taken.append(result)
                    given[after.epoch] += own
                    number += 1
                    continue
                lost += 1
                if result is None:
                    held_out[after.epoch] += own
                elif own:
                    errors.append({**asdict(result), "epoch": str(after.epoch)})
                if lost == self.length:
                    raise StoreError(f"{self.data.root}: none of {lost} samples can be read")
            tokens = how.tokens(taken).numpy()
            images = np.stack([sample.pixels for sample in taken])
            after.errors = errors
            yield Piece(images, tokens, [sample.key for sample in taken], after, given, held_out)


def batch_of(rows: Sequence[Rows], pieces: Sequence[Piece]) -> Batch:
    """A worker's batch of the pieces of its rows."""
    import torch  # noqa: PLC0415

    own = [piece for part, piece in zip(rows, pieces, strict=True) if part.start == 0]
    return Batch(
        torch.from_numpy(_joined([piece.images for piece in pieces])),
        torch.from_numpy(_joined([piece.tokens for piece in pieces])),
        [key for piece in pieces for key in piece.keys],
        {part.lane: piece.after for part, piece in zip(rows, pieces, strict=True)},
        sum((piece.given for piece in own), Counter[int]()),
        sum((piece.held_out for piece in own), Counter[int]()),
    )


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One array of all parts; a single one is copied only out of Ray's object store, as it may not be written."""
    return parts[0] if len(parts) == 1 and parts[0].flags.writeable else np.concatenate(parts)


class UnusableError(Exception):
    """Not one sample can be read."""


@dataclass(frozen=True)
class Prepared:
    """One sample: its key, its text, the seed of what is drawn for it, and its pixels (uint8, 3 x height x width)."""

    key: str
    text: str
    seed: str
    pixels: np.ndarray = field(repr=False)


def _prepare(sample: RawSample | Unreadable, how: Preparation, seed: str) -> Prepared | Unreadable:
    if isinstance(sample, Unreadable):
        return sample
    try:
        image = decode(sample.image)
    except ImageError as error:
        return Unreadable(sample.key, error.kind, str(error))
    own = f"{seed}/{sample.key}"
    pixels = training_pixels(image, how.size, how.interpolation, random.Random(own))
    return Prepared(sample.key, how.texts.draw(sample, seed), own, pixels)
