"""Batches of a pass: shards read as a stream, decoded on threads, in an order that can be taken up anywhere."""

from __future__ import annotations

import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TypeVar

import numpy as np
import torch

from biomedica_ray.images import ImageError, decode
from biomedica_ray.store import StoreError
from biomedica_ray.train.augment import training_pixels
from biomedica_ray.train.checkpoints import LanePosition
from biomedica_ray.train.order import Rows, Segment, Share, buffered_order, segments, share
from biomedica_ray.train.shards import RawSample, Shard, Source, Unreadable, read_samples
from biomedica_ray.train.texts import TextChoice, Tokenize

T = TypeVar("T")
R = TypeVar("R")

PREFETCH = 2
"""Batches that wait ready while the model works on one."""


@dataclass
class Piece:
    """What a worker takes of one lane in one step.

    Attributes:
        images: uint8, shape (B, 3, height, width).
        tokens: int64, shape (B, context length).
        keys: The samples' keys.
        after: Where the lane stands after the whole piece; its errors are only those met on the way. One of a sample
            that is another lane's too is told by that one.
    """

    images: np.ndarray
    tokens: np.ndarray
    keys: list[str]
    after: LanePosition


@dataclass
class Batch:
    """What one worker trains on in one step: tensors as in :class:`Piece`, and where its lanes stand afterwards."""

    images: torch.Tensor
    tokens: torch.Tensor
    keys: list[str]
    lanes: dict[int, LanePosition]


@dataclass(frozen=True)
class Preparation:
    """How a sample becomes tensors."""

    size: tuple[int, int]
    interpolation: str
    tokenize: Tokenize
    texts: TextChoice = field(default_factory=TextChoice)

    def tokens(self, samples: Sequence[_Prepared]) -> torch.Tensor:
        """The tokens of a batch; not for several threads, as fast tokenizers of Hugging Face are not."""
        return self.tokenize([self.texts.cut(each.text, each.seed, self.tokenize) for each in samples])


@dataclass(frozen=True)
class Stream:
    """The samples of a run in their order, pass after pass without end.

    Attributes:
        data: Root of the dataset.
        shards: What a pass reads.
        lanes: Lanes of the order.
        batch_size: Samples that a lane gives in a step.
        seed: Seed of the run.
        buffer: Samples in the shuffle buffer of a lane.
        metadata: Whether the samples' JSON is read too.
    """

    data: Source
    shards: Sequence[Shard]
    lanes: int
    batch_size: int
    seed: int
    buffer: int
    metadata: bool = False

    @property
    def length(self) -> int:
        """Slots of a lane in a pass."""
        return self._share(0).length

    @property
    def piece(self) -> int:
        """Samples of a lane in a step: the same in each, so the last ones of a pass go with the first of the next."""
        return min(self.batch_size, self.length)

    @property
    def step_samples(self) -> int:
        """Samples of all lanes in a step."""
        return self.lanes * self.piece

    def steps(self, epochs: int) -> int:
        """Steps until every sample has been seen in each of ``epochs`` passes."""
        return -(-epochs * self.length // self.piece)

    def _share(self, lane: int) -> Share:
        return share(sum(shard.samples for shard in self.shards), lane, self.lanes)

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
                shard = self.shards[segment.shard]
                yield from read_samples(self.data, shard, segment.start + skipped, segment.stop, metadata=self.metadata)

    def pieces(
        self, rows: Rows, start: LanePosition, how: Preparation, pool: ThreadPoolExecutor, ahead: int
    ) -> Iterator[Piece]:
        """A lane's pieces from ``start`` on, and of each the rows that are asked for.

        Samples that cannot be read are passed over: the next one takes their place.

        Args:
            rows: Of which lane, and which rows.
            start: Where the lane stands.
            how: How samples are prepared.
            pool: Prepares samples.
            ahead: How many samples it works on at a time.

        Raises:
            StoreError: Not one sample of this lane can be read.
        """

        def prepare(
            item: tuple[LanePosition, RawSample | Unreadable, bool],
        ) -> tuple[LanePosition, _Prepared | Unreadable, bool]:
            after, sample, own = item
            return after, _prepare(sample, how, f"{self.seed}/{after.epoch}"), own

        stream = ordered_map(pool, prepare, self.samples(rows.lane, start.epoch, start.slots), ahead)
        lost = 0
        while True:
            taken: list[_Prepared] = []
            errors: list[dict[str, str]] = []
            number = 0
            while number < self.piece:
                after, result, own = next(stream)
                if isinstance(result, _Prepared):
                    lost = 0
                    if rows.start <= number < rows.stop:
                        taken.append(result)
                    number += 1
                    continue
                lost += 1
                if own:
                    errors.append({**asdict(result), "epoch": str(after.epoch)})
                if lost == self.length:
                    raise StoreError(f"{self.data.root}: none of {lost} samples can be read")
            tokens = how.tokens(taken).numpy()
            images = np.stack([sample.pixels for sample in taken])
            after.errors = errors
            yield Piece(images, tokens, [sample.key for sample in taken], after)

    def batches(
        self, rows: Sequence[Rows], lanes: Mapping[int, LanePosition], how: Preparation, threads: int
    ) -> Iterator[Batch]:
        """A worker's batches from where its lanes stand on, without end; raises as :meth:`pieces`.

        Args:
            rows: The worker's rows of each batch.
            lanes: Where the lanes of those rows stand.
            how: How samples are prepared.
            threads: In how many threads.
        """
        with ThreadPoolExecutor(threads) as pool:
            sources = [self.pieces(part, lanes[part.lane], how, pool, 4 * threads) for part in rows]
            while True:
                yield batch_of(rows, [next(source) for source in sources])


def batch_of(rows: Sequence[Rows], pieces: Sequence[Piece]) -> Batch:
    """A worker's batch of the pieces of its rows."""
    return Batch(
        torch.cat([torch.from_numpy(piece.images) for piece in pieces]),
        torch.cat([torch.from_numpy(piece.tokens) for piece in pieces]),
        [key for piece in pieces for key in piece.keys],
        {part.lane: piece.after for part, piece in zip(rows, pieces, strict=True)},
    )


@dataclass(frozen=True)
class _Prepared:
    key: str
    text: str
    seed: str
    pixels: np.ndarray = field(repr=False)


def _prepare(sample: RawSample | Unreadable, how: Preparation, seed: str) -> _Prepared | Unreadable:
    if isinstance(sample, Unreadable):
        return sample
    try:
        image = decode(sample.image)
    except ImageError as error:
        return Unreadable(sample.key, error.kind, str(error))
    own = f"{seed}/{sample.key}"
    pixels = training_pixels(image, how.size, how.interpolation, random.Random(own))
    return _Prepared(sample.key, how.texts.draw(sample, seed), own, pixels)


def ordered_map(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterator[T], ahead: int) -> Iterator[R]:
    """``map`` on a thread pool that keeps the order and works on at most ``ahead`` items at a time."""
    pending: deque[Future[R]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def prefetch(items: Iterator[T], ahead: int = PREFETCH) -> Generator[T, None, None]:
    """The same items, made by a thread of their own that is at most ``ahead`` items in front."""
    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(kind: str, value: T | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                put("item", item)
                if stopped.is_set():
                    return
            put("end", None)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asks for the items
            put("error", error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "item":
                yield value  # type: ignore[misc]
            elif isinstance(value, BaseException):
                raise value
            else:
                return
    finally:
        stopped.set()
        thread.join()
