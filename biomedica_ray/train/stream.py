"""Batches of a pass: shards read as a stream, decoded on threads, in an order that can be taken up anywhere."""

from __future__ import annotations

import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from biomedica_ray.images import ImageError, decode
from biomedica_ray.store import StoreError
from biomedica_ray.train.augment import training_pixels
from biomedica_ray.train.order import Segment, batch_sizes, buffered_order, segments, share
from biomedica_ray.train.shards import RawSample, Shard, Source, Unreadable, read_samples
from biomedica_ray.train.texts import TextChoice, Tokenize

T = TypeVar("T")
R = TypeVar("R")

PREFETCH = 2
"""Batches that wait ready while the model works on one."""


@dataclass
class Batch:
    """What one worker trains on in one step.

    Attributes:
        images: uint8, shape (B, 3, height, width).
        tokens: int64, shape (B, context length).
        keys: The samples' keys.
        slots: Position in the pass after this batch, in slots.
        errors: Samples met on the way that could not be read; one that is another worker's too is told by that one.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    keys: list[str]
    slots: int
    errors: list[Unreadable]


@dataclass(frozen=True)
class Preparation:
    """How a sample becomes tensors."""

    size: tuple[int, int]
    interpolation: str
    tokenize: Tokenize
    texts: TextChoice = field(default_factory=TextChoice)

    def tokens(self, samples: Sequence[_Prepared], seed: str) -> torch.Tensor:
        """The tokens of a batch; not for several threads, as fast tokenizers of Hugging Face are not."""
        return self.tokenize([self.texts.cut(each.text, f"{seed}/{each.key}", self.tokenize) for each in samples])


@dataclass(frozen=True)
class Stream:
    """A worker's view of the data."""

    data: Source
    shards: Sequence[Shard]
    rank: int
    workers: int
    seed: int
    buffer: int
    metadata: bool = False
    """Whether the samples' JSON is read too."""

    @property
    def n_samples(self) -> int:
        """Samples of all workers in one pass."""
        return sum(shard.samples for shard in self.shards)

    def sizes(self, batch_size: int) -> list[int]:
        """Batch sizes of a pass, the same for every worker."""
        return batch_sizes(share(self.n_samples, self.rank, self.workers).length, batch_size)

    def samples(self, epoch: int, skip: int) -> Iterator[tuple[int, RawSample | Unreadable, bool]]:
        """The samples of a pass, in order, after the first ``skip``; again from the beginning when all were seen.

        Yields:
            Position after the sample, the sample, and whether it has not been given out before in this pass.
        """
        part = share(self.n_samples, self.rank, self.workers)
        plan = segments([shard.samples for shard in self.shards], part, seed=self.seed, epoch=epoch)
        position = skip
        while True:
            first_time = position < part.length
            for slot, sample in self._in_order(plan, part.length, epoch, position % part.length):
                position += 1
                yield position, sample, first_time and slot < part.own

    def _in_order(
        self, plan: list[Segment], length: int, epoch: int, skip: int
    ) -> Iterator[tuple[int, RawSample | Unreadable]]:
        order = buffered_order(length, self.buffer, f"{self.seed}/{epoch}/{self.rank}")
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

    def batches(self, epoch: int, sizes: Sequence[int], skip: int, how: Preparation, threads: int) -> Iterator[Batch]:
        """Batches of the given sizes, from position ``skip`` of a pass on.

        Samples that cannot be read are passed over; at the end of the pass the first samples come again in their
        place, so that every worker has the same number of steps.

        Raises:
            StoreError: Not one sample of this worker can be read.
        """
        part = share(self.n_samples, self.rank, self.workers)

        def prepare(item: tuple[int, RawSample | Unreadable, bool]) -> tuple[int, _Prepared | Unreadable, bool]:
            position, sample, first_time = item
            return position, _prepare(sample, how, f"{self.seed}/{epoch}"), first_time

        with ThreadPoolExecutor(threads) as pool:
            stream = ordered_map(pool, prepare, self.samples(epoch, skip), 4 * threads)
            position, last_good = skip, skip
            for size in sizes:
                good: list[_Prepared] = []
                errors = []
                while len(good) < size:
                    position, result, first_time = next(stream)
                    if isinstance(result, _Prepared):
                        good.append(result)
                        last_good = position
                    elif first_time:
                        errors.append(result)
                    if position - last_good >= part.length:
                        raise StoreError(f"{self.data.root}: none of {part.length} samples can be read")
                tokens = how.tokens(good, f"{self.seed}/{epoch}")
                images = torch.from_numpy(np.stack([sample.pixels for sample in good]))
                yield Batch(images, tokens, [sample.key for sample in good], position, errors)


@dataclass(frozen=True)
class _Prepared:
    key: str
    text: str
    pixels: np.ndarray = field(repr=False)


def _prepare(sample: RawSample | Unreadable, how: Preparation, seed: str) -> _Prepared | Unreadable:
    if isinstance(sample, Unreadable):
        return sample
    try:
        image = decode(sample.image)
    except ImageError as error:
        return Unreadable(sample.key, error.kind, str(error))
    pixels = training_pixels(image, how.size, how.interpolation, random.Random(f"{seed}/{sample.key}"))
    return _Prepared(sample.key, how.texts.draw(sample, seed), pixels)


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
