"""How good clusters are: measures that need no truth, and two that compare clusters with one.

scikit-learn is imported where it measures, as that takes seconds: workers do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from biomedica_ray.annotate.kmeans import ClusterModel

_DISTANCES_MB = 256
"""Memory for the distances between points that are held at once."""


def inertia(model: ClusterModel) -> float:
    """Sum of the squared distances of the fitted vectors to their centres, which k-means minimises."""
    return float(np.square(model.radii.astype(np.float64)).sum())


def silhouette(points: npt.NDArray[np.floating], clusters: npt.NDArray[np.integer]) -> float | None:
    """Mean silhouette of points (n, p), -1 to 1 (Rousseeuw 1987, J Comput Appl Math 20:53).

    Compares each point's mean distance to its own cluster's points with that to the next one's; a cluster's only point
    counts 0. None where there is nothing to compare: one cluster, or as many as points.
    """
    from sklearn import config_context  # noqa: PLC0415
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    if not 1 < len(np.unique(clusters)) < len(points):
        return None
    with config_context(working_memory=_DISTANCES_MB):
        return float(silhouette_score(points, clusters))


def stability(assignments: Sequence[npt.NDArray[np.integer]]) -> float | None:
    """Mean adjusted Rand index of all pairs of clusterings of the same points (Hubert & Arabie 1985, J Classif 2:193).

    1 where all are the same but for the numbers of the clusters, about 0 for chance; None for fewer than two.
    """
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415

    pairs = [float(adjusted_rand_score(one, other)) for one, other in combinations(assignments, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def purity(clusters: Sequence[int], concepts: Sequence[str]) -> float:
    """Share of the figures that have the commonest concept of their cluster (Manning et al. 2008, IR, section 16.3)."""
    from sklearn.metrics.cluster import contingency_matrix  # noqa: PLC0415

    table: npt.NDArray[Any] = contingency_matrix(concepts, clusters)
    return float(table.max(axis=0).sum() / table.sum())


def mutual_information(clusters: Sequence[int], concepts: Sequence[str]) -> float:
    """Normalised mutual information of clusters and concepts, 0 to 1: over the mean of the two entropies."""
    from sklearn.metrics import normalized_mutual_info_score  # noqa: PLC0415

    return float(normalized_mutual_info_score(concepts, clusters))
