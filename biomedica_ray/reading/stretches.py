"""A few samples of a large dataset: stretches of neighbours, drawn at random and read without what lies before them.

A tar does not say where its samples lie, and whoever wants the last one has to read it all. The footer of the shard's
Parquet twin says it; in datasets of earlier versions the same samples lie in the twin, in the same order and in row
groups of some 32 MiB, which can be read one by one. As ``serialize`` writes articles in the order of a hash, neighbours
are figures of a few articles that have nothing else in common.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from biomedica_ray.ahead import ordered_map
from biomedica_ray.messages import one_line
from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.place import OFFSETS
from biomedica_ray.reading.shards import RawSample, Shard, Source, Unreadable, read_samples
from biomedica_ray.store import Store
from biomedica_ray.store.ranges import open_random

STRETCH = 64
"""Most samples of a stretch: some 16 articles, and, at 1.1 MB a figure, two row groups."""
_AT_A_TIME = 3
_WAITING_BYTES = 128 * 2**20
"""Images that have been read and wait; with three stretches being read, in Arrow and here, about 700 MB in all."""
_DAMAGE = (OSError, pa.ArrowException)
"""What Arrow raises for a file that is not as it should be."""
_ELSEWHERE = (FileNotFoundError, PermissionError)
"""Of these, what has other reasons."""
_COLUMNS = ["key", "jpg", "txt", "image_primary_label"]


def draw(sizes: Sequence[int], most: int, seed: int) -> list[int]:
    """At most ``most`` samples of shards of the given sizes: all, or stretches drawn at random, the last one cut short.

    Each sample is as likely as any other.

    Returns:
        Ascending numbers, counted through all shards from 0.
    """
    stretches, first = [], 0
    for size in sizes:
        stretches += [range(start, min(start + STRETCH, first + size)) for start in range(first, first + size, STRETCH)]
        first += size
    if first > most:
        random.Random(f"stretches/{seed}").shuffle(stretches)
    numbers: list[int] = []
    for stretch in stretches:
        numbers += stretch[: most - len(numbers)]
        if len(numbers) == most:
            break
    return sorted(numbers)


def read_numbers(
    data: Source | Pairs, shards: Sequence[Shard], numbers: Sequence[int]
) -> Iterator[RawSample | Unreadable]:
    """The samples with the given ascending numbers, counted through all shards, in that order.

    Of the JSON of those that come from a Parquet twin of an earlier version there is only ``image_primary_label``.
    Where a shard has no twin, its tar is read from its beginning, once.

    Raises:
        StoreError: A file cannot be read, however often it is tried.
    """
    if not isinstance(data, Store) or not all(shard.parquet for shard in shards):
        for shard, wanted in _by_shard(shards, numbers):
            yield from _in_passing(data, shard, wanted)
        return
    store = data

    def read(part: _Part) -> list[RawSample | Unreadable]:
        found = _read(store, part.shard, part.wanted[0], part.wanted[-1] + 1)
        return [found[number - part.wanted[0]] for number in part.wanted]

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for found in ordered_map(pool, read, _parts(shards, numbers), _AT_A_TIME, size=_bytes, most=_WAITING_BYTES):
            yield from found


@dataclass(frozen=True)
class _Part:
    """Ascending numbers of samples of a shard, counted from its first, near enough to be read as one."""

    shard: Shard
    wanted: list[int]


def _parts(shards: Sequence[Shard], numbers: Sequence[int]) -> Iterator[_Part]:
    """The numbers by shard, cut where a stretch is full or would have a gap of one."""
    for shard, wanted in _by_shard(shards, numbers):
        part: list[int] = []
        for number in wanted:
            if part and (number - part[-1] > STRETCH or len(part) == STRETCH):
                yield _Part(shard, part)
                part = []
            part.append(number)
        yield _Part(shard, part)


def _by_shard(shards: Sequence[Shard], numbers: Sequence[int]) -> Iterator[tuple[Shard, list[int]]]:
    """The shards that have any of the numbers, and theirs, counted from the first of the shard."""
    first, at = 0, 0
    for shard in shards:
        wanted = []
        while at < len(numbers) and numbers[at] < first + shard.samples:
            wanted.append(numbers[at] - first)
            at += 1
        if wanted:
            yield shard, wanted
        first += shard.samples


def _in_passing(data: Source | Pairs, shard: Shard, wanted: Sequence[int]) -> Iterator[RawSample | Unreadable]:
    """Samples of a shard without a twin, of which no more is held than one at a time."""
    if isinstance(data, Pairs):
        for number in wanted:
            yield from data.samples(shard, number, number + 1)
        return
    chosen = set(wanted)
    passing = read_samples(data, shard, wanted[0], wanted[-1] + 1, metadata=True)
    yield from (sample for number, sample in enumerate(passing, wanted[0]) if number in chosen)


def _read(data: Store, shard: Shard, start: int, stop: int) -> list[RawSample | Unreadable]:
    """Samples ``start`` to ``stop`` (exclusive) of a shard."""
    if shard.parquet is not None:
        try:
            file = open_random(data, shard.parquet)
        except FileNotFoundError:  # a copy of the dataset that has the tars alone
            pass
        else:
            with file:
                return _of_twin(data, file, shard, start, stop)
    return list(read_samples(data, shard, start, stop, metadata=True))


@dataclass(frozen=True)
class _Piece:
    """A part of a shard as a shard of its own."""

    root: str
    data: bytes

    def open(self, path: str, buffer_size: int | None = None) -> IO[bytes]:
        return io.BytesIO(self.data)


def _of_tar(data: Store, shard: Shard, offsets: Sequence[int], start: int, stop: int) -> list[RawSample | Unreadable]:
    """The same from the tar itself, of which no more is read; ``offsets`` tells where its samples begin."""
    size = offsets[stop] - offsets[start]
    parts: list[bytes] = []
    with open_random(data, shard.path) as file:
        file.seek(offsets[start])
        while size and (part := file.read(size)):
            parts.append(part)
            size -= len(part)
    piece = replace(shard, samples=stop - start)
    found = read_samples(_Piece(data.root, b"".join(parts)), piece, 0, stop - start, metadata=True)
    return [
        replace(each, what=f"{shard.path}#{number}") if isinstance(each, Unreadable) and "#" in each.what else each
        for number, each in enumerate(found, start)
    ]


def _of_twin(data: Store, file: Any, shard: Shard, start: int, stop: int) -> list[RawSample | Unreadable]:
    """The same by the file of the Parquet twin; a damaged row group loses what it holds."""

    def lost(numbers: range, reason: str) -> list[Unreadable]:
        return [Unreadable(f"{shard.path}#{n}", "damaged-shard", f"{shard.parquet}: {reason}") for n in numbers]

    found: list[RawSample | Unreadable] = []
    try:
        twin = pq.ParquetFile(file)
    except _ELSEWHERE:
        raise
    except _DAMAGE as error:
        return [*lost(range(start, stop), one_line(error))]
    if offsets := (twin.metadata.metadata or {}).get(OFFSETS.encode()):
        return _of_tar(data, shard, json.loads(offsets), start, stop)
    first = 0
    for group in range(twin.num_row_groups):
        last = first + twin.metadata.row_group(group).num_rows
        here = range(max(start, first), min(stop, last))
        if here:
            try:
                rows = twin.read_row_group(group, _COLUMNS).slice(here.start - first, len(here))
                found += map(_sample, rows.to_pylist())
            except _ELSEWHERE:
                raise
            except _DAMAGE as error:
                found += lost(here, one_line(error))
        first = last
    return found + lost(range(start + len(found), stop), f"it has no {shard.samples} samples")


def _sample(row: dict[str, Any]) -> RawSample:
    metadata = json.dumps({"image_primary_label": row["image_primary_label"]}).encode()
    image = row["jpg"]  # its bytes alone in datasets of earlier versions
    return RawSample(row["key"], image["bytes"] if isinstance(image, dict) else image, row["txt"], metadata)


def _bytes(found: list[RawSample | Unreadable]) -> int:
    return sum(len(each.image) for each in found if isinstance(each, RawSample))
