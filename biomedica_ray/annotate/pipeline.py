"""Annotation: embed every figure, fit clusters on a sample of the embeddings, then assign and label unit by unit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from biomedica_ray import schema
from biomedica_ray.annotate import cluster, embed, labels
from biomedica_ray.annotate.cluster import ClusterModel
from biomedica_ray.annotate.encoders import EncoderInfo
from biomedica_ray.annotate.labels import ClusterLabel, LabelsFile
from biomedica_ray.cluster import RETRIES, run_units
from biomedica_ray.config import AnnotateConfig, ConfigError
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import Counts, Flow, fingerprint, unit_of

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the same embeddings would give other clusters or labels."""

_LABEL_GB = 1.0
"""Memory of a worker that assigns and labels one unit."""
_PARALLEL_READS = 16


def run(config: AnnotateConfig, run: Run) -> None:
    """Embed what has not been, fit clusters if the embeddings or settings have changed, and label every figure.

    Commits embeddings unit by unit as stage ``embed/<model>`` and labels as stage ``label``; writes the cluster model
    to ``clusters/<model>/<fingerprint>.npz`` and, last, what it is to ``clusters/<model>.json``.

    Raises:
        ConfigError: The model, the weights or the labels are of no use, or there are fewer embeddings than clusters.
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units failed; all others are done.
    """
    taxonomy = labels.load_taxonomy(config.taxonomy)
    said = labels.load_labels(config.labels, taxonomy) if config.labels else None
    extracted = run.store.commits("extract")
    if not extracted:
        raise StoreError(f"{run.store.root}: nothing extracted yet; run `biomedica extract` first")
    info = embed.describe(config)
    slug = embed.model_slug(config.model)
    stage = f"embed/{slug}"
    units = {unit: fingerprint(embed.VERSION, commit.content, info.to_json()) for unit, commit in extracted.items()}
    embed.embed_units(config, run, stage, units, info)

    embedded = run.store.commits(stage)
    clustering = _fit(config, run.store, slug, info, embedded)
    mark = clustering["fingerprint"]
    labelled = _labels_of_clusters(config, run, said, clustering, stage) if said else {}
    plain = {cluster_id: asdict(label) for cluster_id, label in labelled.items()}
    run_units(
        run,
        "label",
        {unit: fingerprint(VERSION, commit.content, mark, plain) for unit, commit in embedded.items()},
        partial(LabelWorker, run.store, run.run_id, stage, clustering["file"], labelled),
        memory_gb=_LABEL_GB,
        max_actors=config.max_actors,
    )
    _drop_other_clusterings(run.store, slug, clustering["file"])
    run.results |= {
        "model": config.model,
        "clusters": clustering["clusters"],
        "clusters_labelled": len(labelled),
        "explained_variance": clustering["explained_variance"],
        "clustering": mark,
    }


def _fit(
    config: AnnotateConfig, store: Store, slug: str, info: EncoderInfo, embedded: Mapping[int, Commit]
) -> dict[str, Any]:
    """Fit the clusters in a task, unless that has been done; returns what ``clusters/<model>.json`` says of them."""
    contents = {unit: commit.content for unit, commit in embedded.items()}
    mark = fingerprint(VERSION, config.pca_dims, config.clusters, config.fit_sample, config.seed, contents)
    try:
        found: dict[str, Any] = store.read_json(f"clusters/{slug}.json")
    except FileNotFoundError:
        found = {}
    if found.get("fingerprint") == mark:
        return found
    n_fitted = min(config.fit_sample, _n_embeddings(embedded))
    if config.clusters > n_fitted:
        raise ConfigError(f"clusters: {config.clusters} are more than the {n_fitted} embeddings to fit them on")
    if config.pca_dims > min(n_fitted, info.dim):
        raise ConfigError(
            f"pca_dims: {config.pca_dims} are more than {min(n_fitted, info.dim)}, "
            f"as {n_fitted} embeddings of {info.dim} numbers are there to fit them on"
        )
    # The vectors as float32, at most two further copies of them inside scikit-learn, and the libraries.
    memory = int(3 * 4 * n_fitted * info.dim + 2**30)
    task = ray.remote(fit_clusters).options(num_cpus=config.fit_cpus, memory=memory, max_retries=RETRIES)
    log.info("annotate: fitting %d clusters on %d embeddings", config.clusters, n_fitted)
    document: dict[str, Any] = ray.get(task.remote(config, store, info.dim, mark, dict(embedded)))
    return document


def fit_clusters(
    config: AnnotateConfig, store: Store, dim: int, mark: str, embedded: Mapping[int, Commit]
) -> dict[str, Any]:
    """Fit on a seeded sample of the embeddings and write the model; returns the document that describes it."""
    slug = embed.model_slug(config.model)
    vectors = sample_vectors(store, embedded, dim, config.fit_sample, config.seed)
    model = cluster.fit(vectors, config.pca_dims, config.clusters, config.seed)
    file = f"clusters/{slug}/{mark}.npz"
    with store.atomic_file(file) as path:
        model.save(path)
    document = {
        "fingerprint": mark,
        "file": file,
        "model": config.model,
        "clusters": config.clusters,
        "pca_dims": config.pca_dims,
        "fitted": len(vectors),
        "explained_variance": round(float(model.explained_variance_ratio.sum()), 4),
        "sizes": model.sizes.tolist(),
    }
    store.write_json(f"clusters/{slug}.json", document)
    return document


def sample_vectors(
    store: Store, embedded: Mapping[int, Commit], dim: int, size: int, seed: int
) -> npt.NDArray[np.float32]:
    """At most ``size`` embeddings (n, dim), each as likely as any other; the same ones for the same seed and units."""
    total = _n_embeddings(embedded)
    chosen = np.arange(total)
    if size < total:
        chosen = np.sort(np.random.default_rng(seed).choice(total, size, replace=False))
    result: npt.NDArray[np.float32] = np.empty((len(chosen), dim), np.float32)
    ends = np.cumsum([embedded[unit].counts["figures"].rows_out for unit in sorted(embedded)])

    def read(unit: int, end: int) -> None:
        start = end - embedded[unit].counts["figures"].rows_out
        first, last = np.searchsorted(chosen, (start, end))
        if first < last:
            result[first:last] = embed.read_vectors(store, embedded[unit])[1][chosen[first:last] - start]

    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        list(pool.map(read, sorted(embedded), ends.tolist()))
    return result


def _n_embeddings(embedded: Mapping[int, Commit]) -> int:
    return sum(commit.counts["figures"].rows_out for commit in embedded.values())


def _labels_of_clusters(
    config: AnnotateConfig, run: Run, said: LabelsFile, clustering: Mapping[str, Any], stage: str
) -> dict[int, ClusterLabel]:
    """The labels of each cluster that the labels file speaks of."""
    if said.clustering not in {None, clustering["fingerprint"]}:
        raise ConfigError(
            f"labels: {config.labels}: its cluster ids belong to clustering {said.clustering}, "
            f"this one is {clustering['fingerprint']}"
        )
    beyond = [entry.cluster for entry in said.clusters if entry.cluster and entry.cluster >= config.clusters]
    if beyond:
        raise ConfigError(f"labels: {config.labels}: cluster {beyond[0]}: there are {config.clusters}, from 0")
    task = ray.remote(assign_figures).options(num_cpus=1, memory=int(_LABEL_GB * 2**30), max_retries=RETRIES)
    clusters = ray.get(task.remote(run.store, stage, clustering["file"], sorted(said.exemplars)))
    unknown = sorted(said.exemplars - clusters.keys())
    run.results["exemplars"], run.results["exemplars_unknown"] = len(said.exemplars), len(unknown)
    if unknown:
        log.warning(
            "labels: %d of %d exemplars do not exist: %s", len(unknown), len(said.exemplars), ", ".join(unknown[:5])
        )
    try:
        return labels.resolve(said, clusters)
    except ValueError as error:
        raise ConfigError(f"labels: {config.labels}: {error}") from None


def assign_figures(store: Store, stage: str, model_file: str, figure_ids: list[str]) -> dict[str, int]:
    """The clusters of some figures; those without an embedding are left out."""
    model, n_units = load_clusters(store, model_file), store.n_units()
    # PMC123.2_007: pmcid, version, position.
    units = {unit_of(figure_id.rpartition("_")[0].rpartition(".")[0], n_units) for figure_id in figure_ids}
    wanted = set(figure_ids)
    found: dict[str, int] = {}
    for unit in sorted(units):
        try:
            commit = store.commit(stage, unit)
        except FileNotFoundError:
            continue  # a unit without articles, so the exemplar does not exist
        ids, vectors = embed.read_vectors(store, commit)
        rows = [row for row, figure_id in enumerate(ids) if figure_id in wanted]
        clusters, _ = model.assign(vectors[rows])
        found |= {ids[row]: int(cluster_id) for row, cluster_id in zip(rows, clusters, strict=True)}
    return found


def load_clusters(store: Store, file: str) -> ClusterModel:
    """The cluster model at ``file`` below the root."""
    with store.filesystem.open_input_file(store.path(file)) as source:
        return ClusterModel.load(source)


def _drop_other_clusterings(store: Store, slug: str, file: str) -> None:
    for name in store.list(f"clusters/{slug}"):
        if f"clusters/{slug}/{name}" != file:
            store.delete(f"clusters/{slug}/{name}")


class LabelWorker:
    """Assigns the figures of units to clusters and gives them their labels; lives on an actor."""

    def __init__(
        self, store: Store, run_id: str, stage: str, model_file: str, labelled: Mapping[int, ClusterLabel]
    ) -> None:
        self._store, self._run_id, self._stage, self._labelled = store, run_id, stage, labelled
        self._model = load_clusters(store, model_file)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the labels of one unit; returns its counts."""
        ids, vectors = embed.read_vectors(self._store, self._store.commit(self._stage, unit))
        clusters, distances = self._model.assign(vectors)
        confidences = self._model.confidence(clusters, distances)
        rows = labels.label_rows(ids, clusters.tolist(), distances.tolist(), confidences.tolist(), self._labelled)
        counts = {"labels": Flow(len(ids), len(rows))}
        with self._store.write_unit("label", unit, mark, self._run_id) as writer:
            writer.table("labels", schema.LABELS).write(rows)
            writer.commit(counts)
        return counts
