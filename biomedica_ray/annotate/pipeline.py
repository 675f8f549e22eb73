"""Annotation: embed every figure, fit clusters on a sample of the embeddings, then assign and label unit by unit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import ray

from biomedica_ray.annotate import embed, labels
from biomedica_ray.annotate.clustering import LabelWorker, assign_figures, fit_clusters
from biomedica_ray.annotate.encoders import EncoderInfo
from biomedica_ray.annotate.labels import ClusterLabel, LabelsFile
from biomedica_ray.annotate.proposals import encode_prompts, write_proposals
from biomedica_ray.annotate.vectors import count_vectors, model_slug
from biomedica_ray.annotate.zero_shot import load_prompts
from biomedica_ray.cluster import RETRIES, run_units
from biomedica_ray.config import AnnotateConfig, ConfigError
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import fingerprint

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the same embeddings would give other clusters or labels."""

_LABEL_GB = 1.0
"""Memory of a worker that assigns and labels one unit."""


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
    prompts = load_prompts(config.prompts, taxonomy) if config.proposals else None
    said = labels.load_labels(config.labels, taxonomy) if config.labels else None
    extracted = run.store.commits("extract")
    if not extracted:
        raise StoreError(f"{run.store.root}: nothing extracted yet; run `biomedica extract` first")
    on_worker = {"num_cpus": config.num_cpus, "memory": int(config.memory_gb * 2**30), "max_retries": RETRIES}
    concepts = ray.get(ray.remote(encode_prompts).options(**on_worker).remote(config, prompts)) if prompts else None
    info = embed.describe(config)
    slug = model_slug(config.model)
    stage = f"embed/{slug}"
    marks = [embed.VERSION, config.panels, info.to_json()]
    units = {unit: fingerprint(marks, commit.content) for unit, commit in extracted.items()}
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
    if prompts and concepts is not None:
        write = ray.remote(write_proposals).options(**on_worker)
        run.results["proposals"] = ray.get(write.remote(config, run.store, mark, list(prompts.concepts), concepts))
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
    n_fitted = min(config.fit_sample, count_vectors(embedded))
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


def _drop_other_clusterings(store: Store, slug: str, file: str) -> None:
    for name in store.list(f"clusters/{slug}"):
        if f"clusters/{slug}/{name}" != file:
            store.delete(f"clusters/{slug}/{name}")
