"""Pairs of near hashes by a shuffle across the cluster, for more of them than one machine should compare.

The pigeonhole of Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling" (WWW 2007), section 3: cut the
64 bits into ``d + r`` bands. Two hashes that differ in at most ``d`` bits agree in at least ``r`` whole bands. So each
hash goes, once for each choice of ``r`` bands, to where all those go that have the same bits there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, count, pairwise
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from biomedica_ray.cluster import RETRIES, retries_allowed

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

HASH_BITS = 64
COPIES_PER_TASK = 4_000_000
"""Copies of hashes that one task sends or compares, about: 72 MB, and twice as much again for sorting them."""
_COPY_COST = 100
"""Sending a hash costs about as much as comparing this many pairs."""
_TASK_GB = 1.0


def pair_blocks_by_shuffle(hashes: Hashes, max_distance: int, copies_per_task: int = COPIES_PER_TASK) -> Iterator[Rows]:
    """The pairs of :func:`~biomedica_ray.dedupe.hamming.pair_blocks`, by Ray Data; the hashes are sorted."""
    n = len(hashes)
    if n < 2 or max_distance == 0:
        return
    masks = choose_masks(n, max_distance)
    n_tasks = -(-n * len(masks) // copies_per_task)
    chunks = [pa.table({"hash": chunk}) for chunk in np.array_split(hashes, n_tasks)]
    copies = on_tables(ray.data.from_arrow(chunks), partial(copies_by_band, masks=masks), _TASK_GB)
    parts = copies.repartition(n_tasks, keys=["mask", "bits"])
    near = partial(near_within_buckets, masks=masks, max_distance=max_distance)
    for table in tables(on_tables(parts, near, _TASK_GB)):
        yield np.searchsorted(hashes, np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1))


def choose_masks(n: int, max_distance: int) -> Hashes:
    """The bits of every choice of ``r`` bands, for the ``r`` with which sending and comparing ``n`` hashes is cheapest.

    A choice of more bits leaves fewer hashes to compare with one another, and there are more such choices.
    """

    def cost(r: int) -> float:
        return comb(max_distance + r, r) * (_COPY_COST + n / 2 ** (1 + HASH_BITS * r / (max_distance + r)))

    r = min(range(1, 7), key=cost)
    edges = np.linspace(0, HASH_BITS, max_distance + r + 1).round().astype(int).tolist()
    bands = [(1 << stop) - (1 << start) for start, stop in pairwise(edges)]
    return np.array([sum(chosen) for chosen in combinations(bands, r)], np.uint64)


def copies_by_band(table: pa.Table, masks: Hashes) -> pa.Table:
    """Of each hash as many copies as there are masks, with the number of the mask and the hash's bits in it."""
    hashes = table["hash"].to_numpy()
    return pa.table(
        {
            "mask": np.repeat(np.arange(len(masks), dtype=np.int16), len(hashes)),
            "bits": (hashes & masks[:, None]).reshape(-1),
            "hash": np.tile(hashes, len(masks)),
        }
    )


def near_within_buckets(table: pa.Table, masks: Hashes, max_distance: int) -> pa.Table:
    """The pairs a < b of near hashes with the same mask and bits, each where the first mask is that they agree in."""
    numbers, bits, hashes = (table[name].to_numpy() for name in ("mask", "bits", "hash"))
    order = np.lexsort((hashes, bits, numbers))
    numbers, bits, hashes = numbers[order], bits[order], hashes[order]
    left = np.arange(len(hashes))
    a, b = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for shift in count(1):
        left = left[left < len(hashes) - shift]
        left = left[(bits[left] == bits[left + shift]) & (numbers[left] == numbers[left + shift])]
        if not len(left):
            break
        differing = hashes[left] ^ hashes[left + shift]
        near = np.bitwise_count(differing) <= max_distance
        agreeing = (differing[near, None] & masks) == 0
        first = agreeing.argmax(axis=1) == numbers[left[near]]
        a.append(hashes[left[near][first]])
        b.append(hashes[left[near][first] + shift])
    return pa.table({"a": np.concatenate(a), "b": np.concatenate(b)})


def on_tables(
    dataset: ray.data.Dataset, function: Callable[[pa.Table], pa.Table], memory_gb: float
) -> ray.data.Dataset:
    """Map whole blocks, as pyarrow tables, in tasks that reserve so much memory and are tried again."""
    dataset.context.enable_progress_bars = False
    options: dict[str, Any] = {"num_cpus": 1, "memory": int(memory_gb * 2**30), "max_retries": RETRIES}
    with retries_allowed():
        return dataset.map_batches(function, batch_format="pyarrow", batch_size=None, zero_copy_batch=True, **options)


def tables(dataset: ray.data.Dataset) -> Iterator[pa.Table]:
    """The blocks of a dataset, one in memory at a time."""
    yield from dataset.iter_batches(batch_format="pyarrow", batch_size=None)
