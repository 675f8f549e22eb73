"""Fitting clusters on the Ray cluster, measuring them, and trying other numbers of them; a task for each fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import ray

from biomedica_ray.annotate import quality
from biomedica_ray.annotate.cluster_tasks import Trial, fit_clusters, try_clusters
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.vectors import count_vectors, model_slug
from biomedica_ray.cluster import RETRIES
from biomedica_ray.config import ConfigError
from biomedica_ray.models.encoders import EncoderInfo
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import fingerprint

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same embeddings would give other clusters."""


def fit(config: AnnotateConfig, store: Store, info: EncoderInfo, embedded: Mapping[int, Commit]) -> dict[str, Any]:
    """Fit and measure the clusters, unless that has been done; returns what ``clusters/<model>.json`` says of them.

    Raises:
        ConfigError: There are fewer embeddings than clusters or dimensions.
    """
    document = f"clusters/{model_slug(config.model)}.json"
    mark = fingerprint(VERSION, _data(config, embedded), config.clusters)
    measured_with = {"metrics_sample": config.metrics_sample, "stability_seeds": config.stability_seeds}
    found = _read(store, document)
    if found.get("fingerprint") == mark and found["measured_with"] == measured_with:
        return found
    _check(config, config.clusters, info, embedded)
    log.info("annotate: fitting %d clusters on %d embeddings", config.clusters, _n_fitted(config, embedded))
    task = _on_cluster(fit_clusters, config, info, embedded)
    fitted = task.remote(config, store, info.dim, mark, dict(embedded))
    others = _try(
        config, store, info, embedded, [(config.clusters, config.seed + 1 + n) for n in range(config.stability_seeds)]
    )
    clustering, trial = ray.get(fitted)
    clustering |= {
        "inertia": trial.inertia,
        "silhouette": trial.silhouette,
        "stability": quality.stability([trial.assigned, *(other.assigned for other in others)]),
        "measured_with": measured_with,
    }
    store.write_json(document, clustering)
    result: dict[str, Any] = clustering
    return result


def scan(
    config: AnnotateConfig, store: Store, info: EncoderInfo, embedded: Mapping[int, Commit]
) -> list[dict[str, Any]]:
    """Inertia and silhouette for each number of clusters in ``scan_k`` and in earlier scans of the same data.

    Raises:
        ConfigError: There are fewer embeddings than clusters or dimensions.
    """
    document = f"clusters/{model_slug(config.model)}/scan.json"
    mark = fingerprint(VERSION, _data(config, embedded), config.metrics_sample)
    found = _read(store, document)
    done = found["scan"] if found.get("fingerprint") == mark else []
    todo = sorted(set(config.scan_k or ()) - {each["clusters"] for each in done})
    for clusters in todo:
        _check(config, clusters, info, embedded, key="scan_k")
    if todo:
        log.info("annotate: trying %s clusters", ", ".join(map(str, todo)))
        trials = _try(config, store, info, embedded, [(clusters, config.seed) for clusters in todo])
        done += [
            {"clusters": clusters, "inertia": trial.inertia, "silhouette": trial.silhouette}
            for clusters, trial in zip(todo, trials, strict=True)
        ]
        done.sort(key=lambda each: each["clusters"])
        store.write_json(document, {"fingerprint": mark, "scan": done})
    result: list[dict[str, Any]] = done
    return result


def _data(config: AnnotateConfig, embedded: Mapping[int, Commit]) -> str:
    """Changes with the vectors that clusters are fitted on, and the space that they are fitted in."""
    contents = {unit: commit.content for unit, commit in embedded.items()}
    return fingerprint(config.pca_dims, config.whiten, config.fit_sample, config.seed, contents)


def _read(store: Store, document: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = store.read_json(document)
    except FileNotFoundError:
        return {}
    return found


def _n_fitted(config: AnnotateConfig, embedded: Mapping[int, Commit]) -> int:
    return min(config.fit_sample, count_vectors(embedded))


def _check(
    config: AnnotateConfig, clusters: int, info: EncoderInfo, embedded: Mapping[int, Commit], key: str = "clusters"
) -> None:
    n_fitted = _n_fitted(config, embedded)
    if clusters > n_fitted:
        raise ConfigError(f"{key}: {clusters} are more than the {n_fitted} embeddings to fit them on")
    if config.pca_dims > min(n_fitted, info.dim):
        raise ConfigError(
            f"pca_dims: {config.pca_dims} are more than {min(n_fitted, info.dim)}, "
            f"as {n_fitted} embeddings of {info.dim} numbers are there to fit them on"
        )


def _try(
    config: AnnotateConfig,
    store: Store,
    info: EncoderInfo,
    embedded: Mapping[int, Commit],
    trials: list[tuple[int, int]],
) -> list[Trial]:
    """Fit other numbers of clusters or with other seeds, all at the same time where the cluster has room."""
    task, shared = _on_cluster(try_clusters, config, info, embedded), ray.put(dict(embedded))
    found: list[Trial] = ray.get(
        [task.remote(config, store, info.dim, shared, clusters=clusters, seed=seed) for clusters, seed in trials]
    )
    return found


def _on_cluster(function: Any, config: AnnotateConfig, info: EncoderInfo, embedded: Mapping[int, Commit]) -> Any:
    # The vectors as float32, at most two further copies of them inside scikit-learn, and the libraries.
    memory = int(3 * 4 * _n_fitted(config, embedded) * info.dim + 2**30)
    return ray.remote(function).options(num_cpus=config.fit_cpus, memory=memory, max_retries=RETRIES)
