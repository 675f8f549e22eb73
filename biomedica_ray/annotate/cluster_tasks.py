"""What workers do with clusters: fit them, and find the clusters of figures.

Imports no torch, so that its workers start fast.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from biomedica_ray.annotate import kmeans, quality
from biomedica_ray.annotate.clustering import Clustering
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.kmeans import ClusterModel, Floats, Integers
from biomedica_ray.annotate.vectors import model_slug, read_vectors, sample_vectors
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import pmcid_of


@dataclass(frozen=True)
class Trial:
    """Measures of clusters that were fitted.

    Attributes:
        inertia: As in :func:`quality.inertia`, over all fitted vectors.
        silhouette: As in :func:`quality.silhouette`, over the sample for measures.
        assigned: (n,) cluster of each vector of that sample.
    """

    inertia: float
    silhouette: float | None
    assigned: Integers


def fit_clusters(
    config: AnnotateConfig, store: Store, dim: int, mark: str, embedded: Mapping[int, Commit]
) -> tuple[Clustering, Trial]:
    """Fit on a seeded sample of the embeddings and write the model, unless it is there.

    Returns:
        What the clusters are, their stability not measured yet; and the measures.
    """
    slug = model_slug(config.model)
    vectors = sample_vectors(store, embedded, dim, config.fit_sample, config.seed)
    file = f"clusters/{slug}/{mark}.npz"
    try:
        model = load_clusters(store, file)
    except FileNotFoundError:
        model = kmeans.fit(vectors, config.pca_dims, config.clusters, config.seed, whiten=config.whiten)
        with store.atomic_file(file) as path:
            model.save(path)
    trial = _measure(config, model, vectors)
    clustering = Clustering(
        fingerprint=mark,
        file=file,
        model=config.model,
        clusters=config.clusters,
        pca_dims=config.pca_dims,
        fitted=len(vectors),
        explained_variance=round(float(model.explained_variance_ratio.sum()), 4),
        explained_variance_ratio=[round(float(share), 6) for share in model.explained_variance_ratio],
        sizes=model.sizes.tolist(),
        inertia=trial.inertia,
        silhouette=trial.silhouette,
        stability=None,
        measured_with=config.measured_with,
    )
    return clustering, trial


def try_clusters(
    config: AnnotateConfig, store: Store, dim: int, embedded: Mapping[int, Commit], *, clusters: int, seed: int
) -> Trial:
    """Fit another number of clusters, or with another seed, on the same sample; the model is not kept."""
    vectors = sample_vectors(store, embedded, dim, config.fit_sample, config.seed)
    return _measure(config, kmeans.fit(vectors, config.pca_dims, clusters, seed, whiten=config.whiten), vectors)


def _measure(config: AnnotateConfig, model: ClusterModel, vectors: Floats) -> Trial:
    size = min(config.metrics_sample, len(vectors))
    sample = vectors[np.sort(np.random.default_rng(config.seed).choice(len(vectors), size, replace=False))]
    assigned, _ = model.assign(sample)
    return Trial(quality.inertia(model), quality.silhouette(model.project(sample), assigned), assigned)


def assign_figures(store: Store, clustering: Clustering, figure_ids: list[str]) -> dict[str, int]:
    """The clusters of some figures; those without an embedding are left out."""
    model = load_clusters(store, clustering.file)
    wanted = set(figure_ids)
    found: dict[str, int] = {}
    for unit in store.units_of(set(map(pmcid_of, figure_ids))):
        try:
            commit = store.commit(clustering.stage, unit)
        except FileNotFoundError:
            continue  # a unit without articles, so the exemplar does not exist
        ids, vectors = read_vectors(store, commit)
        rows = [row for row, figure_id in enumerate(ids) if figure_id in wanted]
        clusters, _ = model.assign(vectors[rows])
        found |= {ids[row]: int(cluster_id) for row, cluster_id in zip(rows, clusters, strict=True)}
    return found


def load_clusters(store: Store, file: str) -> ClusterModel:
    """The cluster model at ``file`` below the root."""
    return ClusterModel.load(io.BytesIO(store.read_bytes(file)))
