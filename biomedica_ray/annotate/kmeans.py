"""Clusters of embeddings: PCA, then k-means, as in BIOMEDICA (arXiv 2501.07171, section on annotation)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_CHUNK = 1024
"""Vectors that are assigned at a time: their distances to 2,000 centres take 16 MB."""


@dataclass(frozen=True)
class ClusterModel:
    """A fitted PCA and the k-means centres in its space; d is the embeddings' size, p the PCA's, k the clusters'.

    Clusters are numbered from the largest to the smallest, equal ones by their centres' coordinates: the same fit
    gives the same numbers, whatever order k-means found them in.

    Attributes:
        mean: (d,) mean of the vectors it was fitted on.
        components: (p, d) principal axes; if whitened, each divided by the standard deviation along it.
        centres: (k, p).
        explained_variance_ratio: (p,) share of the variance along each axis.
        offsets: (k + 1,) where each cluster's members begin in ``radii``.
        radii: (n,) distance of each fitted vector to its centre, by cluster, ascending.
    """

    mean: Floats
    components: Floats
    centres: Floats
    explained_variance_ratio: Floats
    offsets: Integers
    radii: Floats

    @property
    def sizes(self) -> Integers:
        """(k,) fitted vectors in each cluster."""
        sizes: Integers = np.diff(self.offsets)
        return sizes

    def project(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Vectors (n, d) in PCA space: (n, p)."""
        projected: npt.NDArray[np.float64] = (vectors.astype(np.float64) - self.mean) @ self.components.T.astype(
            np.float64
        )
        return projected

    def assign(self, vectors: npt.NDArray[np.floating]) -> tuple[Integers, Floats]:
        """The nearest cluster of each vector (n, d), and the Euclidean distance to its centre in PCA space."""
        ids: Integers = np.empty(len(vectors), np.int64)
        distances: Floats = np.empty(len(vectors), np.float32)
        centres = self.centres.astype(np.float64)
        norms = np.square(centres).sum(axis=1)
        for start in range(0, len(vectors), _CHUNK):
            piece = slice(start, start + _CHUNK)
            projected = self.project(vectors[piece])
            ids[piece] = nearest = np.argmin(norms - 2 * projected @ centres.T, axis=1)
            distances[piece] = np.linalg.norm(projected - centres[nearest], axis=1)
        return ids, distances

    def confidence(self, ids: Integers, distances: Floats) -> Floats:
        """Share of each one's cluster that lies at least as far from the centre: 1 at the centre, 0 beyond all."""
        result: Floats = np.zeros(len(ids), np.float32)
        for cluster in np.unique(ids):
            members = self.radii[self.offsets[cluster] : self.offsets[cluster + 1]]
            here = ids == cluster
            if len(members):
                result[here] = 1 - np.searchsorted(members, distances[here]) / len(members)
        return result

    def save(self, path: Path) -> None:
        """Write an .npz file of plain arrays."""
        with path.open("wb") as file:
            np.savez(file, **{item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def load(cls, file: Path | IO[bytes]) -> ClusterModel:
        """The inverse of :meth:`save`; raises ValueError or KeyError for a file of anything else."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls(**{item.name: arrays[item.name] for item in fields(cls)})


def fit(vectors: Floats, pca_dims: int, clusters: int, seed: int, *, whiten: bool = False) -> ClusterModel:
    """Fit PCA and k-means on vectors (n, d).

    Args:
        vectors: What to fit on.
        pca_dims: p, the dimensions kept.
        clusters: k.
        seed: Seed of k-means.
        whiten: Scale each axis to unit variance, so that all weigh the same in a distance.

    Raises:
        ValueError: ``pca_dims`` is more than n or d, or ``clusters`` is more than n.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - takes seconds, and only workers fit
    from sklearn.decomposition import PCA  # noqa: PLC0415

    # The covariance's eigenvectors: exact, and of all solvers the one that needs no second copy of many vectors.
    pca = PCA(pca_dims, svd_solver="covariance_eigh" if len(vectors) > vectors.shape[1] else "full").fit(vectors)
    components = pca.components_
    if whiten:
        # An axis along which nothing varies stays at zero instead of becoming noise.
        components = components / np.maximum(np.sqrt(pca.explained_variance_), np.finfo(np.float32).eps)[:, None]
    projected = ((vectors - pca.mean_) @ components.T).astype(np.float32)
    kmeans = KMeans(clusters, n_init=1, random_state=seed).fit(projected)
    sizes = np.bincount(kmeans.labels_, minlength=clusters)
    order = np.lexsort((*kmeans.cluster_centers_.T[::-1], -sizes))
    unsorted = ClusterModel(
        pca.mean_.astype(np.float32),
        components.astype(np.float32),
        kmeans.cluster_centers_[order].astype(np.float32),
        pca.explained_variance_ratio_.astype(np.float32),
        np.zeros(clusters + 1, np.int64),
        np.empty(0, np.float32),
    )
    ids, distances = unsorted.assign(vectors)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(ids, minlength=clusters))])
    return ClusterModel(
        unsorted.mean,
        unsorted.components,
        unsorted.centres,
        unsorted.explained_variance_ratio,
        offsets,
        distances[np.lexsort((distances, ids))],
    )
