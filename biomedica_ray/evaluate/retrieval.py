"""Retrieval: is an image's own caption among the k most similar ones, and the other way round?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from biomedica_ray.evaluate.statistics import Estimate, Indices, bootstrap
from biomedica_ray.evaluate.zero_shot import Vectors

_CHUNK = 1024
"""Queries compared at a time, so that memory grows with the number of candidates and not with its square."""


def standing(queries: Vectors, candidates: Vectors) -> tuple[Indices, Indices]:
    """The rank of each query's own candidate, the one of the same index, among all of them.

    Args:
        queries: Normalised, shape (n, d).
        candidates: Normalised, shape (n, d).

    Returns:
        Candidates that are more similar than the own one, and others that are exactly as similar, each of shape (n,).
    """
    before, equal = [], []
    for start in range(0, len(queries), _CHUNK):
        similarity = queries[start : start + _CHUNK] @ candidates.T
        rows = np.arange(len(similarity))
        own = similarity[rows, start + rows][:, None]
        before.append((similarity > own).sum(axis=1))
        equal.append((similarity == own).sum(axis=1) - 1)
    return np.concatenate(before), np.concatenate(equal)


def hits(before: Indices, equal: Indices, k: int) -> npt.NDArray[np.float64]:
    """Probability that the own candidate is among the first k, ties in random order; shape (n,).

    A model that finds everything alike thus gets what guessing gets, not everything or nothing.
    """
    return np.clip((k - before) / (equal + 1), 0.0, 1.0)


def recall(
    queries: Vectors, candidates: Vectors, cutoffs: Sequence[int], *, articles: Indices, resamples: int, seed: int
) -> dict[int, Estimate]:
    """Recall@k for each cutoff k that is below the number of candidates; chance is k / n.

    Articles, resamples and seed are those of :func:`~biomedica_ray.evaluate.statistics.bootstrap`.
    """
    n = len(queries)
    before, equal = standing(queries, candidates)
    result = {}
    for k in sorted(set(cutoffs)):
        if k < n:
            found = hits(before, equal, k)

            def mean(chosen: Indices, found: npt.NDArray[np.float64] = found) -> float:
                return float(found[chosen].mean())

            interval = bootstrap(mean, articles, resamples, seed)
            result[k] = Estimate(float(found.mean()), *interval, k / n)
    return result
