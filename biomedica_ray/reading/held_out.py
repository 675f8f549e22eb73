"""Which samples of data without splits of its own are held out, and where the first of them lie.

By a hash of the article, so that its figures are all held out or none, in whatever shard they are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.shards import Shard, Source, sample_keys
from biomedica_ray.units import stable_hash


def article_of(key: str) -> str:
    """The article in a sample's key, ``PMC123-1`` of ``PMC123-1_004``; the key itself where there is none."""
    return key.rpartition("_")[0] or key


def is_held_out(key: str, fraction: float) -> bool:
    """Whether the article of a sample is among that share of all articles; a greater share has those of a smaller."""
    return fraction > 0 and stable_hash(f"held out:{article_of(key)}") < fraction * 2**64


def held_out_numbers(
    data: Source | Pairs, shards: Sequence[Shard], fraction: float, most: int, seed: int = 0
) -> list[int]:
    """At most ``most`` held-out samples, of as few shards as have them, taken in an order drawn from the seed.

    Reads these shards from their beginning, as the keys of a tar's samples lie between them.

    Returns:
        Ascending numbers, counted through all shards from 0.

    Raises:
        StoreError: A shard cannot be reached.
    """
    first, starts = 0, []
    for shard in shards:
        starts.append(first)
        first += shard.samples
    order = list(range(len(shards)))
    random.Random(f"held out/{seed}").shuffle(order)
    numbers: list[int] = []
    for at in order:
        keys = data.keys(shards[at]) if isinstance(data, Pairs) else sample_keys(data, shards[at])
        found = [starts[at] + number for number, key in enumerate(keys) if is_held_out(key, fraction)]
        numbers += found[: most - len(numbers)]
        if len(numbers) == most:
            break
    return sorted(numbers)
