"""Confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95


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
    statistic: Callable[[npt.NDArray[np.int64]], float], n: int, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13) of a statistic of ``n`` samples.

    Args:
        statistic: The statistic of the samples with the given indices, shape (n,), with repetitions.
        n: Number of samples.
        resamples: How often to draw; 0 gives no interval.
        seed: Seed of the draws.

    Returns:
        Lower and upper end of the 95 % interval.
    """
    if not resamples:
        return None, None
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(0, n, n)) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
