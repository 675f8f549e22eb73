"""Fitting clusters on the Ray cluster, measuring them, and trying other numbers of them; a task for each fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import ray

from biomedica_ray import usage
from biomedica_ray.annotate import quality
from biomedica_ray.annotate.cluster_tasks import Trial, fit_clusters, try_clusters
from biomedica_ray.annotate.clustering import Clustering, clustering_path, read_clustering
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.vectors import count_vectors, model_slug
from biomedica_ray.cluster import RETRIES, on_a_worker, with_usage
from biomedica_ray.config import ConfigError
from biomedica_ray.models.encoder_info import EncoderInfo
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import fingerprint

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same embeddings would give other clusters."""


def fit(config: AnnotateConfig, store: Store, info: EncoderInfo, embedded: Mapping[int, Commit]) -> Clustering:
    """Fit and measure the clusters and write ``clusters/<model>.json``, unless that has been done.

    Clusters that were fitted with the same settings are kept when figures are added or change, until ``refit`` asks for
    others: with other clusters every figure would be labelled anew and every shard written anew.

    Args:
        config: The settings.
        store: The store.
        info: The encoder.
        embedded: Unit -> commit of the embeddings.

    Raises:
        ConfigError: There are fewer embeddings than clusters or dimensions.
    """
    path = clustering_path(config.model)
    mark = fingerprint(VERSION, _data(config, embedded), config.clusters)
    settings, dim = fingerprint(_settings(config, info), config.clusters), info.dim
    found = read_clustering(store, path)
    if found and not config.again and store.has(found.file) and _is_kept(found, mark, settings, config):
        return found
    check(config, config.clusters, dim, _n_fitted(config, embedded))
    log.info("annotate: fitting %d clusters on %d embeddings", config.clusters, _n_fitted(config, embedded))
    task = _on_cluster(config, dim, embedded)
    fitted = task.remote(fit_clusters, config, store, dim, mark, dict(embedded))
    others = _try(
        config, store, dim, embedded, [(config.clusters, config.seed + 1 + n) for n in range(config.stability_seeds)]
    )
    clustering: Clustering
    (clustering, trial), used = ray.get(fitted)
    usage.add(used)
    assignments = [trial.assigned, *(other.assigned for other in others)]
    stability = on_a_worker(partial(quality.stability, assignments))
    clustering = replace(clustering, stability=stability, settings=settings)
    store.write_json(path, clustering.to_json())
    return clustering


def _is_kept(found: Clustering, mark: str, settings: str, config: AnnotateConfig) -> bool:
    """Whether clusters that have been fitted are those that are wanted."""
    if found.fingerprint == mark:
        return found.measured_with == config.measured_with
    if config.refit or found.settings != settings:
        return False
    log.info(
        "annotate: figures were added or changed since the clusters were fitted (on %d embeddings); the clusters are "
        "kept, --refit true fits them anew",
        found.fitted,
    )
    return True


def scan(
    config: AnnotateConfig, store: Store, info: EncoderInfo, embedded: Mapping[int, Commit]
) -> list[dict[str, Any]]:
    """Inertia and silhouette for each number of clusters in ``scan_k`` and in earlier scans.

    As with :func:`fit`, what was tried stands until ``refit`` asks for it anew or the settings change.

    Raises:
        ConfigError: There are fewer embeddings than clusters or dimensions.
    """
    document = f"clusters/{model_slug(config.model)}/scan.json"
    mark, dim = fingerprint(_settings(config, info), config.metrics_sample), info.dim
    data = _data(config, embedded)
    try:
        found: dict[str, Any] = store.read_json(document)
    except FileNotFoundError:
        found = {}
    same = found.get("fingerprint") == mark and not (config.refit and found["data"] != data)
    done = found["scan"] if same else []
    todo = sorted(set(config.scan_k or ()) - {each["clusters"] for each in done})
    for clusters in todo:
        check(config, clusters, dim, _n_fitted(config, embedded), "scan_k")
    if todo:
        log.info("annotate: trying %s clusters", ", ".join(map(str, todo)))
        trials = _try(config, store, dim, embedded, [(clusters, config.seed) for clusters in todo])
        done += [
            {"clusters": clusters, "inertia": trial.inertia, "silhouette": trial.silhouette}
            for clusters, trial in zip(todo, trials, strict=True)
        ]
        done.sort(key=lambda each: each["clusters"])
        store.write_json(document, {"fingerprint": mark, "data": data, "scan": done})
    result: list[dict[str, Any]] = done
    return result


def _settings(config: AnnotateConfig, info: EncoderInfo) -> str:
    """Changes with the encoder, and with how vectors are fitted, but not with the vectors."""
    return fingerprint(VERSION, info.to_json(), config.pca_dims, config.whiten, config.fit_sample, config.seed)


def _data(config: AnnotateConfig, embedded: Mapping[int, Commit]) -> str:
    """Changes with the vectors that clusters are fitted on, and the space that they are fitted in."""
    contents = {unit: commit.content for unit, commit in embedded.items()}
    return fingerprint(config.pca_dims, config.whiten, config.fit_sample, config.seed, contents)


def _n_fitted(config: AnnotateConfig, embedded: Mapping[int, Commit]) -> int:
    return min(config.fit_sample, count_vectors(embedded))


def check(config: AnnotateConfig, clusters: int, dim: int, n_fitted: int, key: str = "clusters") -> None:
    """Raises ConfigError where there are fewer embeddings, of ``dim`` numbers each, than clusters or dimensions."""
    if clusters > n_fitted:
        raise ConfigError(f"{key}: {clusters} are more than the {n_fitted} embeddings to fit them on")
    if config.pca_dims > min(n_fitted, dim):
        raise ConfigError(
            f"pca_dims: {config.pca_dims} are more than {min(n_fitted, dim)}, "
            f"as {n_fitted} embeddings of {dim} numbers are there to fit them on"
        )


def _try(
    config: AnnotateConfig,
    store: Store,
    dim: int,
    embedded: Mapping[int, Commit],
    trials: list[tuple[int, int]],
) -> list[Trial]:
    """Fit other numbers of clusters or with other seeds, all at the same time where the cluster has room."""
    task, shared = _on_cluster(config, dim, embedded), ray.put(dict(embedded))
    found: list[tuple[Trial, usage.Usage]] = ray.get(
        [
            task.remote(try_clusters, config, store, dim, shared, clusters=clusters, seed=seed)
            for clusters, seed in trials
        ]
    )
    for _, used in found:
        usage.add(used)
    return [trial for trial, _ in found]


def _on_cluster(config: AnnotateConfig, dim: int, embedded: Mapping[int, Commit]) -> Any:
    # The vectors as float32, at most two further copies of them inside scikit-learn, and the libraries.
    memory = int(3 * 4 * _n_fitted(config, embedded) * dim + 2**30)
    return ray.remote(with_usage).options(num_cpus=config.fit_cpus, memory=memory, max_retries=RETRIES)
