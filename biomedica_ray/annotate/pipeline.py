"""Annotation: embed every figure, then fit clusters on a sample of the embeddings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from biomedica_ray.annotate import embed, fitting, quality
from biomedica_ray.annotate.cluster_tasks import assign_figures
from biomedica_ray.annotate.clustering import Clustering
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.dry_run import dry_run
from biomedica_ray.annotate.truth import load_truth
from biomedica_ray.annotate.vectors import model_slug
from biomedica_ray.cluster import on_a_worker
from biomedica_ray.runs import Run
from biomedica_ray.store import Store

log = logging.getLogger(__name__)

_ASSIGN_GB = 1.0
"""Memory of the task that finds the clusters of some figures."""


def run(config: AnnotateConfig, record: Run) -> None:
    """Embed what has not been embedded, and fit clusters if embeddings or settings have changed; or say what it takes.

    Commits embeddings unit by unit as stage ``embed/<model>``, and those of panels as ``embed/<model>/panels``; writes
    the cluster model to ``clusters/<model>/<fingerprint>.npz`` and, last, what it is and how good to
    ``clusters/<model>.json``.

    Raises:
        ConfigError: The model, the weights or the truth are invalid, or there are fewer embeddings than clusters.
        StoreError: Nothing has been extracted yet, or panels are to be embedded that have not been found.
        UnitsFailedError: Units failed; all others are done.
    """
    if config.dry_run:
        dry_run(config, record)
        return
    store = record.store
    truth = load_truth(store, config.truth)
    extracted = store.extracted()
    panelled = embed.found_panels(store, extracted) if config.panels else {}
    info, units = embed.plan(config, store, extracted)
    embedded = embed.embed_units(config, record, {"extract": extracted}, units, info)
    if config.panels:
        embed.embed_panels(config, record, extracted, panelled, info)
    scanned = fitting.scan(config, store, info, embedded)
    clustering = fitting.fit(config, store, info, embedded)
    _drop_other_clusterings(store, clustering)
    record.results |= {
        "model": clustering.model,
        "clustering": clustering.fingerprint,
        "clusters": clustering.clusters,
        "fitted": clustering.fitted,
        "sizes": clustering.sizes,
        "explained_variance": clustering.explained_variance,
        "explained_variance_ratio": clustering.explained_variance_ratio,
        "inertia": clustering.inertia,
        "silhouette": clustering.silhouette,
        "stability": clustering.stability,
        "scan": scanned,
    }
    if truth:
        record.results |= _against_truth(store, truth, clustering)
    log.info("annotate: %d clusters; run `biomedica label` to give figures their labels", clustering.clusters)


def _against_truth(store: Store, truth: Mapping[str, str], clustering: Clustering) -> dict[str, Any]:
    """How well the clusters of some figures tell what those show."""
    clusters = on_a_worker(partial(assign_figures, store, clustering, sorted(truth)), memory_gb=_ASSIGN_GB)
    if not clusters:
        log.warning("truth: none of its %d figures exist", len(truth))
        return {"truth_figures": 0}
    known = list(clusters.values()), [truth[figure_id] for figure_id in clusters]
    return {
        "truth_figures": len(clusters),
        "purity": quality.purity(*known),
        "mutual_information": quality.mutual_information(*known),
    }


def _drop_other_clusterings(store: Store, clustering: Clustering) -> None:
    folder = f"clusters/{model_slug(clustering.model)}"
    for name in store.list(folder):
        if name.endswith(".npz") and f"{folder}/{name}" != clustering.file:
            store.delete(f"{folder}/{name}")
