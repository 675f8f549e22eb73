"""How fast near hashes are found and grouped, whether all are found, and what peers take.

    python -m benchmarks.dedupe pairs                 every case of CASES, one after another
    python -m benchmarks.dedupe pairs 24 5 even       one: millions of hashes, distance, even or skewed
    python -m benchmarks.dedupe peers                 a million hashes: faiss and imagededup beside ours
    python -m benchmarks.dedupe groups                a million candidates, the second look included

Each case is a process of its own. Hashes are random; to one in a hundred of them another is planted, at each distance
from 0 to 8. In the skewed ones a tenth lie at up to 8 bits from 1,000 centres. The time is that of collapsing equal
hashes, as dedupe does it, and of finding all pairs, piece by piece. Then all is done again and checked: all pairs are
within the distance, all planted ones are there, and of 200 hashes (half of them planted) those found near are those of
brute force.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from biomedica_ray.dedupe.groups import best_alike
from biomedica_ray.dedupe.hamming import choose_bands, pair_blocks, pairs_within

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

SHAPES = ("even", "skewed")
CASES = [(n, 5, shape) for shape in SHAPES for n in (1, 4, 24)] + [(4, 8, shape) for shape in SHAPES]
FARTHEST = 8
CENTRES = 1000
CHECKED = 200
THREADS = os.cpu_count() or 1


def flipped(hashes: Hashes, distances: Ints, rng: np.random.Generator) -> Hashes:
    """The hashes with exactly so many of their bits changed, at most FARTHEST."""
    result = hashes.copy()
    for at in range(0, len(hashes), 100_000):
        piece = slice(at, at + 100_000)
        bits = np.argsort(rng.random((len(hashes[piece]), 64), np.float32), axis=1)[:, :FARTHEST].astype(np.uint64)
        changed = np.where(np.arange(FARTHEST) < distances[piece, None], np.uint64(1) << bits, np.uint64(0))
        result[piece] ^= np.bitwise_or.reduce(changed, axis=1)
    return result


def make(n: int, shape: str) -> tuple[Hashes, Hashes, Hashes]:
    """(n,) hashes, and the pairs planted among them: one side and the other."""
    rng = np.random.default_rng(n)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    if shape == "skewed":
        crowd = rng.choice(hashes[-CENTRES:], n // 10)
        hashes[: n // 10] = flipped(crowd, rng.integers(0, FARTHEST + 1, n // 10), rng)
    left, right = slice(n // 2, n // 2 + n // 100), slice(n // 2 + n // 100, n // 2 + 2 * (n // 100))
    hashes[right] = flipped(hashes[left], np.arange(n // 100) % (FARTHEST + 1), rng)
    return rng.permutation(hashes), hashes[left], hashes[right]


def pairs_case(millions: int, distance: int, shape: str) -> None:
    """Find the pairs, check them, and print a row."""
    hashes, left, right = make(millions * 10**6, shape)
    before = peak_gb()
    start, processor = time.perf_counter(), time.process_time()
    distinct, _ = np.unique(hashes, return_inverse=True)
    count = sum(len(pairs) for pairs in pair_blocks(distinct, distance, THREADS))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    memory = peak_gb()
    planted, recall, precision = check(distinct, left, right, distance)
    bands = ", ".join(f"{band.bits}/{band.radius}" for band in choose_bands(len(distinct), distance))
    print(
        f"| {millions} M | {distance} | {shape} | {bands} | {seconds:.2f} | {processor:.2f} | {before:.2f} "
        f"| {memory:.2f} | {count:,} | {planted:.4f} | {recall:.4f} | {precision:.4f} |",
        flush=True,
    )


def check(distinct: Hashes, left: Hashes, right: Hashes, distance: int) -> tuple[float, float, float]:
    """Share of the planted pairs that are found, recall for the sample, and precision of all pairs."""
    near = (np.bitwise_count(left ^ right) <= distance) & (left != right)
    planted = keys(*(np.searchsorted(distinct, side[near]) for side in (left, right)))
    sample = np.random.default_rng(0).choice(len(distinct), CHECKED, replace=False)
    sample[: CHECKED // 2] = np.searchsorted(distinct, left[: CHECKED // 2])
    chosen = np.isin(np.arange(len(distinct)), sample)
    in_planted = np.zeros(len(distinct), bool)
    in_planted[planted >> 32] = in_planted[planted & 0xFFFFFFFF] = True
    right_ones = total = 0
    found, of_sample = [], []
    for pairs in pair_blocks(distinct, distance, THREADS):
        i, j = pairs.T
        right_ones += np.count_nonzero(np.bitwise_count(distinct[i] ^ distinct[j]) <= distance)
        total += len(pairs)
        found.append(keys(*pairs[in_planted[i] & in_planted[j]].T))
        of_sample.append(keys(*pairs[chosen[i] | chosen[j]].T))
    truth = brute_force(distinct, sample, distance)
    met = np.concatenate(of_sample)
    if len(np.unique(met)) != len(met):
        raise AssertionError("a pair is there twice")
    return (
        len(np.intersect1d(np.concatenate(found), planted)) / len(np.unique(planted)),
        len(np.intersect1d(met, truth)) / len(truth),
        right_ones / total if set(met) <= set(truth) else float("nan"),
    )


def brute_force(hashes: Hashes, sample: Ints, distance: int) -> Ints:
    """Sorted keys of the pairs of which one is in the sample."""
    found = []
    for at in range(0, len(hashes), 4096):  # which with the sample fits in the cache
        near = np.bitwise_count(hashes[sample, None] ^ hashes[at : at + 4096]) <= distance
        which, others = np.nonzero(near)
        found.append(keys(sample[which], at + others))
    result = np.unique(np.concatenate(found))
    return result[result >> 32 != result & 0xFFFFFFFF]


def keys(i: Ints, j: Ints) -> Ints:
    """One number for each pair, whichever of its two comes first."""
    return np.minimum(i, j) << 32 | np.maximum(i, j)


def peers_case(n: int = 10**6, distance: int = 5) -> None:
    """Print what peers take for a million hashes; those that would take too long by as many queries as they can."""
    import faiss  # noqa: PLC0415 - of the extra `bench`
    from imagededup.handlers.search.brute_force_cython import BruteForceCython  # noqa: PLC0415

    faiss.omp_set_num_threads(THREADS)
    hashes, left, _ = make(n, "even")
    distinct = np.unique(hashes)
    data = distinct.view(np.uint8).reshape(-1, 8)
    # Planted ones first, so that few queries have something to find.
    asked = np.argsort(~np.isin(distinct, left), kind="stable")

    start = time.perf_counter()
    pairs = pairs_within(distinct, distance, THREADS)
    ours = time.perf_counter() - start

    def flat() -> Any:
        return faiss.IndexBinaryFlat(64)

    def multi_hash() -> Any:
        index = faiss.IndexBinaryMultiHash(64, 3, 21)
        index.nflip = 1
        return index

    def faiss_search(make_index: Callable[[], Any], queries: Ints) -> tuple[Ints, Ints]:
        index = make_index()
        index.add(data)
        limits, _, found = index.range_search(data[queries], distance + 1)  # it finds what is nearer than that
        return np.repeat(queries, np.diff(limits.astype(np.int64))), found

    def imagededup_search(queries: Ints) -> tuple[Ints, Ints]:
        names = {str(i): f"{h:016x}" for i, h in enumerate(distinct.tolist())}
        search = BruteForceCython(names, lambda a, b: (int(a, 16) ^ int(b, 16)).bit_count())
        found = [(i, int(name)) for i in queries for name, _ in search.search(names[str(i)], tol=distance)]
        return np.array(found).reshape(-1, 2).T

    print("| search | queries | s | for all queries s | x ours | recall |\n|---|---:|---:|---:|---:|---:|")
    print(f"| biomedica_ray pairs_within | {len(distinct):,} | {ours:.2f} | {ours:.2f} | 1 | 1 |")
    for name, search, number in (
        ("faiss IndexBinaryMultiHash, 3 x 21 bits, nflip 1", lambda q: faiss_search(multi_hash, q), len(distinct)),
        ("faiss IndexBinaryFlat", lambda q: faiss_search(flat, q), 20_000),
        ("imagededup BruteForceCython", imagededup_search, 20),
    ):
        queries = asked[:number]
        start = time.perf_counter()
        i, j = search(queries)
        seconds = time.perf_counter() - start
        found = np.unique(keys(i[i != j], j[i != j]))
        truth = keys(*pairs[np.isin(pairs, queries).any(axis=1)].T)
        if len(np.setdiff1d(found, truth)):
            raise AssertionError(f"{name} finds pairs that pairs_within does not")
        whole = seconds * len(distinct) / number
        print(
            f"| {name} | {number:,} | {seconds:.2f} | {whole:,.1f} | {whole / ours:,.0f} "
            f"| {len(np.intersect1d(found, truth)) / len(truth):.4f} |",
            flush=True,
        )


def groups_case(n: int = 10**6, looks: int = 2000) -> None:
    """Print what grouping a million candidates takes, in groups of four that look the same or do not, and in crowds."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (looks, 1024)).astype(np.uint8)
    hashes = flipped(np.repeat(rng.integers(0, 2**64, n // 4, dtype=np.uint64), 4), rng.integers(0, 5, n), rng)
    order = rng.permutation(n)
    print("| candidates | groups | d | CPU s | kept | peak GB |\n|---|---|---:|---:|---:|---:|")
    for alike, look in (("alike", np.arange(n) // 4 % looks), ("unlike", np.arange(n) % looks)):
        thumbnails = pictures[look[order]]
        for distance in (4, 5, 8):
            print_groups(f"of four, {alike}", hashes[order], distance, thumbnails)
    noise = rng.integers(0, 256, (20_000, 1024)).astype(np.uint8)
    smooth = np.kron(noise[:, :16].reshape(-1, 4, 4), np.ones((8, 8), np.uint8)).reshape(-1, 1024)
    for crowd in (5_000, 10_000, 20_000):
        around = flipped(np.repeat(rng.integers(0, 2**64, 1, dtype=np.uint64), crowd), rng.integers(0, 5, crowd), rng)
        for kind, thumbnails in (("smooth", smooth), ("noise", noise)):
            print_groups(f"one, all unlike, {kind}", around, 4, thumbnails[:crowd])


def print_groups(groups: str, hashes: Hashes, distance: int, thumbnails: npt.NDArray[np.uint8]) -> None:
    """Print a row of :func:`groups_case`."""
    start = time.process_time()
    best = best_alike(hashes, distance, thumbnails, 0.95)
    seconds = time.process_time() - start
    kept = np.count_nonzero(best == np.arange(len(hashes)))
    print(f"| {len(hashes):,} | {groups} | {distance} | {seconds:.1f} | {kept:,} | {peak_gb():.2f} |", flush=True)


def peak_gb() -> float:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pairs", "peers", "groups"))
    parser.add_argument("case", nargs="*", help="of pairs: millions of hashes, distance, shape")
    arguments = parser.parse_args()
    # Compile first, which only a first run on a machine has to.
    best_alike(np.arange(3, dtype=np.uint64), 2, np.zeros((3, 1024), np.uint8), 0.9)
    pairs_within(np.arange(3, dtype=np.uint64), 2)
    if arguments.what == "peers":
        peers_case()
    elif arguments.what == "groups":
        groups_case()
    elif arguments.case:
        millions, distance, shape = arguments.case
        pairs_case(int(millions), int(distance), shape)
    else:
        print("| hashes | d | shape | bands: bits/radius | s | CPU s | GB before | GB | pairs ", end="")
        print("| planted | recall | precision |")
        print("|---:|---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
        for case in CASES:
            subprocess.run([sys.executable, __file__, "pairs", *map(str, case)], check=True)


if __name__ == "__main__":
    main()
