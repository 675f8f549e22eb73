"""Confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval (None without resamples) and what guessing gives."""

    value: float
    low: float | None
    high: float | None
    chance: float

    def to_json(self) -> dict[str, float | None]:
        """As plain numbers."""
        return asdict(self)


def bootstrap(
    statistic: Callable[[Indices], float], articles: Indices, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13) of a statistic of samples.

    Whole articles are drawn (a cluster bootstrap: Davison and Hinkley 1997, section 3.8): figures of an article are
    alike, and if each were drawn by itself, the interval would be too narrow.

    Args:
        statistic: The statistic of the samples with the given indices, with repetitions.
        articles: A number for the article of each sample, shape (n,).
        resamples: How often to draw; 0 gives no interval.
        seed: Seed of the draws.

    Returns:
        Lower and upper end of the 95 % interval.
    """
    if not resamples:
        return None, None
    generator = np.random.default_rng(seed)
    _, article, sizes = np.unique(articles, return_inverse=True, return_counts=True)
    samples = np.argsort(article, kind="stable")  # those of an article one after the other
    starts = np.cumsum(sizes) - sizes

    def draw() -> Indices:
        drawn = generator.integers(0, len(sizes), len(sizes))
        ends = np.cumsum(sizes[drawn])
        within = np.arange(ends[-1]) - np.repeat(ends - sizes[drawn], sizes[drawn])
        result: Indices = samples[np.repeat(starts[drawn], sizes[drawn]) + within]
        return result

    values = [statistic(draw()) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
