"""Which samples choose: those that are held out of all the data that a model learns from, by weight."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from biomedica_ray.cluster import on_a_worker
from biomedica_ray.evaluate.pipeline import HeldOut
from biomedica_ray.reading.held_out import held_out_numbers
from biomedica_ray.reading.mixture import quotas
from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.shards import RawSample, Shard, Source, Unreadable, read_shards
from biomedica_ray.reading.stretches import draw
from biomedica_ray.store import Store, StoreError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OneSet:
    """One of the sets of data that a model learns from.

    Attributes:
        source: A dataset, or data without a ``dataset.json``.
        shards: Of a dataset any; of other data all, from which samples are held out.
        weight: Its share, beside those of the others.
    """

    source: Source | Pairs
    shards: tuple[Shard, ...]
    weight: float = 1


@dataclass(frozen=True)
class Validation:
    """Held-out samples of one or several sets, which are scored as one.

    Attributes:
        parts: Those of each set.
    """

    parts: tuple[HeldOut, ...]

    @property
    def root(self) -> str:
        """Where they are, for messages."""
        return ", ".join(part.data.root for part in self.parts)

    @property
    def size(self) -> int:
        """How many there are."""
        return sum(len(part.numbers) for part in self.parts)

    @property
    def content(self) -> list[tuple[str, str]]:
        """What distinguishes them from others, as far as shards and shares do."""
        shares = [(part.data.root, str(len(part.numbers))) for part in self.parts] if len(self.parts) > 1 else []
        return [each for part in self.parts for each in part.content] + shares

    def samples(self, rank: int = 0, workers: int = 1) -> Iterator[RawSample | Unreadable]:
        """Those of one of several workers: its part of each set; raises StoreError where a file cannot be read."""
        for part in self.parts:
            yield from part.samples(rank, workers)


def holds_out(source: Source | Pairs, fraction: float) -> bool:
    """Whether there are samples that a model does not learn from: a split of a dataset, or a fraction of other data."""
    return bool(read_shards(source, None, "validation")) if isinstance(source, Store) else fraction > 0


def merged(sets: Sequence[OneSet]) -> list[OneSet]:
    """The different sets, in their order: one that is there twice counts once, with the sum of its weights.

    A dataset is known by its place, other data by their shards too: what tars are called names but the first and last.
    """
    found: dict[tuple[str, ...], OneSet] = {}
    for each in sets:
        shards = () if isinstance(each.source, Store) else (shard.path for shard in each.shards)
        key = (each.source.root, *shards)
        before = found.get(key)
        found[key] = replace(each, weight=each.weight + (before.weight if before else 0))
    return list(found.values())


def find_validation(sets: Sequence[OneSet], fraction: float, most: int, seed: int = 0) -> Validation:
    """At most ``most`` held-out samples, of each set as many as its weight says; drawn at random from the seed.

    A set that is there twice, as with two kinds of text, counts once, with the sum of its weights. Sets that hold
    nothing out are passed over, unless all are such.

    Args:
        sets: The sets.
        fraction: Of the articles of data without a ``dataset.json``, how many are held out.
        most: How many are wanted.
        seed: Of the draw.

    Raises:
        StoreError: There are fewer than 2.
    """
    different = merged(sets)
    having = [each for each in different if holds_out(each.source, fraction)]
    for each in different:
        if having and each not in having:
            log.info("%s: nothing is held out; scores are those of the other data", each.source.root)
    asked = quotas(most, [each.weight for each in having]) if having else []
    found = [_draw(each, fraction, number, seed) for each, number in zip(having, asked, strict=True)]
    validation = Validation(tuple(part for part in found if part.numbers))
    if validation.size < 2:
        first = different[0].source
        more = (
            "serialize with a greater validation_fraction" if isinstance(first, Store) else "raise validation_fraction"
        )
        where = ", ".join(each.source.root for each in different)
        raise StoreError(f"{where}: {validation.size} validation samples, expected at least 2; {more}")
    return validation


def _draw(one: OneSet, fraction: float, most: int, seed: int) -> HeldOut:
    if isinstance(one.source, Store):
        shards = read_shards(one.source, None, "validation")
        return HeldOut(one.source, shards, draw([shard.samples for shard in shards], most, seed) if most else [])
    numbers = on_a_worker(partial(held_out_numbers, one.source, one.shards, fraction, most, seed)) if most else []
    return HeldOut(one.source, one.shards, numbers)
